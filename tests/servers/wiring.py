"""The topology on a virtual host of the tests, and logins of its roles; declared as `handrail topology apply` does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from deploy.addresses import Address
from deploy.broker_definitions import broker_definitions, rights
from deploy.declaring import Declared
from deploy.management import Management
from domain.rights import User
from domain.topology import DEFAULT_ACTIVITY_QUEUE, Listener, topology_of
from tests.servers.rabbitmq import Login, Vhost


def wire(
    vhost: Vhost, activity_queues: Iterable[str] = (DEFAULT_ACTIVITY_QUEUE,), listeners: Iterable[Listener] = ()
) -> None:
    """Declare the topology, with one request; doing it again declares again what was deleted."""
    vhost.define(broker_definitions(topology_of(activity_queues, listeners), (), vhost.name))


def login_as(vhost: Vhost, user: User) -> Login:
    """Make a user with the rights of its role; its name begins with the role's name."""
    topics = {right.exchange: (right.write, right.read) for right in user.topics}
    return vhost.login(user.name, **rights(user), tags=user.tags, topics=topics)


@contextlib.contextmanager
def declared(vhost: Vhost) -> Iterator[Declared]:
    """What is declared on a virtual host of the tests, as their administrator sees it."""
    broker = vhost.broker
    scheme, _, place = broker.management_url.partition("://")
    url = f"{scheme}://{broker.admin.name}:{broker.admin.password}@{place}"
    with Management(Address(url, broker.management_url)) as management:
        yield Declared(management, vhost.name)
