"""The lifecycle table: every trigger in every status has its cell, and each cell does what it says."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from domain import events as e
from domain.definitions import Step
from domain.errors import WorkflowUnknown
from domain.lifecycle import COLUMNS, TABLE, Ignore, Unknown
from domain.nodes import intervention
from domain.state import TERMINAL, Status
from domain.triggers import (
    TRIGGER,
    TRIGGERS,
    AnyTrigger,
    CancelWorkflow,
    DeadLetterCommand,
    DeliverSignal,
    EndChild,
    ExtendBudget,
    ForkHere,
    ForkWorkflow,
    LapseAttempt,
    PauseWorkflow,
    RecordDecision,
    RecordOutcome,
    RestoreWorkflow,
    ResumeWorkflow,
    RetryStep,
    SettleOutcome,
    SkipStep,
    StartWorkflow,
    SupplyOutput,
    Trigger,
    Wake,
)
from tests.unit.domain.recipes import act, define, planner, policy, reserve
from tests.unit.domain.scenario import PERMANENT, Scenario, given

PERSON: dict[str, Any] = {"by": "oscar", "reason": "so"}
FORK = ForkWorkflow(source="wf_009", source_version=1, source_digest="0" * 64, state={}, requested_by="fred")
START = StartWorkflow(goal="goal", definition="test", definition_version="1", requested_by="rita")

EXAMPLES: dict[type[Trigger], Trigger] = {
    StartWorkflow: START,
    ForkWorkflow: FORK,
    RecordOutcome: RecordOutcome(step="look", kind="run", attempt=9, status="failed", failure=PERMANENT),
    LapseAttempt: LapseAttempt(step="look", kind="run", attempt=9),
    DeadLetterCommand: DeadLetterCommand(step="look", kind="run", attempt=9, reason="limit"),
    RecordDecision: RecordDecision(
        approval_id="look.9", round=9, digest="0" * 64, decision="approve", decided_by="ann"
    ),
    Wake: Wake(),
    DeliverSignal: DeliverSignal(name="news", correlation="k"),
    EndChild: EndChild(step="look", child_workflow="wf_009", status="completed"),
    RetryStep: RetryStep(step="nobody", **PERSON),
    SkipStep: SkipStep(step="nobody", **PERSON),
    SupplyOutput: SupplyOutput(step="nobody", **PERSON),
    SettleOutcome: SettleOutcome(step="nobody", applied=True, **PERSON),
    ExtendBudget: ExtendBudget(attempts=1, **PERSON),
    PauseWorkflow: PauseWorkflow(**PERSON),
    ResumeWorkflow: ResumeWorkflow(**PERSON),
    CancelWorkflow: CancelWorkflow(**PERSON),
    ForkHere: ForkHere(version=1, digest="0" * 64, fork="wf_fork", **PERSON),
    RestoreWorkflow: RestoreWorkflow(epoch=2, **PERSON),
}


def undoing() -> Scenario:
    return given(define(reserve(), act("look"))).ok("reserve").fails("look")


IN_STATUS: dict[Status, Callable[[], Scenario]] = {
    Status.NEW: lambda: Scenario(define(act("look"))),
    Status.PLANNING: lambda: given(define(planner=planner())),
    Status.EXECUTING: lambda: given(define(act("look"))),
    Status.BLOCKED: lambda: given(define(Step("look", act("look"), approval="default"), approvals=[policy()])),
    Status.PAUSED: lambda: given(define(act("look"))).paused(),
    Status.STOPPING: lambda: given(define(act("look"))).cancelled(),
    Status.COMPENSATING: undoing,
    Status.FINALIZING: lambda: given(define(act("look"), artifact=act("write"))).ok("look"),
    Status.COMPLETED: lambda: given(define(act("look"))).ok("look"),
    Status.FAILED: lambda: given(define(act("look"))).fails("look"),
    Status.CANCELLED: lambda: given(define(act("look"))).cancelled().ok("look"),
    Status.COMPENSATED: lambda: undoing().ok("reserve"),
}
CELLS = list(itertools.product(TRIGGERS, Status))
every_cell = pytest.mark.parametrize(
    ("kind", "status"), CELLS, ids=lambda value: value.__name__ if isinstance(value, type) else value.value
)


def test_every_trigger_in_every_status_has_its_cell() -> None:
    assert set(TABLE) == set(CELLS)
    assert set(COLUMNS) == set(Status)
    assert len(COLUMNS) == len(Status)


def test_every_trigger_is_listed_and_can_be_read_back() -> None:
    every = set(Trigger.__subclasses__()) | {one for kind in Trigger.__subclasses__() for one in kind.__subclasses__()}
    assert set(TRIGGERS) == {kind for kind in every if "type" in kind.model_fields}
    assert len({kind.model_fields["type"].default for kind in TRIGGERS}) == len(TRIGGERS)
    assert AnyTrigger is not None
    for one in EXAMPLES.values():
        assert TRIGGER.validate_python(one.model_dump(mode="json", exclude_none=True)) == one


def test_there_is_an_example_of_every_trigger_and_a_way_to_every_status() -> None:
    assert set(EXAMPLES) == set(TRIGGERS)
    for status, way in IN_STATUS.items():
        way().status_is(status)
    assert set(IN_STATUS) == set(Status)


@every_cell
def test_each_cell_does_what_it_says(kind: type[Trigger], status: Status) -> None:
    scenario = IN_STATUS[status]()
    trigger = EXAMPLES[kind]
    if isinstance(trigger, StartWorkflow) and status is not Status.NEW:
        trigger = trigger.model_copy(update={"goal": scenario.state.goal})
    cell = TABLE[kind, status]
    if isinstance(cell, Unknown):
        with pytest.raises(WorkflowUnknown, match="wf_001"):
            scenario.when(trigger)
    elif isinstance(cell, Ignore):
        scenario.when(trigger).then()
        assert scenario.last.ignored == cell.reason
    elif cell is intervention.not_here:
        scenario.when(trigger).then(e.DecisionRefused).then_refused(f"the workflow is {status.value}")
    elif kind is not ForkWorkflow:
        scenario.when(trigger)
        assert scenario.last.events or scenario.last.ignored or kind is Wake, "never silently dropped"


def test_only_what_is_new_is_unknown() -> None:
    unknown = {(kind, status) for (kind, status), cell in TABLE.items() if isinstance(cell, Unknown)}
    assert {status for _, status in unknown} == {Status.NEW}
    assert {kind for kind, _ in unknown} == set(TRIGGERS) - {StartWorkflow, ForkWorkflow}


def test_every_reason_to_ignore_is_in_words() -> None:
    reasons = {cell.reason for cell in TABLE.values() if isinstance(cell, Ignore)}
    assert all(len(reason.split()) >= 2 for reason in reasons)


def test_what_a_person_sends_is_refused_on_the_record_or_already_so() -> None:
    """A person always gets an answer: an act that does not fit is an event, not silence."""
    for (kind, status), cell in TABLE.items():
        if kind.by_person and isinstance(cell, Ignore):
            assert cell.reason in {"already so", "the workflow is not paused"}, (kind, status)


def test_after_a_terminal_event_nothing_is_decided_but_what_comes_late_is_heard() -> None:
    heard = {kind for (kind, status), cell in TABLE.items() if status in TERMINAL and not isinstance(cell, Ignore)}
    late_or_person = {kind for kind in TRIGGERS if kind.by_person} | {RecordOutcome}
    assert heard == late_or_person


def test_a_workflow_that_is_over_stays_over_whatever_comes() -> None:
    for status in sorted(TERMINAL):
        scenario = IN_STATUS[status]()
        for kind, trigger in EXAMPLES.items():
            if kind is not StartWorkflow:
                scenario.when(trigger).status_is(status)
                assert set(scenario.names(scenario.last.events)) <= {"DecisionRefused", "ForkTaken"}
