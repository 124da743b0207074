"""A fork begins from the folded state of another workflow's prefix; effects before the cut stay the source's."""

from __future__ import annotations

from typing import Any

from domain import events as e
from domain.definitions import Definition, Step
from domain.plan import ChildSpec
from domain.recorded import RecordedEvent
from domain.replay import fold
from domain.state import STATE, Status, StepStatus
from domain.triggers import ForkWorkflow
from tests.unit.domain.recipes import act, define, pay, planner, policy, reserve
from tests.unit.domain.scenario import TRANSIENT, Scenario, given


def fork(source: Scenario, definition: Definition | None = None, upto: int | None = None) -> Scenario:
    """A fork of a workflow at a version of it, the newest if none is named."""
    used = definition or source.definition
    assert used is not None
    cut: list[RecordedEvent] = source.history if upto is None else source.history[:upto]
    trigger = ForkWorkflow(
        source=source.state.workflow_id,
        source_version=len(cut),
        source_digest=cut[-1].digest,
        state=STATE.dump_python(fold(cut), mode="json"),
        requested_by="fred",
        reason="look again",
    )
    return Scenario(used, "wf_002").when(trigger)


def test_a_fork_goes_on_from_the_cut_under_its_own_id() -> None:
    forked = fork(given(define(act("look"), act("tell"))).ok("look", {"found": 1}))
    forked.then(e.WorkflowForked, e.StepScheduled).status_is(Status.EXECUTING)
    begun = forked.event(e.WorkflowForked)
    assert (begun.source, begun.source_version, begun.requested_by) == ("wf_001", 5, "fred")
    assert forked.event(e.StepScheduled).message_id == "wf_002/tell/run/2"
    assert forked.state.settled["look"].output == {"found": 1}
    forked.ok("tell").status_is(Status.COMPLETED)


def test_no_event_is_copied_and_the_source_does_not_change() -> None:
    source = given(define(act("look"), act("tell"))).ok("look")
    version, head = source.state.version, source.state.head
    assert fork(source).history[0].originator_version == 1
    assert (source.state.version, source.state.head) == (version, head)


def test_steps_open_at_the_cut_return_to_planned_and_run_with_keys_of_their_own() -> None:
    source = given(define(reserve(), act("tell")), input={"n": 1}).fails("reserve", TRANSIENT)
    forked = fork(source).then(e.WorkflowForked, e.StepScheduled).step_is("reserve", StepStatus.SCHEDULED)
    assert forked.event(e.StepScheduled).key == "wf_002/reserve/run"
    forked.fails("reserve", TRANSIENT).then(e.AttemptFailed, e.RetryScheduled)


def test_effects_before_the_cut_are_never_undone_by_the_fork() -> None:
    forked = fork(given(define(reserve("one"), reserve("two"), act("tell"))).ok("one")).ok("two").fails("tell")
    assert forked.event(e.CompensationStarted).steps == ("two",)
    behind_a_pivot = fork(given(define(reserve(), act("tell"))).ok("reserve")).fails("tell")
    behind_a_pivot.status_is(Status.FAILED)


def test_what_the_source_waited_for_is_asked_for_anew() -> None:
    source = given(define(Step("pay", act("pay"), approval="default"), approvals=[policy()]))
    old = source.decision("pay", "ann", "approve")
    forked = fork(source).then(e.WorkflowForked, e.ApprovalRequested).when(old)
    forked.then(e.DecisionRefused)
    assert forked.event(e.DecisionRefused).reason.startswith("it quotes digest")
    forked.approves("pay").then(e.ApprovalRecorded, e.ApprovalGranted, e.StepScheduled)


def test_an_unknown_outcome_belongs_to_the_source() -> None:
    forked = fork(given(define(pay(probe="ask"))).lapses("pay"))
    forked.then(e.WorkflowForked, e.StepScheduled).step_is("pay", StepStatus.SCHEDULED)


def test_a_child_of_the_source_is_not_the_fork_s() -> None:
    source = given(define(Step("enrol", child=ChildSpec(definition="child")), act("tell")))
    forked = fork(source).then(e.WorkflowForked, e.ChildStarted)
    assert forked.event(e.ChildStarted).child_workflow == "wf_002.enrol"


def test_a_failed_paused_or_cancelled_source_may_be_forked() -> None:
    for source in (
        given(define(act("look"), act("tell"))).ok("look").fails("tell"),
        given(define(act("look"), act("tell"))).ok("look").paused(),
        given(define(act("look"), act("tell"))).ok("look").cancelled(),
    ):
        fork(source).then(e.WorkflowForked, e.StepScheduled).ok("tell").status_is(Status.COMPLETED)


def test_a_fork_in_the_middle_of_planning_asks_the_planner_anew() -> None:
    definition = define(planner=planner(), activities=[act("look")])
    source = given(definition).ok("_plan", {"steps": [{"id": "look", "activity": "look"}], "done": False}).ok("look")
    forked = fork(source).then(e.WorkflowForked, e.PlanRequested, e.StepScheduled)
    assert forked.event(e.StepScheduled).input["round"] == 2


def test_a_fork_may_begin_anywhere_before_the_end() -> None:
    source = given(define(act("look"), reserve(), artifact=act("write"))).ok("look").ok("reserve")
    for version in range(1, len(source.history) + 1):
        forked = fork(source, upto=version)
        for _ in range(4):
            for step in list(forked.state.steps):
                if forked.state.ended is None and forked.state.steps[step].live is not None:
                    artifact: dict[str, Any] = {"artifacts": (e.Artifact(name="n", digest="d", size=1),)}
                    forked.ok(step, **(artifact if step == "_artifact" else {}))
        forked.status_is(Status.COMPLETED)


def test_the_deadline_and_the_parent_of_the_source_are_not_the_fork_s() -> None:
    from datetime import timedelta  # noqa: PLC0415 - for the one test with a deadline

    source = given(define(act("look"), deadline=timedelta(hours=1)), parent_workflow="wf_000", parent_step="enrol")
    state = fork(source).state
    assert (state.deadline_at, state.next_due, state.parent_workflow) == (None, None, None)


def test_a_second_fork_under_the_same_id_is_ignored() -> None:
    forked = fork(given(define(act("look"))))
    trigger = forked.history[0].event
    assert isinstance(trigger, e.WorkflowForked)
    again = ForkWorkflow(**trigger.model_dump(exclude={"trigger"}))
    forked.when(again).then_ignored("the workflow exists")
