"""Who may do what on the broker, as pure data: one role each, patterns anchored at both ends.

RabbitMQ checks `write` on the exchange that is published to, `read` on the queue that is consumed, `configure` on what
is declared. Nobody may write the default exchange, through which any queue can be reached. Only the administrator
declares anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from domain.errors import InputInvalid
from domain.messages.writing import routing_word
from domain.topology import (
    APPROVALS_EXCHANGE,
    GOALS_EXCHANGE,
    OUTCOMES_EXCHANGE,
    SIGNALS_EXCHANGE,
    activity_queue,
    listener_queue,
)

NOTHING: Final = "^$"
EVERYTHING: Final = r"^handrail\..+$"
MOST_NAME_BYTES: Final = 255


class Role(StrEnum):
    """What a user of the broker is there for."""

    ADMINISTRATOR = "administrator"
    """Declares the topology and makes users."""
    RUNTIME = "runtime"
    """The processes of `handrail serve`. They hold the database, which is the truth: that they may also publish what
    other services may gives them nothing that they do not have."""
    OPERATOR = "operator"
    """Sends dead letters again, in the name of whoever sent them first."""
    GOAL = "goal"
    """A service that starts workflows."""
    APPROVAL = "approval"
    """A service that carries persons' decisions."""
    SIGNAL = "signal"
    """A service that says what workflows wait for."""
    WORKER = "worker"
    """A consumer in another language, of one activity queue."""
    LISTENER = "listener"
    """A service that is told what happens, by a queue that the administrator declares for it."""


@dataclass(frozen=True, slots=True)
class TopicRight:
    """Routing keys of a topic exchange that a user may write and read, as patterns."""

    exchange: str
    write: str
    read: str = NOTHING


@dataclass(frozen=True, slots=True)
class User:
    """A user of the broker and its rights in Handrail's virtual host."""

    name: str
    role: Role
    configure: str = NOTHING
    write: str = NOTHING
    read: str = NOTHING
    tags: tuple[str, ...] = ()
    topics: tuple[TopicRight, ...] = ()


def administrator(name: str = "handrail-administrator") -> User:
    """Who applies the topology."""
    return User(
        _checked(name),
        Role.ADMINISTRATOR,
        configure=EVERYTHING,
        write=EVERYTHING,
        read=EVERYTHING,
        tags=("administrator",),
    )


def runtime(name: str = "handrail-runtime") -> User:
    """Serving processes."""
    return User(
        _checked(name),
        Role.RUNTIME,
        write=r"^handrail\.(commands|events|dead|goals|approvals|signals|control)$",
        read=r"^handrail\.(goals|approvals|signals|control|outcomes|activity\..+|dead\.activity\..+)$",
    )


def operator(name: str = "handrail-operator") -> User:
    """Who looks after dead letters; the tag lets it keep the `user_id` of whoever sent a message first."""
    return User(
        _checked(name),
        Role.OPERATOR,
        write=r"^handrail\.(goals|approvals|signals|control|outcomes|commands)$",
        read=r"^handrail\.(dead\..+|unrouted)$",
        tags=("impersonator",),
    )


def goal_service(name: str) -> User:
    """A service that starts workflows, and may do nothing else."""
    return User(_checked(name), Role.GOAL, write=exactly(GOALS_EXCHANGE))


def approval_service(name: str, definitions: Iterable[str] = ()) -> User:
    """A service that carries decisions, for these definitions or, without any, for all; and may do nothing else."""
    keys = "|".join(sorted(re.escape(routing_word(definition)) for definition in definitions))
    right = TopicRight(APPROVALS_EXCHANGE, write=rf"^approval\.({keys})$" if keys else r"^approval\..+$")
    return User(_checked(name), Role.APPROVAL, write=exactly(APPROVALS_EXCHANGE), topics=(right,))


def signal_service(name: str, signals: Iterable[str] = ()) -> User:
    """A service that delivers signals, of these names or, without any, of all; and may do nothing else."""
    names = "|".join(sorted(re.escape(signal) for signal in signals))
    right = TopicRight(SIGNALS_EXCHANGE, write=f"^({names})$" if names else "^.+$")
    return User(_checked(name), Role.SIGNAL, write=exactly(SIGNALS_EXCHANGE), topics=(right,))


def foreign_worker(name: str, queue: str) -> User:
    """A consumer of one activity queue (as its activity types declare it), which publishes outcomes."""
    return User(_checked(name), Role.WORKER, write=exactly(OUTCOMES_EXCHANGE), read=exactly(activity_queue(queue)))


def listener(name: str) -> User:
    """A service that reads its own queue of announcements, and may do nothing else.

    The administrator declares and binds the queue: a service that bound one itself would need the right to declare,
    and would choose on its own what the broker keeps for it.
    """
    return User(_checked(name), Role.LISTENER, read=exactly(listener_queue(name)))


def default_users(foreign_queues: Iterable[str] = ()) -> tuple[User, ...]:
    """One user of each role that every deployment has, and one for each foreign queue."""
    return (
        administrator(),
        runtime(),
        operator(),
        goal_service("goal-service"),
        approval_service("approval-service"),
        signal_service("signal-service"),
        *(foreign_worker(f"worker-{queue}", queue) for queue in sorted(set(foreign_queues))),
    )


def exactly(*names: str) -> str:
    """The pattern of these names and no others."""
    return f"^({'|'.join(map(_escaped, names))})$" if len(names) > 1 else f"^{_escaped(names[0])}$"


def may_write_anywhere(write: str) -> bool:
    """Whether a right to write reaches the default exchange, and so any queue; a broken pattern is taken to."""
    try:
        return re.search(write, "amq.default") is not None
    except re.error:
        return True


def _escaped(name: str) -> str:
    return name.replace(".", r"\.")


def _checked(name: str) -> str:
    if not name.strip() or not name.isprintable() or len(name.encode()) > MOST_NAME_BYTES:
        raise InputInvalid(f"user {name[:80]!r} is no name: use 1 to {MOST_NAME_BYTES} bytes that can be printed")
    return name
