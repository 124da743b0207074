"""What must hold when it is quiet again.

Nothing is lost, nothing repeated, nothing stuck; every history replays, and the views say what it says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from domain.errors import WorkflowUnknown
from domain.ports import Definitions
from domain.replay import decide_again, fold
from domain.state import STATE
from domain.store.application import WorkflowStore
from projections.log import LogReader
from projections.rebuilding import Rebuild
from projections.sql import load_parked
from tests.chaos.expected import EXPECTED, child_of, keys, world_of
from tests.crash.books import Books
from tests.crash.checks import wrong_views
from tests.crash.outside import Outside

PROBLEMS_SHOWN = 50


@dataclass
class Verdict:
    """What was found."""

    workflows: int = 0
    completions: int = 0
    """Workflows that ended as they must."""
    lost: int = 0
    stuck: int = 0
    repeated: int = 0
    """Effects that were applied more than once, or by an attempt that called twice."""
    events: int = 0
    replayed: int = 0
    """Histories that were decided again without divergence."""
    turned_away: int = 0
    """Calls of attempts that had been given up, which the outside turned away after the undoing."""
    calls: dict[str, int] = field(default_factory=dict)
    """Calls to the outside, by what they asked for."""
    problems: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Nothing is wrong."""
        return not self.problems


def check(
    store: WorkflowStore,
    goals: Mapping[str, str],
    definitions: Definitions,
    outside: Callable[[str], Outside],
) -> Verdict:
    """Look at every workflow that was asked for, inside and outside; `goals` has their definitions by their ids."""
    verdict = Verdict()
    for workflow, definition in goals.items():
        verdict.workflows += 1
        books = outside(world_of(workflow)).books()
        found = list(_workflow(store, workflow, definition, definitions, verdict))
        child = child_of(workflow, definition)
        if child is not None and not found:
            found += _history(store, child, "completed", definitions, verdict)
        found += _outside(workflow, definition, books, verdict)
        if not found:
            verdict.completions += 1
        verdict.problems += found
    verdict.problems += _outstanding(store)
    verdict.problems += _rebuilt(store)
    return verdict


def _workflow(
    store: WorkflowStore, workflow: str, definition: str, definitions: Definitions, verdict: Verdict
) -> Iterator[str]:
    if not store.exists(workflow):
        verdict.lost += 1
        yield f"{workflow} ({definition}): is lost"
        return
    yield from _history(store, workflow, EXPECTED[definition].status, definitions, verdict)


def _history(
    store: WorkflowStore, workflow: str, status: str, definitions: Definitions, verdict: Verdict
) -> Iterator[str]:
    """Its chain holds, it folds to what the store loads, every decision comes out again, and it has ended."""
    try:
        events = store.read(workflow, verified=True)
    except WorkflowUnknown:
        yield f"{workflow}: is not in the store"
        return
    verdict.events += len(events)
    folded = fold(events)
    if STATE.dump_python(store.load(workflow)) != STATE.dump_python(folded):
        yield f"{workflow}: the state loaded is not the state folded"
    yield from wrong_views(store, events, folded)
    divergence = decide_again(events, definitions)
    if divergence is None:
        verdict.replayed += 1
    else:
        yield f"{workflow}: deciding again diverges: {divergence}"
    if folded.ended is None:
        verdict.stuck += 1
        yield (
            f"{workflow} ({folded.definition}): is stuck, {folded.status.value}: live={folded.live} "
            f"waits={folded.waits} dues={folded.dues}; last: {[event.name for event in events[-4:]]}"
        )
    elif folded.status.value != status:
        yield f"{workflow} ({folded.definition}): is {folded.status.value}, not {status}"
    elif folded.live or folded.waits or folded.dues:
        yield f"{workflow}: ended with live={folded.live} waits={folded.waits} dues={folded.dues}"


def _outside(workflow: str, definition: str, books: Books, verdict: Verdict) -> Iterator[str]:
    """Its effects happened once each, those and no others, and were undone in their order."""
    expected = EXPECTED[definition]
    effects = books.effects()
    repeated = [key for key, times in effects.items() if times != 1]
    repeated += [breach for breach in books.breaches if "twice" in breach or "without proof" in breach]
    verdict.repeated += len(repeated)
    for entry in books.entries:
        verdict.calls[entry.call.act] = verdict.calls.get(entry.call.act, 0) + 1
    verdict.turned_away += sum(entry.word == "late" for entry in books.entries)
    for breach in books.breaches:
        yield f"{workflow} ({definition}): {breach}"
    if repeated:
        yield f"{workflow} ({definition}): repeated: {repeated}"
    if sorted(effects) != sorted(keys(workflow, expected.applied)):
        yield f"{workflow} ({definition}): its effects are {sorted(effects)}, not those of {expected.applied}"
    if books.undone() != keys(workflow, expected.undone):
        yield f"{workflow} ({definition}): undone are {books.undone()}, not those of {expected.undone}"


def _rebuilt(store: WorkflowStore) -> Iterator[str]:
    """The views that projectors kept all the while are those that a rebuild makes of the log, row for row."""
    log = LogReader(store.recorder, store.mapper.read)
    report = Rebuild(store, log).run(mend=False, now=datetime.now(UTC))
    for one in report.shown:
        yield f"views: {one.view} {one.key} {one.how}: {one.live}, folded {one.folded}"


def _outstanding(store: WorkflowStore) -> Iterator[str]:
    """When all have ended, nothing is left to do."""
    left = store.query("SELECT message_id, state FROM inbox WHERE state IN ('open', 'claimed', 'handed_over')")
    for message_id, state in left:
        yield f"outstanding in the inbox: {message_id} is {state}"
    for workflow, due_at, *_ in store.query("SELECT workflow_id, due_at FROM timers"):
        yield f"left in the timers: {workflow} at {due_at}"
    for row in store.query("SELECT * FROM relay_parked"):
        yield f"left with the relay: {row}"
    for workflow, why in load_parked(store.query).items():
        yield f"{workflow}: its views are parked: {why}"
