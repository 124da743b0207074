"""A fork begins from the folded state of another workflow's prefix; effects before the cut stay the source's."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from domain import events as e
from domain.definitions import Definition, Redactable, Step, activity
from domain.errors import InputInvalid
from domain.forking import cut_at, fork_id, fork_of
from domain.nodes.intervention import MOST_FORKS
from domain.plan import ChildSpec, ref
from domain.recorded import RecordedEvent
from domain.replay import fold
from domain.state import STATE, Status, StepStatus
from domain.triggers import ForkHere, ForkWorkflow
from tests.unit.domain.recipes import act, define, pay, planner, policy, reserve
from tests.unit.domain.scenario import TRANSIENT, Scenario, given


def fork(source: Scenario, definition: Definition | None = None, upto: int | None = None, **parts: Any) -> Scenario:
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
        **parts,
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


def test_the_parent_of_the_source_is_not_the_fork_s() -> None:
    source = given(define(act("look")), parent_workflow="wf_000", parent_step="enrol")
    state = fork(source).state
    assert (state.parent_workflow, state.parent_step) == (None, None)


def test_the_definition_s_deadline_is_counted_from_the_fork_and_one_asked_for_is_not_the_fork_s() -> None:
    source = given(define(act("look"), act("tell"), deadline=timedelta(hours=1)))
    source.later(minutes=50).ok("look")
    forked = fork(source)
    assert forked.state.deadline_at == forked.now + timedelta(hours=1)
    asked_for = given(define(act("look")), deadline_at=source.now + timedelta(hours=9))
    assert asked_for.state.deadline_at is not None
    assert fork(asked_for).state.next_due is None


def test_a_second_fork_under_the_same_id_is_ignored() -> None:
    forked = fork(given(define(act("look"))))
    trigger = forked.history[0].event
    assert isinstance(trigger, e.WorkflowForked)
    again = ForkWorkflow(**trigger.model_dump(exclude={"trigger"}))
    forked.when(again).then_ignored("the workflow exists")


# --- input, budget, approvals ---------------------------------------------------------------------------------------


def with_input(name: str) -> Step:
    """A step that is given the workflow's `amount`."""
    return Step(name, act(name), input={"amount": ref("input.amount")})


def test_what_is_still_to_run_has_the_fork_s_input() -> None:
    source = given(define(with_input("look"), with_input("tell")), input={"amount": 1}).ok("look")
    forked = fork(source, input={"amount": 2})
    assert forked.event(e.StepScheduled).input == {"amount": 2}
    assert forked.state.input == {"amount": 2}
    assert fork(source).event(e.StepScheduled).input == {"amount": 1}


def test_an_input_that_a_person_gave_a_step_stays_unless_the_fork_has_one_of_its_own() -> None:
    source = given(define(with_input("look"), on_failure="intervene"), input={"amount": 1}).fails("look")
    source.retried("look", input={"amount": 7})
    assert fork(source).event(e.StepScheduled).input == {"amount": 7}
    assert fork(source, input={"amount": 2}).event(e.StepScheduled).input == {"amount": 2}


def test_a_fork_has_a_budget_of_its_own() -> None:
    source = given(define(act("look"), act("tell"), attempts_budget=1)).ok("look").waits_for(":budget")
    fork(source).then(e.WorkflowForked, e.StepScheduled)


def test_whoever_asked_for_the_source_does_not_decide_in_its_fork() -> None:
    definition = define(
        Step("pay", act("pay"), approval="default"), approvals=[policy(approvers=("*",), four_eyes=True)]
    )
    forked = fork(given(definition))
    for person in ("rita", "fred"):
        forked.approves("pay", by=person).then(e.DecisionRefused)
    fork(forked).approves("pay", by="rita").then(e.DecisionRefused)
    forked.approves("pay", by="ann").then(e.ApprovalRecorded, e.ApprovalGranted, e.StepScheduled)


def test_a_grant_of_a_step_that_is_planned_again_is_not_the_fork_s() -> None:
    definition = define(Step("pay", act("pay"), approval="default"), act("tell"), approvals=[policy()])
    source = given(definition).approves("pay", controls=("watch",))
    assert source.state.controls == ["watch"]
    forked = fork(source).then(e.WorkflowForked, e.ApprovalRequested)
    assert (forked.state.grants, forked.state.controls) == ({}, [])
    assert fork(source.ok("pay")).state.controls == ["watch"]


def test_files_are_the_source_s_and_the_artifact_is_written_again() -> None:
    written = (e.Artifact(name="n", digest="d", size=1),)
    source = (
        given(define(act("look"), artifact=act("write")))
        .ok("look", artifacts=written)
        .ok("_artifact", artifacts=written)
    )
    source.status_is(Status.COMPLETED)
    forked = fork(source).then(e.WorkflowForked, e.StepScheduled)
    assert (forked.event(e.StepScheduled).kind, forked.state.artifacts) == ("artifact", {})


class Secretive(BaseModel):
    """An output of which a part is marked."""

    iban: Annotated[str, Redactable()]
    seat: str = "3a"


def test_what_a_model_marks_is_marked_in_the_fork_s_beginning_too() -> None:
    async def ask(given: dict[str, Any]) -> Secretive:
        return Secretive(iban=str(given))

    look = activity(name="look", effect="pure")(ask)
    source = given(define(look, act("tell"))).ok("look", {"iban": "DE02", "seat": "3a"})
    begun = fork(source).event(e.WorkflowForked)
    assert begun.redactable == ("/state/settled/look/output/iban", "/state/output/iban")
    assert fork(source).state.settled["look"].output == {"iban": "DE02", "seat": "3a"}


# --- what is recorded in the source ---------------------------------------------------------------------------------


def taken(source: Scenario, fork_id: str = "wf_002") -> ForkHere:
    """A fork of what there is of a workflow."""
    state = source.state
    return ForkHere(version=state.version, digest=state.head, fork=fork_id, by="fred", reason="look again")


def test_a_fork_is_recorded_in_its_source_and_changes_nothing_there() -> None:
    for source in (
        given(define(act("look"), act("tell"))).ok("look"),
        given(define(act("look"), act("tell"))).ok("look").paused(),
        given(define(act("look"))).ok("look"),
        given(define(act("look"))).fails("look"),
    ):
        version, status = source.state.version, source.state.status
        source.when(taken(source)).then(e.ForkTaken).status_is(status)
        assert source.state.forks == {"wf_002": version}


def test_the_same_fork_is_taken_once() -> None:
    source = given(define(act("look"))).ok("look")
    asked = taken(source)
    source.when(asked).when(asked).then_ignored("taken before")


def test_a_workflow_has_a_bound_of_forks() -> None:
    source = given(define(act("look"))).ok("look")
    source.state.forks.update((f"wf_{number}", 1) for number in range(MOST_FORKS))
    source.shadow.state.forks.update(source.state.forks)
    source.replays = False
    source.when(taken(source, "wf_one_more")).then_refused("1,000 forks")


def test_a_fork_taken_from_its_source_begins_with_the_state_at_the_cut() -> None:
    source = given(define(act("look"), act("tell"))).ok("look")
    cut = cut_at(source.history, source.state.version)
    source.when(taken(source)).ok("tell")
    began = fork_of(fold(source.history, upto=cut.version), source.events(e.ForkTaken)[0])
    forked = Scenario(source.definition or define(act("look")), "wf_002").when(began)
    forked.then(e.WorkflowForked, e.StepScheduled)
    assert forked.event(e.WorkflowForked).source_digest == cut.digest
    with pytest.raises(InputInvalid, match="is not the one that it was taken from"):
        fork_of(source.state, source.events(e.ForkTaken)[0])


# --- where ----------------------------------------------------------------------------------------------------------


def test_a_fork_begins_at_the_end_of_a_decision() -> None:
    history = given(define(act("look"), act("tell"))).ok("look").history
    assert [one.name for one in history] == [
        "WorkflowStarted", "PlanProposed", "StepScheduled", "StepSucceeded", "StepScheduled"
    ]  # fmt: skip
    for version in (3, 5):
        assert cut_at(history, version).version == version
    for version, words in ((1, "give 3"), (2, "give 3"), (4, "give 3 or 5"), (0, "1 to 5"), (6, "1 to 5")):
        with pytest.raises(InputInvalid, match=words):
            cut_at(history, version)


def test_no_fork_begins_where_what_was_done_has_been_undone() -> None:
    source = given(define(reserve(), act("tell"))).ok("reserve").fails("tell")
    with pytest.raises(InputInvalid, match="begun to undo what it did, so that nothing can go on from there: give 5,"):
        cut_at(source.history, len(source.history))
    source.ok("reserve").status_is(Status.COMPENSATED)
    with pytest.raises(InputInvalid, match=r"\(reserve\).*give 5, from before the undoing"):
        cut_at(source.history, len(source.history))
    assert cut_at(source.history, 5).version == 5


def test_the_id_of_a_fork_follows_from_the_cut_the_input_and_the_salt() -> None:
    ids = {
        fork_id("wf_001", 5, None, ""),
        fork_id("wf_001", 5, None, "another"),
        fork_id("wf_001", 5, {"amount": 2}, ""),
        fork_id("wf_001", 6, None, ""),
        fork_id("wf_002", 5, None, ""),
    }
    assert len(ids) == 5
    assert fork_id("wf_001", 5, {"a": 1, "b": 2}, "") == fork_id("wf_001", 5, {"b": 2, "a": 1}, "")
