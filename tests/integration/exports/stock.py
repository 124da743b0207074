"""Stores with histories that the engine decided, by chance: the same seed gives the same events in any store."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Annotated, Any

from pydantic import BaseModel

from domain import triggers as t
from domain.builtin import HEARTBEAT
from domain.definitions import Redactable, activity
from domain.ports import Cursor
from domain.recorded import RecordedEvent
from domain.store.application import WorkflowStore
from domain.workflow import Workflow
from projections.exporting.jsonl import JsonLines, Signer
from projections.exporting.reading import Histories, Selection
from projections.exporting.redaction import Redaction
from tests.unit.domain.recipes import define
from tests.unit.projections.histories import FIXED, PLANNED, START, Script


class Account(BaseModel):
    """Whose number may later be cut out."""

    iban: Annotated[str, Redactable()]
    country: str


class Payee(BaseModel):
    """Somebody to be paid."""

    bank: Account
    others: list[Account] = []
    amount: float = 0.1


@activity(effect="pure")
def check(payee: Payee) -> Payee:
    """Answer with what was given."""
    return payee


PAYING = define(check, name="paying")


@dataclass
class Keys:
    """The keys of workflows, written with their events."""

    rows: Sequence[tuple[str, str]]

    def run(self, cursor: Cursor) -> None:
        cursor.executemany("INSERT INTO workflow_keys (workflow_id, key) VALUES (?, ?)", self.rows)


def key_of(workflow_id: str) -> bytes:
    return sha256(workflow_id.encode()).digest()


def paying(workflow_id: str, number: int) -> Iterator[RecordedEvent]:
    """A workflow whose payloads hold marked values, floats, and texts beyond ASCII."""
    workflow = Workflow(workflow_id, key=key_of(workflow_id))
    payee: dict[str, Any] = {
        "bank": {"iban": f"NL{number:04d}", "country": "Nëderland"},
        "others": [{"iban": f"DE{number:04d}", "country": "DE"}, {"iban": f"DE{number:04d}", "country": "=1+1"}],
        "amount": number / 7,
    }
    start = t.StartWorkflow(
        goal='pay "Zoë"\n', definition="paying", definition_version="1", input=payee, requested_by="rita"
    )
    workflow.handle(t.Given(start, START, "goal", "rita"), PAYING)
    yield from workflow.collect_events()
    outcome = t.RecordOutcome(step="check", kind="run", attempt=1, status="ok", output=payee, worker="w")
    workflow.handle(t.Given(outcome, START + timedelta(seconds=number), "wf/check/run/1", "w"), PAYING)
    yield from workflow.collect_events()


def heartbeat(workflow_id: str) -> list[RecordedEvent]:
    """A workflow of Handrail's own."""
    workflow = Workflow(workflow_id)
    start = t.StartWorkflow(goal="beat", definition=HEARTBEAT, definition_version="1", input={}, requested_by="rita")
    workflow.handle(t.Given(start, START, "goal", "rita"), define(check, name=HEARTBEAT))
    return list(workflow.collect_events())


def histories(workflows: int, seed: int = 1, *, decisions: int = 8) -> list[list[RecordedEvent]]:
    """So many histories: each third one pays, the others go whatever way chance takes them."""
    made: list[list[RecordedEvent]] = []
    for number in range(1, workflows + 1):
        workflow_id = f"wf_{number:03d}"
        if number % 3 == 0:
            made.append(list(paying(workflow_id, number)))
            continue
        script = Script(random.Random(seed * 1_000 + number), (FIXED, PLANNED)[number % 2], Workflow(workflow_id))
        made.append(list(script.events(decisions)))
    return made


def fill(store: WorkflowStore, made: Sequence[Sequence[RecordedEvent]]) -> None:
    """Save the histories: all begin, one after the other, and then each goes on."""
    keys = Keys([(events[0].originator_id, key_of(events[0].originator_id).hex()) for events in made])
    begun = [store.mapper.to_row(events[0]) for events in made]
    store.recorder.insert_rows(begun, along=[keys])
    for events in made:
        rows = [store.mapper.to_row(one) for one in events[1:]]
        if rows:
            store.recorder.insert_rows(rows)


def exported(
    store: WorkflowStore, selection: Selection | None = None, *, rules: Sequence[str] = (), signer: Signer | None = None
) -> bytes:
    """The bytes of an export of the store, all of it where nothing else is said."""
    selection = selection or Selection()
    made = JsonLines(selection, Redaction(rules), signer)
    return b"".join(made.lines(Histories(store, store.mapper.clear, selection)))
