"""RabbitMQ's definitions of the topology: what `handrail topology render` prints and `deploy/rabbitmq` ships.

There are users and rights in it and no credentials: a user without a password hash cannot log in by password until
`handrail topology apply --credentials`, or an administrator, gives it one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from domain.rights import User
from domain.topology import Topology

DEFAULT_VHOST: Final = "handrail"
VERSION_PARAMETER: Final = "handrail_topology"


def version_parameter(vhost: str) -> str:
    """The broker's global parameter that says which version of the topology a virtual host has."""
    return f"{VERSION_PARAMETER}:{vhost}"


def broker_definitions(topology: Topology, users: Iterable[User], vhost: str = DEFAULT_VHOST) -> dict[str, Any]:
    """The definitions as RabbitMQ imports them, at boot or through its management interface."""
    known = list(users)
    return {
        "vhosts": [{"name": vhost}],
        "global_parameters": [{"name": version_parameter(vhost), "value": topology.version}],
        "users": [{"name": user.name, "password_hash": "", "tags": ",".join(user.tags)} for user in known],
        "permissions": [{"user": user.name, "vhost": vhost, **rights(user)} for user in known],
        "topic_permissions": [
            {"user": user.name, "vhost": vhost, "exchange": right.exchange, "write": right.write, "read": right.read}
            for user in known
            for right in user.topics
        ],
        "exchanges": [
            {
                "name": exchange.name,
                "vhost": vhost,
                "type": exchange.kind,
                "durable": True,
                "auto_delete": False,
                "internal": False,
                "arguments": exchange.arguments,
            }
            for exchange in topology.exchanges
        ],
        "queues": [
            {
                "name": queue.name,
                "vhost": vhost,
                "durable": True,
                "auto_delete": False,
                "arguments": dict(queue.arguments),
            }
            for queue in topology.queues
        ],
        "bindings": [
            {
                "source": binding.exchange,
                "vhost": vhost,
                "destination": binding.queue,
                "destination_type": "queue",
                "routing_key": binding.key,
                "arguments": {},
            }
            for binding in topology.bindings
        ],
    }


def rights(user: User) -> dict[str, str]:
    """A user's rights in the virtual host."""
    return {"configure": user.configure, "write": user.write, "read": user.read}


def definitions_text(definitions: dict[str, Any]) -> str:
    """As it is printed and shipped."""
    return f"{json.dumps(definitions, ensure_ascii=False, indent=2)}\n"
