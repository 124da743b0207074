"""The chaos harness itself: its plan repeats, its supervisor supervises, and its checks find what is planted."""

import asyncio
import itertools
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aio_pika import Message
from aio_pika.exceptions import AMQPConnectionError, ChannelNotFoundEntity

from deploy.opened import SCHEMA
from domain.messages import Goal, Signal, outgoing_goal, outgoing_signal
from domain.ports import Request
from domain.store.application import WorkflowStore
from domain.store.opening import open_sqlite_store
from domain.triggers import StartWorkflow
from tests.chaos.checks import check
from tests.chaos.crew import Crew, Member, Role
from tests.chaos.expected import EXPECTED, goals, keys
from tests.chaos.faults import Blow
from tests.chaos.figures import Report
from tests.chaos.line import connected, emptied
from tests.chaos.moments import called_within
from tests.chaos.plan import LONGEST_STOP_SECONDS, Kind, streams
from tests.chaos.service import asked_for
from tests.chaos.stage import DEFINITIONS, ledger
from tests.chaos.watch import Seen
from tests.crash.books import Call
from tests.crash.outside import Outside
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq import Vhost

AT = datetime(2030, 1, 2, tzinfo=UTC)
LIMIT_SECONDS = 20.0
WORKFLOW = "wf_chaos"
PROGRAM = (sys.executable, "-c")
PATIENT = "import signal; print('up', flush=True); signal.pause()"
POLITE = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print('up', flush=True)
signal.pause()
"""


# ---------------------------------------------------------------------------------------------------------- the plan


@pytest.mark.parametrize("hurried", [True, False])
def test_a_seed_repeats_its_plan_and_another_makes_another(hurried: bool) -> None:
    for stream in streams(hurried=hurried):
        first, again, other = (list(itertools.islice(stream.faults(seed), 40)) for seed in (7, 7, 8))
        assert first == again != other
    assert goals(100, random.Random(7)) == goals(100, random.Random(7)) != goals(100, random.Random(8))


def test_every_kind_of_fault_comes_in_every_round_and_none_lasts_too_long() -> None:
    for hurried in (True, False):
        found = streams(hurried=hurried)
        assert sorted(kind for stream in found for kind, _, _ in stream.kinds) == sorted(Kind)
        for stream in found:
            rounds = list(itertools.islice(stream.faults(3), 5 * len(stream.kinds)))
            for start in range(0, len(rounds), len(stream.kinds)):
                assert len({fault.kind for fault in rounds[start : start + len(stream.kinds)]}) == len(stream.kinds)
            assert all(0 <= fault.lasts_seconds <= LONGEST_STOP_SECONDS for fault in rounds)


def test_every_kind_of_workflow_is_asked_for() -> None:
    assert set(goals(len(EXPECTED), random.Random(1))) == set(EXPECTED)
    asked = asked_for(goals(50, random.Random(1)), "somebody", 1)
    assert len(asked) == 50
    assert {one.definition for one in asked.values()} == set(EXPECTED)


# ---------------------------------------------------------------------------------------------------- the supervisor


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while not condition():
            await called_within(asyncio.Event(), 0.01)


@asynccontextmanager
async def crew_of(folder: Path, code: str) -> AsyncIterator[tuple[Crew, Member]]:
    """A crew of one; it has ended when the block has."""
    crew = Crew([Role("one", (code,), worker=True)], {}, folder, PROGRAM)
    crew.start()
    try:
        yield crew, crew.members[0]
    finally:
        await crew.end()


def said(member: Member) -> str:
    return member.words.read_text() if member.words.exists() else ""


async def test_who_is_killed_is_started_again_and_is_not_said_to_have_fallen(tmp_path: Path) -> None:
    async with crew_of(tmp_path, POLITE) as (crew, member):
        await until(lambda: said(member) == "up\n")
        first = member.kill()
        await until(lambda: said(member) == "up\nup\n")
        assert member.process_id not in {None, first}
    assert (member.lives, member.kills, crew.fell) == (2, 1, [])


async def test_who_ends_by_itself_has_fallen(tmp_path: Path) -> None:
    async with crew_of(tmp_path, "print('oh'); raise SystemExit(3)") as (crew, member):
        await until(lambda: member.lives == 2)
    assert "ended by itself with 3:\noh" in crew.fell[0]


async def test_who_is_stopped_does_not_end_until_it_goes_on(tmp_path: Path) -> None:
    async with crew_of(tmp_path, POLITE) as (crew, member):
        await until(lambda: said(member) == "up\n")
        state = Path(f"/proc/{member.stop()}/stat")
        await until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T")
        member.go_on()
        await until(lambda: state.read_text().rpartition(")")[2].split()[0] != "T")
    assert crew.fell == []


async def test_who_does_not_heed_sigterm_has_fallen(tmp_path: Path) -> None:
    async with crew_of(tmp_path, PATIENT) as (crew, member):
        await until(lambda: said(member) == "up\n")
    assert f"ended with {-signal.SIGTERM} on SIGTERM" in crew.fell[0]


# --------------------------------------------------------------------------------------------------------- the queues


async def test_queues_are_emptied_over_connections_that_break(vhost: Vhost) -> None:
    names = [f"chaos.{number}" for number in range(3)]
    with Proxy(vhost.broker.port) as proxy:
        url = proxy.through(vhost.url)
        async with connected(vhost.url) as connection:
            channel = await connection.channel()
            for name in names:
                await channel.declare_queue(name, durable=True)
                await channel.default_exchange.publish(Message(b"x"), routing_key=name)
            for deleted in (False, True):
                proxy.refuse()
                emptying = asyncio.create_task(emptied(url, names, deleted=deleted, within_seconds=LIMIT_SECONDS))
                await until(lambda: proxy.refused > proxy.accepted)
                proxy.accept()
                assert await emptying == dict.fromkeys(names, 0 if deleted else 1)
            with pytest.raises(ChannelNotFoundEntity):
                await channel.get_queue(names[-1])


async def test_who_cannot_empty_the_queues_in_time_says_why(vhost: Vhost) -> None:
    with Proxy(vhost.broker.port) as proxy:
        proxy.refuse()
        with pytest.raises(AMQPConnectionError):
            await emptied(proxy.through(vhost.url), ["chaos.0"], deleted=False, within_seconds=0.0)


# -------------------------------------------------------------------------------------------------------- the watch


def test_the_log_tells_what_is_in_flight() -> None:
    seen = Seen()
    log = ("WorkflowStarted", "OutcomeUnknown:2", "OutcomeReconciled", "ApprovalGranted", "OutcomeUnknown")
    for number, topic in enumerate(log, start=1):
        seen.take((number, "wf", number, topic), float(number))
    assert (seen.position, seen.begun, seen.decided, seen.unknown) == (5, {"wf"}, {"wf"}, {"wf": (5, 5.0)})
    seen.take((6, "wf", 6, "WorkflowCompensated"), 6.0)
    assert seen.ended == {"wf": "compensated"}


# ------------------------------------------------------------------------------------------------------- the checks


@pytest.fixture(scope="module")
def ledger_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with ledger(tmp_path_factory.mktemp("ledger") / "calls.jsonl") as port:
        yield port


@pytest.fixture
def store() -> Iterator[WorkflowStore]:
    made = open_sqlite_store(":memory:", definitions=DEFINITIONS, schema=SCHEMA)
    yield made
    made.close()


def begin(store: WorkflowStore, definition: str) -> None:
    trigger = StartWorkflow(goal="x", definition=definition, definition_version="1", requested_by="rita")
    (decided,) = store.decide_turn([Request(WORKFLOW, trigger, AT, "a test", "rita")])
    assert decided.error is None


def test_what_is_not_in_the_store_is_lost_and_what_has_not_ended_is_stuck(
    store: WorkflowStore, ledger_port: int
) -> None:
    begin(store, "chaos plain")
    asked = {WORKFLOW: "chaos plain", "wf_never_seen": "chaos plain"}
    verdict = check(store, asked, DEFINITIONS, lambda world: Outside(ledger_port, f"empty {world}"))
    assert (verdict.lost, verdict.stuck, verdict.completions, verdict.replayed) == (1, 1, 0, 1)
    assert not verdict.good


def test_an_effect_that_happened_twice_is_found(store: WorkflowStore, ledger_port: int) -> None:
    (key,) = keys(WORKFLOW, ["wire"])
    for attempt in (1, 2):
        call = Call(act="apply_once", workflow=WORKFLOW, name="wire", key=key, attempt=attempt)
        Outside(ledger_port, f"twice {WORKFLOW}").request("call", call=call.model_dump())
    verdict = check(
        store, {WORKFLOW: "chaos unprobed"}, DEFINITIONS, lambda world: Outside(ledger_port, f"twice {world}")
    )
    assert verdict.repeated == 2
    assert any("without proof" in problem for problem in verdict.problems)
    assert any("repeated" in problem for problem in verdict.problems)


# -------------------------------------------------------------------------------------------------------- the report


def good_report() -> Report:
    report = Report(seed=1, workflows=2, hits_needed=1, doubled={"goal": 1, "approval": 1, "command": 1})
    report.blows = [Blow(kind, 1.0, hit=True, detail="") for kind in Kind]
    report.verdict.completions = 2
    return report


def test_a_good_run_has_no_problems_and_says_so() -> None:
    assert good_report().problems == []
    assert "nothing is wrong" in good_report().text()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda report: report.blows.pop(), "hit something in flight"),
        (lambda report: report.blows.__setitem__(0, Blow(Kind.WORKER_KILLED, 1.0, hit=False, detail="")), "SIGKILL"),
        (lambda report: setattr(report, "doubled", {"goal": 1, "approval": 1}), "sent twice"),
        (lambda report: setattr(report.verdict, "completions", 1), "ended as they must"),
        (lambda report: report.dead.append("x"), "dead letter"),
        (lambda report: report.fell.append("one ended by itself"), "by itself"),
        (lambda report: setattr(report, "bad_sent", 1), "bad messages"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_whatever_is_wrong_is_a_problem(spoil: Callable[[Report], object], words: str) -> None:
    report = good_report()
    spoil(report)
    assert any(words in problem for problem in report.problems), report.problems
    assert words in report.text()


def test_the_messages_of_the_harness_are_such_as_the_wire_takes() -> None:
    assert outgoing_goal(Goal(goal="x"), message_id="goal-1-1").exchange
    assert outgoing_signal(Signal(name="chaos.paid", correlation=WORKFLOW), message_id=f"paid/{WORKFLOW}").exchange
