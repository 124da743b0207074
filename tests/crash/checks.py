"""What must hold when a workflow has ended, however often its process was killed on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from deploy.loading import load
from deploy.opened import open_store
from domain.errors import WorkflowUnknown
from domain.recorded import RecordedEvent
from domain.replay import decide_again, fold
from domain.state import STATE, State
from domain.store.application import WorkflowStore
from projections.keeper import Keeper
from projections.log import LogReader
from projections.projector import catch_up
from projections.rows import WorkflowRow
from projections.schema import JUDGED, WORKFLOW_COLUMNS
from projections.sql import _workflow_values, load_parked, load_steps, load_workflows
from projections.views import fold as fold_row
from tests.crash.books import Books
from tests.crash.processes import MODULE, STRANGERS, Place

DEFINITIONS = load([MODULE, STRANGERS], examples=False)


@dataclass(frozen=True)
class Record:
    """What came of a workflow, its children included: inside, outside, and what is wrong in itself."""

    statuses: dict[str, str]
    outputs: dict[str, dict[str, Any]]
    steps: dict[str, dict[str, str]]
    artifacts: dict[str, str]
    books: Books
    wrong: tuple[str, ...]


@contextmanager
def opened(place: Place) -> Iterator[WorkflowStore]:
    """The store of a place where nothing runs."""
    store = open_store(place.home, DEFINITIONS)
    try:
        yield store
    finally:
        store.close()


def look(place: Place, workflow: str) -> State | None:
    """Where a workflow stands; None where there is none."""
    if not place.home.exists():
        return None
    with opened(place) as store:
        try:
            return store.load(workflow)
        except WorkflowUnknown:
            return None


def record_of(place: Place) -> Record:
    """What is in the store, in the views, in the folder of artifacts, and outside."""
    wrong: list[str] = []
    with opened(place) as store:
        keeper = Keeper(store)
        catch_up(keeper, LogReader(store.recorder, store.mapper.read))
        states: dict[str, State] = {}
        for workflow in store.workflow_ids():
            events = store.read(workflow, verified=True)
            states[workflow] = fold(events)
            wrong += _wrong_history(store, events, states[workflow])
            wrong += wrong_views(store, events, states[workflow])
        wrong += _outstanding(store)
    artifacts = {
        f"{workflow}/{name}": written.digest
        for workflow, state in states.items()
        for name, written in state.artifacts.items()
    }
    wrong += _wrong_artifacts(place, artifacts)
    books = place.outside.books()
    return Record(
        statuses={workflow: state.status.value for workflow, state in states.items()},
        outputs={
            workflow: {name: one.output for name, one in state.settled.items()} for workflow, state in states.items()
        },
        steps={
            workflow: {name: state.step_status(name).value for name in (*state.settled, *state.steps)}
            for workflow, state in states.items()
        },
        artifacts=artifacts,
        books=books,
        wrong=(*wrong, *books.breaches),
    )


def compare(disturbed: Record, undisturbed: Record) -> list[str]:
    """What is wrong with a disturbed run, in itself and against the undisturbed one."""
    found = list(disturbed.wrong)
    for what in ("statuses", "outputs", "steps", "artifacts"):
        mine, other = getattr(disturbed, what), getattr(undisturbed, what)
        if mine != other:
            found.append(f"{what}: {mine}, undisturbed: {other}")
    if set(disturbed.books.effects().values()) - {1}:
        found.append(f"effects applied more than once: {disturbed.books.effects()}")
    if disturbed.books.effects() != undisturbed.books.effects():
        found.append(f"effects: {disturbed.books.effects()}, undisturbed: {undisturbed.books.effects()}")
    if disturbed.books.undone() != undisturbed.books.undone():
        found.append(f"undone: {disturbed.books.undone()}, undisturbed: {undisturbed.books.undone()}")
    return found


def _wrong_history(store: WorkflowStore, events: list[RecordedEvent], folded: State) -> Iterator[str]:
    """The history must fold to what the store loads, and every decision come out again as recorded."""
    name = folded.workflow_id
    loaded = store.load(name)
    if STATE.dump_python(loaded) != STATE.dump_python(folded):
        yield f"{name}: the state loaded is not the state folded"
    divergence = decide_again(events, DEFINITIONS)
    if divergence is not None:
        yield f"{name}: deciding again diverges: {divergence}"
    if folded.live or folded.waits or folded.dues:
        yield f"{name}: ended with live={folded.live} waits={folded.waits} dues={folded.dues}"


def _told_by_events(row: WorkflowRow) -> dict[str, Any]:
    """A row's columns, but for what is judged of it now and then."""
    values = dict(zip(WORKFLOW_COLUMNS, _workflow_values(row), strict=True))
    return {name: value for name, value in values.items() if name not in JUDGED}


def wrong_views(store: WorkflowStore, events: list[RecordedEvent], folded: State) -> Iterator[str]:
    """The views must hold the rows that folding the history gives."""
    name = folded.workflow_id
    fresh = WorkflowRow(name)
    for recorded in events:
        fold_row(fresh, recorded)
    row = load_workflows(store.query, [name]).get(name)
    if row is None:
        yield f"{name}: is not in the views"
        return
    steps = {step.step: step for _, step in load_steps(store.query, [(name, step) for step in fresh.steps])}
    fresh_steps = dict(fresh.steps)
    if (kept := _told_by_events(row)) != (folds := _told_by_events(fresh)):
        yield f"{name}: its row is {kept}, folding gives {folds}"
    if steps != fresh_steps:
        yield f"{name}: the rows of its steps are {steps}, folding gives {fresh_steps}"
    if str(row.status) != folded.status.value:
        yield f"{name}: its row says {row.status}, its state {folded.status}"


def _outstanding(store: WorkflowStore) -> Iterator[str]:
    """When all workflows have ended, nothing is left to do, and no view stands still."""
    for message_id, state in store.query("SELECT message_id, state FROM inbox WHERE state IN ('open', 'claimed')"):
        yield f"outstanding in the inbox: {message_id} is {state}"
    for row in store.query("SELECT * FROM timers"):
        yield f"left in the timers: {row}"
    for workflow, why in load_parked(store.query).items():
        yield f"{workflow}: its views are parked: {why}"


def _wrong_artifacts(place: Place, artifacts: dict[str, str]) -> Iterator[str]:
    """Every artifact on record is there, whole, and nothing half-written is beside it."""
    folder = place.home / "workflows"
    for name, digest in artifacts.items():
        file = folder / name
        if not file.is_file():
            yield f"artifact {name} is missing"
        elif hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            yield f"artifact {name} is not what was recorded"
