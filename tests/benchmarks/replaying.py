"""Every history of a store decided again, and what the chain of digests costs when events are appended.

The histories are what the engine decides: chains of five, claims with a retry and an approval, workflows that wait.
What is measured is the real program, in a process of its own. The cost of the chain is a ratio: the same facts, with
their digests and without, encoded and appended in turn to stores of their own.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from deploy.loading import LoadedDefinitions
from deploy.opened import open_store
from domain.definitions import Definition
from domain.events import ApprovalRequested
from domain.failures import FailureClass, make_failure
from domain.recorded import RecordedEvent
from domain.store.application import WorkflowStore
from domain.store.opening import open_postgres_store, open_sqlite_store
from domain.store.shelf import WORKFLOWS_HELD
from domain.triggers import Given, RecordDecision, RecordOutcome, StartWorkflow, Trigger, Wake
from domain.workflow import Workflow
from tests.benchmarks import turns
from tests.benchmarks.exporting import measured
from tests.benchmarks.figures import Figure, Report
from tests.benchmarks.programs import ProgramFailed
from tests.benchmarks.readings import OURS, Plan, keep
from tests.benchmarks.recipes import CHAIN, CHAIN_STEPS, CLAIMS, NOTE, WAITING
from tests.contracts.stage import OpenStore
from tests.integration.exports.stock import fill
from tests.servers.postgres import own_cluster
from tests.servers.processes import ServerBroken, ServerMissing

EVENTS_A_SECOND: Final = 20_000.0
CHAIN_AT_MOST: Final = 1.10
"""Appending with the chain, of appending without."""
APPEND_SECONDS: Final = 1.0
IN_FLIGHT: Final = 50
_FILLED_AT_ONCE: Final = 1_000
_BEGINNING: Final = datetime(2030, 1, 1, tzinfo=UTC)
_OUTCOME: Final = {"i": 1, "ok": True, "note": NOTE}


def replaying(report: Report, folder: Path, plan: Plan) -> None:
    """Fill a home and decide all of it again; then append with the chain and without."""
    home = folder / "replayed"
    events = _fill(home, plan.replayed)
    command = ("-m", "deploy.cli", "replay", "--all", "--home", str(home), "--module", "tests.benchmarks.recipes")
    for _ in range(plan.rounds):
        keep(report, OURS, "replay --all", measured("replay --all", command, events))
    rate = statistics.mean(report.of(OURS, "replay --all", "events_per_second"))
    burnt = statistics.mean(report.of(OURS, "replay --all", "events_per_cpu_second"))
    parts = f"{events} events; {burnt:,.0f} a second of processor time"
    report.figures.append(Figure("replay --all: events a second", rate, EVENTS_A_SECOND, parts=parts))
    _appending(report, folder, plan)


# --- what the engine decides ----------------------------------------------------------------------------------------


class _Case:
    """One workflow, driven as the engine drives it, a second a decision."""

    def __init__(self, definition: Definition, workflow_id: str, given: dict[str, Any]) -> None:
        self._definition = definition
        self._workflow = Workflow(workflow_id, key=sha256(workflow_id.encode()).digest())
        self._at = _BEGINNING
        name, version = definition.name, definition.version
        self.tell(
            StartWorkflow(goal=name, definition=name, definition_version=version, input=given, requested_by="claimant")
        )

    def tell(self, trigger: Trigger, *, later: float = 1.0) -> None:
        self._at += timedelta(seconds=later)
        self._workflow.handle(Given(trigger, self._at, f"cause-{self._workflow.version}", "worker"), self._definition)

    def ok(self, step: str, output: Any, attempt: int = 1) -> None:
        outcome = RecordOutcome(
            step=step, kind="run", attempt=attempt, status="ok", output=output, worker="worker", claimed_at=self._at
        )
        self.tell(outcome)

    def failed(self, step: str) -> None:
        failure = make_failure(step, FailureClass.TRANSIENT, "the line is busy", type_name="Transient")
        self.tell(RecordOutcome(step=step, kind="run", attempt=1, status="failed", failure=failure, worker="worker"))
        self.tell(Wake(), later=60.0)

    def approved(self, step: str) -> None:
        asked: ApprovalRequested = self._workflow.state.ballots[step].request
        quoted: dict[str, Any] = {"approval_id": asked.approval_id, "round": asked.round, "digest": asked.digest}
        self.tell(RecordDecision(decision="approve", decided_by="manager", **quoted), later=3_600.0)

    def history(self) -> list[RecordedEvent]:
        return list(self._workflow.collect_events())


def _chain(workflow_id: str) -> list[RecordedEvent]:
    case = _Case(CHAIN, workflow_id, {})
    for number in range(CHAIN_STEPS):
        case.ok(f"step{number}", _OUTCOME)
    return case.history()


def _claim(workflow_id: str) -> list[RecordedEvent]:
    claim = {"claimant": "Zoë", "amount": 2_500}
    case = _Case(CLAIMS, workflow_id, claim)
    case.ok("collect", claim)
    case.failed("assess")
    case.ok("assess", {"worth": 2_500, "note": NOTE}, attempt=2)
    case.approved("pay")
    case.ok("pay", _OUTCOME)
    case.ok("tell", _OUTCOME)
    return case.history()


def _waiting(workflow_id: str) -> list[RecordedEvent]:
    case = _Case(WAITING, workflow_id, {"about": "a claim"})
    case.ok("screen", _OUTCOME)
    return case.history()


_KINDS: Final[tuple[Callable[[str], list[RecordedEvent]], ...]] = (_chain, _claim, _chain, _claim, _waiting)


def histories() -> Iterator[list[RecordedEvent]]:
    """Histories without end."""
    for number, kind in zip(count(1), cycle(_KINDS), strict=False):
        yield kind(f"wf_{number:07d}")


def _fill(home: Path, events: int) -> int:
    """Put at least so many events into a home; how many they are."""
    store = open_store(home, LoadedDefinitions())
    try:
        made, more = 0, histories()
        while made < events:
            batch = list(islice(more, _FILLED_AT_ONCE))
            fill(store, batch)
            made += sum(map(len, batch))
        return made
    finally:
        store.close()


# --- what the chain costs -------------------------------------------------------------------------------------------


def _appending(report: Report, folder: Path, plan: Plan) -> None:
    """Turns as the engine takes them: loaded, decided, appended with the inbox's rows, committed."""
    numbers = count()

    def sqlite(**more: Any) -> WorkflowStore:
        return open_sqlite_store(folder / f"appended-{next(numbers)}.sqlite", workflows_held=WORKFLOWS_HELD, **more)

    try:
        cluster = own_cluster()
    except (ServerMissing, ServerBroken) as error:
        raise ProgramFailed(str(error)) from error

    def postgres(**more: Any) -> WorkflowStore:
        url = cluster.new_database().url
        return open_postgres_store(url, create=True, workflows_held=WORKFLOWS_HELD, **more)

    try:
        for kind, opened in (("SQLite", sqlite), ("PostgreSQL", postgres)):
            _compare(report, kind, opened, plan)
    finally:
        cluster.leave()


def _compare(report: Report, kind: str, opened: OpenStore, plan: Plan) -> None:
    taken: dict[bool, list[dict[str, float]]] = {True: [], False: []}
    for number in range(plan.pairs + 1):
        # Turned round every other time, so that neither always comes after the other.
        for chained in (True, False) if number % 2 == 0 else (False, True):
            with nullcontext() if chained else without_chain():
                figures = turns.measured(opened, IN_FLIGHT, APPEND_SECONDS)
            if number:  # the first warms up
                taken[chained].append(figures)
    ratios = {what: _ratio(what, taken) for what in ("cpu_microseconds_a_step", "microseconds_a_step")}
    keep(report, OURS, f"append, {kind}", {f"{what}_of_without": round(one, 4) for what, one in ratios.items()})
    burnt, took = ratios.values()
    with_chain, without = (
        statistics.median(one["cpu_microseconds_a_step"] for one in taken[so]) for so in (True, False)
    )
    parts = f"{with_chain:.0f} µs of processor time a step with, {without:.0f} without; by the clock {took:.2f}"
    name = f"append, {kind}: with the chain, of without"
    report.figures.append(Figure(name, burnt, CHAIN_AT_MOST, better="lower", parts=parts))


def _ratio(what: str, taken: Mapping[bool, Sequence[Mapping[str, float]]]) -> float:
    return statistics.median(one[what] / other[what] for one, other in zip(taken[True], taken[False], strict=True))


class _NoDigest:
    def __init__(self, _: bytes) -> None:
        pass

    def hexdigest(self) -> str:
        return ""


@contextmanager
def without_chain() -> Iterator[None]:
    """Have no digests made and none stored: an event is its header and its payload."""

    def without(recorded: RecordedEvent) -> bytes:
        return b"\n".join((recorded.header, recorded.payload))

    with (
        patch("domain.recorded.sha256", _NoDigest),
        patch("domain.recorded.link", lambda *_: ""),
        patch("domain.recorded.payload_digest", lambda *_, **__: ""),
        patch("domain.store.mapper.to_state", without),
        patch.dict("domain.recorded._shared", clear=True),
    ):
        yield
