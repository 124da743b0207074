"""What the doctor says of what it was told: each judgement by itself, without servers."""

import threading
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consumers.looking import QueueLook
from deploy.doctor import broker, store
from deploy.doctor.broker import Wanted
from deploy.doctor.findings import Finding, Level, examine
from deploy.doctor.place import EVENTSOURCING, clock
from domain.errors import StoreUnavailable
from domain.messages.names import BODY_BYTES, COMMAND_BODY_BYTES, GOAL_BODY_BYTES
from domain.store.inspection_postgres import ServerFacts, Standby
from domain.topology import topology_of

WANTED = Wanted(topology_of(["default", "papers"]), frozenset({"papers"}))
FACTS = ServerFacts(
    place="postgresql://me@here/store",
    settings={
        "server_version": "15.8",
        "server_version_num": "150008",
        "server_encoding": "UTF8",
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "synchronous_standby_names": "",
        "transaction_read_only": "off",
        "statement_timeout": "15s",
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": "1min",
        "max_connections": "100",
    },
    standbys=(),
    began=0.0,
    clock=0.0,
    connections=1,
    leaders={},
    encrypted=False,
)


def having(**settings: str) -> ServerFacts:
    return replace(FACTS, settings={**FACTS.settings, **settings})


def looks(**changes: QueueLook) -> dict[str, QueueLook]:
    """All queues consumed and empty, but for these; `__` stands for the dot."""
    well = {queue.name: QueueLook(there=True, consumers=1) for queue in WANTED.topology.queues}
    return {**well, **{f"handrail.{name.replace('__', '.')}": look for name, look in changes.items()}}


def said(found: Iterator[Finding], level: Level) -> list[str]:
    return [one.text for one in found if one.level is level]


@pytest.mark.parametrize(("consumers", "vouching", "told"), [(1, {}, 1), (0, {}, 0), (1, {"desk": ["*"]}, 0)])
def test_approvals_that_nobody_may_pass_on_are_told(consumers: int, vouching: dict[str, list[str]], told: int) -> None:
    look = looks(approvals=QueueLook(there=True, consumers=consumers))
    notes = said(broker.vouched(look, vouching), Level.NOTE)
    assert len(notes) == told
    assert all("HANDRAIL_VOUCHING is not set" in one and "(sender_not_allowed)" in one for one in notes)


@pytest.mark.parametrize(
    ("names", "standbys", "level"),
    [
        ("", (), Level.WARN),
        ("", (Standby("b", "streaming", "async"),), Level.WARN),
        ("ANY 1 (b)", (), Level.MEND),
        ("ANY 1 (b)", (Standby("b", "streaming", "async"),), Level.MEND),
        ("ANY 1 (b)", (Standby("b", "", ""),), Level.NOTE),
        ("ANY 1 (b)", (Standby("b", "streaming", "quorum"),), Level.OK),
        ("FIRST 1 (b)", (Standby("b", "streaming", "sync"), Standby("c", "streaming", "async")), Level.OK),
    ],
)
def test_replication_is_judged_by_who_is_waited_for(names: str, standbys: tuple[Standby, ...], level: Level) -> None:
    facts = replace(having(synchronous_standby_names=names), standbys=standbys)
    assert store.replicated(facts).level is level


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("fsync", "off", "fsync=off"),
        ("full_page_writes", "off", "full_page_writes=off"),
        ("synchronous_commit", "off", "synchronous_commit=off"),
        ("server_encoding", "SQL_ASCII", "SQL_ASCII"),
        ("server_version_num", "120001", "PostgreSQL 12"),
        ("transaction_read_only", "on", "read-only"),
    ],
)
def test_every_unsafe_setting_has_a_line_of_its_own(setting: str, value: str, words: str) -> None:
    (line,) = said(store.safe(having(**{setting: value})), Level.MEND)
    assert words in line
    both = said(store.safe(having(**{setting: value, "lock_timeout": "0"})), Level.MEND)
    assert both == [line]
    assert said(store.safe(FACTS), Level.MEND) == []


def test_a_pooler_that_drops_time_outs_is_told() -> None:
    (line,) = said(store.patient(having(lock_timeout="0")), Level.MEND)
    assert line.startswith("lock_timeout do not hold")


def test_foreign_queues_that_no_login_answers_for_are_told() -> None:
    (line,) = said(broker.answering({"worker": ["printer"]}, ["papers", "printer"]), Level.MEND)
    assert line == "nobody may answer for foreign queue papers: name its consumer's login in HANDRAIL_ANSWERING"
    assert list(broker.answering({"worker": ["*"]}, ["papers"])) == []
    assert list(broker.answering({}, [])) == []


def test_queues_are_judged_by_who_consumes_them() -> None:
    found = list(
        broker.queues(
            looks(
                goals=QueueLook(there=True),
                signals=QueueLook(there=True, messages=3),
                control=QueueLook(there=False),
                outcomes=QueueLook(None),
                activity__papers=QueueLook(there=True),
                dead__activity__default=QueueLook(there=True),
                dead__goals=QueueLook(there=True, messages=2),
                approvals=QueueLook(there=True, messages=20_000, consumers=2),
                unrouted=QueueLook(there=True),
            ),
            WANTED,
        )
    )
    assert said(iter(found), Level.WARN) == [
        "nobody consumes handrail.goals: run `handrail serve goals`",
        "20000 messages wait in handrail.approvals: run `handrail serve approvals` more often",
        "nobody consumes handrail.activity.papers: run its consumer in another language",
        "handrail.dead.goals holds 2 dead letters: `handrail dead list` says why",
        "nobody consumes handrail.dead.activity.default: run `handrail serve outcomes`",
    ]
    assert said(iter(found), Level.MEND) == [
        "nobody consumes handrail.signals, and 3 messages wait: run `handrail serve signals`",
        "handrail.control is not there: `handrail topology apply` declares it",
    ]
    assert said(iter(found), Level.NOTE) == ["handrail.outcomes cannot be asked about: set HANDRAIL_BROKER_MANAGEMENT"]


class Told:
    """The port of the management interface, as far as the doctor asks it."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    def every(self, *path: str, columns: str) -> Any:
        assert columns
        return self.answers[path[0]]

    def find(self, *path: str) -> Any:
        return self.answers.get(path[0])

    def clock(self) -> None:
        return None


def test_a_queue_that_takes_deliveries_back_too_early_is_told() -> None:
    told: Any = Told(
        queues=[
            {"name": "handrail.goals", "arguments": {"x-consumer-timeout": 900_000}},
            {"name": "handrail.signals", "effective_policy_definition": {"consumer-timeout": 3_600_000}},
            {"name": "handrail.control", "arguments": {}, "effective_policy_definition": None},
            {"name": "somebody.elses", "arguments": {"x-consumer-timeout": 1_000}},
        ]
    )
    (line,) = said(broker.holding(told, "/", 600.0), Level.MEND)
    assert line.startswith("handrail.goals takes deliveries back after 900 s")
    assert said(broker.holding(told, "/", 60.0), Level.MEND) == []


def test_a_listener_that_refuses_when_it_is_full_is_told() -> None:
    names = ("full", "policed", "dropping", "endless", "deaf")
    refusing = {"x-max-length": 10, "x-overflow": "reject-publish"}
    told: Any = Told(
        bindings=[
            {"source": "handrail.events", "destination": name, "destination_type": "queue"} for name in names[:-1]
        ],
        queues=[
            {"name": "full", "messages": 10, "arguments": refusing},
            {"name": "policed", "effective_policy_definition": {"max-length": 9, "overflow": "reject-publish-dlx"}},
            {"name": "dropping", "arguments": {"x-max-length": 9, "x-overflow": "drop-head"}},
            {"name": "endless", "arguments": {"x-overflow": "reject-publish"}},
            {"name": "deaf", "arguments": refusing},
        ],
    )
    first, second = said(broker.listening(told, "/"), Level.WARN)
    assert first.startswith("full hears announcements and refuses them when it is full; 10 wait there now")
    assert second.startswith("policed hears announcements")


def test_a_node_that_is_short_of_something_or_away_is_told() -> None:
    known = {"running": True, "mem_alarm": False, "disk_free_alarm": False}
    told: Any = Told(
        nodes=[
            {"name": "a", **known},
            {"name": "b", **known, "running": False},
            {"name": "c", **known, "mem_alarm": True},
            {"name": "d", **known, "disk_free_alarm": True},
        ]
    )
    assert said(broker.nodes(told), Level.MEND) == [
        "node b does not run: start it",
        "node c is short of memory and takes no messages: give it more",
        "node d is short of disk and takes no messages: give it more",
    ]


@pytest.mark.parametrize(("version", "most"), [((3, 10, 8), "128 MiB"), ((4, 0, 5), "16 MiB"), ((4, 3), "16 MiB")])
def test_how_large_messages_may_be_is_said_with_what_to_set_since_the_broker_does_not_show_it(
    version: tuple[int, ...], most: str
) -> None:
    (line,) = said(broker.sizes(version), Level.NOTE)
    assert f"RabbitMQ takes messages of up to {most} unless max_message_size" in line
    assert f"max_message_size = {broker.ENOUGH_BYTES}" in line
    shipped = (Path(__file__).parents[3] / "deploy" / "rabbitmq" / "rabbitmq.conf").read_text(encoding="utf-8")
    assert f"\nmax_message_size = {broker.ENOUGH_BYTES}\n" in shipped
    assert max(GOAL_BODY_BYTES, COMMAND_BODY_BYTES, BODY_BYTES) < broker.ENOUGH_BYTES


def test_rights_are_judged_by_what_they_reach_and_not_by_how_they_are_written() -> None:
    sufficient = {"configure": "", "write": r"^handrail\.", "read": r"^handrail\."}
    told: Any = Told(permissions=sufficient, users={"tags": []})
    assert said(broker.rights(told, "/", "runtime", WANTED), Level.MEND) == []
    one: Any = Told(permissions={**sufficient, "configure": r"^handrail\.goals$"}, users={"tags": []})
    (line,) = said(broker.rights(one, "/", "runtime", WANTED), Level.MEND)
    assert line.startswith("runtime may declare and delete handrail.goals: give it the role runtime")
    told = Told(permissions={**sufficient, "read": "("}, users={"tags": ["administrator"]})
    lines = said(broker.rights(told, "/", "runtime", WANTED), Level.MEND)
    assert any("may not read handrail.goals" in line for line in lines)
    assert any("is an administrator of the broker" in line for line in lines)
    assert "has no rights" in said(broker.rights(Told(), "/", "runtime", WANTED), Level.MEND)[0]  # type: ignore[arg-type]  # as above
    assert said(broker.rights(Told(), "/", "", WANTED), Level.NOTE)  # type: ignore[arg-type]  # as above


def test_clocks_are_judged_by_how_far_they_are_apart() -> None:
    levels = [clock("store", "the store", offset).level for offset in (0.0, 0.9, -1.5, 29.0, -31.0)]
    assert levels == [Level.OK, Level.OK, Level.WARN, Level.WARN, Level.MEND]
    assert clock("broker", "the broker", -1.5, coarse=1.0).level is Level.OK


async def test_a_check_that_fails_or_hangs_hides_nothing_of_the_others() -> None:
    let_go = threading.Event()

    def unreachable() -> list[Finding]:
        raise StoreUnavailable("the store is away")

    def broken() -> list[Finding]:
        raise KeyError("nobody expected this")

    def hanging() -> list[Finding]:
        let_go.wait(60)
        return []

    well = Finding("program", Level.OK, "well")
    found = await examine(
        {"store": unreachable, "broker": hanging, "rights": broken, "program": lambda: [well]}, seconds=0.2
    )
    let_go.set()
    assert [(one.about, one.level) for one in found] == [
        ("store", Level.MEND), ("broker", Level.MEND), ("rights", Level.MEND), ("program", Level.OK)
    ]  # fmt: skip
    assert found[0].text == "the store is away"
    assert "no answer within 0.2 s" in found[1].text
    assert "KeyError" in found[2].text


def test_the_library_is_held_to_what_the_project_pins() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))
    (pinned,) = [one for one in project["project"]["dependencies"] if one.startswith("eventsourcing")]
    least, below = (".".join(map(str, numbers)) for numbers in EVENTSOURCING)
    assert f">={least}" in pinned
    assert f"<{below}" in pinned
