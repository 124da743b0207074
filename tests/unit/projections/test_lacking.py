"""A definition that those who decide have and those who run steps have not: one cause, since it was said first."""

import random
from datetime import datetime, timedelta

import pytest

from domain import triggers as t
from domain.definitions import Definition, Step
from domain.failures import FailureClass, make_failure
from domain.workflow import Workflow
from projections.causes import Cause, Stuck
from projections.rows import WorkflowRow
from projections.stuck import CommandFacts, Facts, QueueFacts, first_look, judge, still
from projections.thresholds import SHIPPED, Thresholds
from projections.views import fold
from tests.unit.projections.histories import Script, write

POSTED = Definition("posted", steps=[Step("write", write)])
COMMAND = "wf_001/write/run/1"
HOUR = timedelta(hours=1)


class Played:
    """A workflow of one step whose command is scheduled, and its row."""

    def __init__(self) -> None:
        self.script = Script(random.Random(1), POSTED, Workflow("wf_001"))
        self.row = WorkflowRow("wf_001")
        self.decide(t.StartWorkflow(goal="a goal", definition="posted", definition_version="1", requested_by="rita"))

    def decide(self, trigger: t.Trigger, *, missing: bool = False, after: timedelta = timedelta(0)) -> None:
        """Decide where the definition is, or where it is `missing`, so long after the last time."""
        self.script.at += after
        workflow = self.script.workflow
        given = t.Given(trigger, self.script.at, "cause", "actor", frozenset(workflow.state.live))
        for recorded in workflow.handle(given, None if missing else POSTED).events:
            fold(self.row, recorded)

    def say_and_take_back(self) -> datetime:
        """Whoever lacks the definition has the workflow say so; whoever has it takes that back. When it was said."""
        self.decide(t.Wake(), missing=True, after=timedelta(seconds=10))
        said = self.script.at
        assert ":definition" in self.row.standing.waits
        self.decide(t.Wake(), after=timedelta(seconds=10))
        assert not self.row.standing.waits
        return said

    def stuck(self, state: str = "open") -> Stuck | None:
        """What it is stuck by an hour later, its command being in this state and its queue consumed."""
        facts = Facts({COMMAND: CommandFacts(state, issued=9)}, {"default": QueueFacts(consumers=1)})
        return judge(self.row, facts, self.script.at + HOUR, Thresholds()).stuck


@pytest.fixture
def played() -> Played:
    made = Played()
    assert list(made.row.standing.live) == ["write"]
    return made


def test_it_is_said_since_when_however_often_it_is_taken_back(played: Played) -> None:
    said = played.say_and_take_back()
    first = played.stuck()
    assert first == Stuck(Cause.DEFINITION_MISSING, said, "write", "trouble:write")
    played.say_and_take_back()
    assert played.stuck() == first
    played.decide(t.Wake(), missing=True)
    again = played.stuck()
    assert again is not None
    assert (again.cause, again.since, again.key) == (first.cause, first.since, first.key)
    assert still(played.row, again)
    assert first_look(played.row, Thresholds()) == said + SHIPPED["definition"]


def test_what_is_run_after_all_has_its_definition(played: Played) -> None:
    said = played.say_and_take_back()
    assert played.stuck("claimed") is None
    failed = t.RecordOutcome(
        step="write",
        kind="run",
        attempt=1,
        status="failed",
        failure=make_failure("write", FailureClass.TRANSIENT, "no"),
    )
    played.decide(failed)
    assert played.row.standing.troubles["write"].since == played.script.at > said
    assert played.row.standing.troubles["write"].why == ""


def test_the_next_command_may_come_to_somebody_else(played: Played) -> None:
    played.say_and_take_back()
    played.decide(t.PauseWorkflow(by="olga", reason="because"))
    played.decide(t.ResumeWorkflow(by="olga", reason="because"))
    assert list(played.row.standing.live) == ["write"]
    assert played.row.standing.troubles == {}
