"""What is said about RabbitMQ: by what any login sees over AMQP, and by the management interface where it is known."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from consumers.looking import BrokerLook, QueueLook
from deploy.declaring import Declared
from deploy.doctor.findings import Finding, Level
from deploy.doctor.place import clock, offset_of
from deploy.management import Management
from domain.authority import AnsweringGrants
from domain.rights import may_write_anywhere, runtime
from domain.topology import (
    ACTIVITY_PREFIX,
    APPROVALS_QUEUE,
    CONTROL_QUEUE,
    DEAD_PREFIX,
    EVENTS_EXCHANGE,
    EXCHANGES,
    GOALS_QUEUE,
    OUTCOMES_QUEUE,
    SIGNALS_QUEUE,
    Topology,
)

OLDEST: Final = (3, 10)
SILENT_ABOUT_QUEUES: Final = frozenset({(4, 2, 6), (4, 3, 0)})
"""Versions that answer a passive declaration only to those who may declare."""
MANY_MESSAGES: Final = 10_000
"""What waits in one queue before it is worth a line."""
DEFAULT_TIMEOUT_SECONDS: Final = 1_800
ENOUGH_BYTES: Final = 2 * 1024 * 1024
"""What `deploy/rabbitmq/rabbitmq.conf` lets a message have at most."""
_SMALLER_SINCE: Final = (4,)
"""From this version on, RabbitMQ takes 16 MiB where nothing is set; before, 128."""

_ROLES: Final[Mapping[str, str]] = {
    GOALS_QUEUE: "goals",
    APPROVALS_QUEUE: "approvals",
    SIGNALS_QUEUE: "signals",
    CONTROL_QUEUE: "control",
    OUTCOMES_QUEUE: "outcomes",
}
_DEAD_COMMANDS: Final = f"{DEAD_PREFIX}{ACTIVITY_PREFIX.removeprefix('handrail.')}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the loaded modules need of a broker."""

    topology: Topology
    foreign: Collection[str] = ()
    """Queues that consumers in other languages serve, by the names that activity types declare."""


def over_amqp(url: str, wanted: Wanted, known: Mapping[str, QueueLook], vouching: Collection[str]) -> Iterator[Finding]:
    """The connection, the broker's version, its queues, and who may speak for persons.

    `known` says of queues what the broker itself does not; `vouching` names the logins of that setting.
    """
    said, looks = asyncio.run(_look(url, [queue.name for queue in wanted.topology.queues]))
    numbers = tuple(int(part) for part in re.findall(r"\d+", said)[:3])
    if numbers[:2] < OLDEST:
        words = f"RabbitMQ {said or 'of no known version'} is too old: Handrail needs {OLDEST[0]}.{OLDEST[1]} or newer"
        yield Finding("broker", Level.MEND, words)
    else:
        yield Finding("broker", Level.OK, f"RabbitMQ {said} is reached")
    yield from sizes(numbers)
    if numbers in SILENT_ABOUT_QUEUES:
        words = (
            f"RabbitMQ {said} says how queues are only to who may declare them: set HANDRAIL_BROKER_MANAGEMENT, or "
            "upgrade (4.2.7, 4.3.1)"
        )
        yield Finding("broker", Level.NOTE, words)
    looks = {name: known.get(name, look) if look.there is None else look for name, look in looks.items()}
    yield from queues(looks, wanted)
    yield from vouched(looks, vouching)


def sizes(numbers: tuple[int, ...]) -> Iterator[Finding]:
    """How large a message a broker of this version takes by default; what it was set to, it does not show."""
    most = 16 if numbers >= _SMALLER_SINCE else 128
    words = (
        f"RabbitMQ takes messages of up to {most} MiB unless max_message_size in its own settings, which it "
        f"does not show, says less, and a few such goals fill its memory: max_message_size = {ENOUGH_BYTES} is enough "
        "for Handrail's (deploy/rabbitmq/rabbitmq.conf)"
    )
    yield Finding("broker", Level.NOTE, words)


async def _look(url: str, names: Collection[str]) -> tuple[str, dict[str, QueueLook]]:
    async with BrokerLook(url) as broker:
        return broker.version, {name: await broker.queue(name) for name in names}


def queues(looks: Mapping[str, QueueLook], wanted: Wanted) -> Iterator[Finding]:
    """Queues that are missing, that nobody consumes, that are long; dead letters."""
    fine = waiting = 0
    for name, look in looks.items():
        if look.there is None:
            yield Finding("queues", Level.NOTE, f"{name} cannot be asked about: set HANDRAIL_BROKER_MANAGEMENT")
            continue
        if look.there is False:
            yield Finding("queues", Level.MEND, f"{name} is not there: `handrail topology apply` declares it")
            continue
        found = list(_queue(name, look, wanted))
        fine += not found
        waiting += look.messages
        yield from found
    yield Finding("queues", Level.OK, f"{fine} of {len(looks)} queues are as they should be; {waiting} messages wait")


def vouched(looks: Mapping[str, QueueLook], vouching: Collection[str]) -> Iterator[Finding]:
    """Decisions of people are consumed, and no service may pass any on: a sender does not hear of that."""
    look = looks.get(APPROVALS_QUEUE)
    if not vouching and look is not None and look.consumers:
        words = (
            f"{APPROVALS_QUEUE} is consumed and HANDRAIL_VOUCHING is not set: a decision that another service sends "
            "ends in its dead queue (sender_not_allowed), which the sender does not see. Name the service's login "
            "there, unless people decide at the endpoint and the command line only"
        )
        yield Finding("rights", Level.NOTE, words)


def _queue(name: str, look: QueueLook, wanted: Wanted) -> Iterator[Finding]:
    server = _server_of(name, wanted.foreign)
    if not server:
        if look.messages:
            words = f"{name} holds {look.messages} dead letters: `handrail dead list` says why"
            yield Finding("dead", Level.WARN, words)
        return
    if not look.consumers:
        level, wait = (Level.MEND, f", and {look.messages} messages wait") if look.messages else (Level.WARN, "")
        yield Finding("queues", level, f"nobody consumes {name}{wait}: run {server}")
    elif look.messages > MANY_MESSAGES:
        words = f"{look.messages} messages wait in {name}: run {server} more often"
        yield Finding("queues", Level.WARN, words)


def _server_of(queue: str, foreign: Collection[str]) -> str:
    """What consumes a queue; nothing where people do."""
    if queue in _ROLES:
        return f"`handrail serve {_ROLES[queue]}`"
    if queue.startswith(ACTIVITY_PREFIX):
        name = queue.removeprefix(ACTIVITY_PREFIX)
        return "its consumer in another language" if name in foreign else f"`handrail serve activities --queues {name}`"
    return "`handrail serve outcomes`" if queue.startswith(_DEAD_COMMANDS) else ""


# --- by the management interface ------------------------------------------------------------------------------------


def known_queues(management: Management, vhost: str, wanted: Wanted) -> dict[str, QueueLook]:
    """How queues are by the word of the management interface, which is some seconds old."""
    there = {
        one["name"]: QueueLook(
            there=True, messages=int(one.get("messages_ready", 0)), consumers=int(one.get("consumers", 0))
        )
        for one in management.every("queues", vhost, columns="name,messages_ready,consumers")
    }
    return {queue.name: there.get(queue.name, QueueLook(there=False)) for queue in wanted.topology.queues}


def topology(management: Management, vhost: str, wanted: Wanted) -> Iterator[Finding]:
    """What `handrail topology check` finds, and users who may reach any queue."""
    found = Declared(management, vhost).check(wanted.topology, ())
    for difference in found:
        yield Finding("topology", Level.MEND, str(difference))
    if not found:
        words = (
            f"virtual host {vhost!r}: {len(wanted.topology.exchanges)} exchanges and {len(wanted.topology.queues)} "
            "queues are as they must be, and nobody may write the default exchange"
        )
        yield Finding("topology", Level.OK, words)


def nodes(management: Management) -> Iterator[Finding]:
    """Alarms, and the clock."""
    began = time.time()
    there = management.clock()
    if there is not None:
        yield clock("broker", "the broker", offset_of(there.timestamp(), began), coarse=1.0)
    known = management.every("nodes", columns="name,running,mem_alarm,disk_free_alarm")
    for node in known:
        if not node.get("running", True):
            yield Finding("broker", Level.MEND, f"node {node['name']} does not run: start it")
            continue
        for alarm, short in (("mem_alarm", "memory"), ("disk_free_alarm", "disk")):
            if node.get(alarm):
                words = f"node {node['name']} is short of {short} and takes no messages: give it more"
                yield Finding("broker", Level.MEND, words)
    if not any(node.get("mem_alarm") or node.get("disk_free_alarm") for node in known):
        yield Finding("broker", Level.OK, f"{len(known)} nodes, none short of memory or disk")


def holding(management: Management, vhost: str, longest_hold_seconds: float) -> Iterator[Finding]:
    """Whether the broker waits for acknowledgements as long as they may take."""
    columns = "name,arguments,effective_policy_definition"
    short: list[tuple[str, float]] = []
    for queue in management.every("queues", vhost, columns=columns):
        said = [
            (queue.get("arguments") or {}).get("x-consumer-timeout"),
            (queue.get("effective_policy_definition") or {}).get("consumer-timeout"),
        ]
        given = [value / 1_000 for value in said if isinstance(value, int) and value > 0]
        if queue["name"].startswith("handrail.") and given and min(given) < 2 * longest_hold_seconds:
            short.append((queue["name"], min(given)))
    for name, seconds in short:
        words = (
            f"{name} takes deliveries back after {seconds:g} s, and they may be held for {longest_hold_seconds:g} s: "
            "raise consumer-timeout, or lower HANDRAIL_LONGEST_HOLD_SECONDS"
        )
        yield Finding("broker", Level.MEND, words)
    if not short:
        words = (
            f"deliveries are held {longest_hold_seconds:g} s at most; RabbitMQ waits {DEFAULT_TIMEOUT_SECONDS} s "
            "unless consumer_timeout in its own settings, which it does not show, says less"
        )
        yield Finding("broker", Level.OK, words)


def listening(management: Management, vhost: str) -> Iterator[Finding]:
    """Which listeners refuse announcements when they are full, instead of losing their oldest."""
    bound = management.every("bindings", vhost, columns="source,destination,destination_type")
    told = {
        one["destination"] for one in bound if one["source"] == EVENTS_EXCHANGE and one["destination_type"] == "queue"
    }
    columns = "name,messages,arguments,effective_policy_definition"
    for queue in management.every("queues", vhost, columns=columns):
        policy = queue.get("effective_policy_definition") or {}
        given = {**policy, **{name.removeprefix("x-"): value for name, value in (queue.get("arguments") or {}).items()}}
        limited = "max-length" in given or "max-length-bytes" in given
        if queue["name"] in told and limited and str(given.get("overflow", "")).startswith("reject-publish"):
            words = (
                f"{queue['name']} hears announcements and refuses them when it is full; {queue.get('messages', 0)} "
                "wait there now. What it refuses is told again to all who listen, and let go after an hour: see that "
                "it is read, or have it drop its oldest (x-overflow drop-head)"
            )
            yield Finding("listeners", Level.WARN, words)


def rights(management: Management, vhost: str, login: str, wanted: Wanted) -> Iterator[Finding]:
    """What the login of serving processes may do: all that they need, and nothing that they must not."""
    if not login:
        words = "the login comes from a certificate: `handrail topology check --credentials FILE` compares its rights"
        yield Finding("rights", Level.NOTE, words)
        return
    given = management.find("permissions", vhost, login)
    if given is None:
        words = f"{login} has no rights in virtual host {vhost!r}: `handrail topology apply --credentials FILE`"
        yield Finding("rights", Level.MEND, words)
        return
    needed = runtime(login)
    names = dict.fromkeys([one.name for one in EXCHANGES] + [one.name for one in wanted.topology.queues])
    problems = [f"may not {verb} {name}" for verb, name in _lacking(given, needed, wanted)]
    declares = [name for name in [*names, "amq.default"] if _may(given["configure"], name)]
    if declares:
        problems.append(f"may declare and delete {declares[0]}{' and others' if len(declares) > 1 else ''}")
    if may_write_anywhere(given["write"]):
        problems.append("may write the default exchange, and so any queue")
    known = management.find("users", login) or {}
    if "administrator" in str(known.get("tags", "")):
        problems.append("is an administrator of the broker")
    for problem in problems:
        words = f"{login} {problem}: give it the role runtime, `handrail topology apply --credentials FILE`"
        yield Finding("rights", Level.MEND, words)
    if not problems:
        yield Finding("rights", Level.OK, f"{login} may do what serving processes need, and declares nothing")


def answering(grants: Mapping[str, Collection[str]], foreign: Collection[str]) -> Iterator[Finding]:
    """Foreign queues that no login answers for: whatever their consumers say is refused."""
    for queue in AnsweringGrants(grants).unanswered(foreign):
        words = f"nobody may answer for foreign queue {queue}: name its consumer's login in HANDRAIL_ANSWERING"
        yield Finding("rights", Level.MEND, words)


def _lacking(given: Mapping[str, Any], needed: Any, wanted: Wanted) -> Iterator[tuple[str, str]]:
    for exchange in EXCHANGES:
        if _may(needed.write, exchange.name) and not _may(given["write"], exchange.name):
            yield "write", exchange.name
    for queue in wanted.topology.queues:
        if _may(needed.read, queue.name) and not _may(given["read"], queue.name):
            yield "read", queue.name


def _may(pattern: str, name: str) -> bool:
    try:
        return bool(pattern) and re.search(pattern, name) is not None
    except re.error:
        return False
