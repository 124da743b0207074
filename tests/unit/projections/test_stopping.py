"""A workflow that stops: what went wrong with a step that nobody tries any more is no trouble of it."""

import random
from datetime import timedelta

import pytest

from domain import triggers as t
from domain.definitions import Definition, Step
from domain.failures import FailureClass, make_failure
from domain.state import Status
from domain.workflow import Workflow
from projections.causes import Cause, Stuck
from projections.rows import WorkflowRow
from projections.stuck import still
from projections.views import fold
from tests.unit.projections.histories import ONCE_MORE, START, Script, send, undo, write

BOTH = Definition("both", steps=[Step("write", write), Step("send", send, after=[])], activities=[undo])
STUCK = Stuck(Cause.RETRYING_TOO_LONG, START, "write", "trouble:write")
FAILED = t.RecordOutcome(
    step="write",
    kind="run",
    attempt=1,
    status="failed",
    failure=make_failure("write", FailureClass.TRANSIENT, "no"),
)


class Played:
    """A workflow of two steps at once, and its row."""

    def __init__(self) -> None:
        self.script = Script(random.Random(1), BOTH, Workflow("wf_001"))
        self.row = WorkflowRow("wf_001")
        self.decide(t.StartWorkflow(goal="a goal", definition="both", definition_version="1", requested_by="rita"))

    def decide(self, trigger: t.Trigger) -> None:
        given = t.Given(trigger, self.script.at, "cause", "actor")
        for recorded in self.script.workflow.handle(given, BOTH).events:
            fold(self.row, recorded)


@pytest.mark.parametrize("runs", [False, True], ids=["was to be tried again", "runs"])
def test_what_is_not_tried_any_more_is_forgotten(runs: bool) -> None:
    played = Played()
    played.decide(FAILED)
    if runs:
        played.script.at += ONCE_MORE.initial_delay + timedelta(seconds=1)
        played.decide(t.Wake())
    assert still(played.row, STUCK)
    assert ("write" in played.row.standing.live) is runs
    played.decide(t.CancelWorkflow(by="olga", reason="because"))
    assert played.row.status == Status.STOPPING.value
    assert still(played.row, STUCK) is runs
