"""After a backup was put back: what may have happened in the time that was lost does not happen again unasked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from domain import events as e
from domain.definitions import Step
from domain.ids import EPOCH_ATTEMPTS, attempts_made, epoch_of, next_attempt_number
from domain.plan import ChildSpec
from domain.state import STATE, Status, StepStatus
from domain.triggers import ForkWorkflow, StartWorkflow
from tests.unit.domain.recipes import act, define, pay, planner, policy, reserve
from tests.unit.domain.scenario import NOT_APPLIED, PERMANENT, TRANSIENT, Scenario, given

SEAT = {"seat": 1}
SECOND_EPOCH = "wf_001/{}/{}/1000001"


def restored_before_pay(**options: Any) -> Scenario:
    """A payment is next, and may have been made in the time that was lost."""
    return given(define(act("look"), pay(**options), act("tell"))).restored().ok("look")


# --- what was under way -----------------------------------------------------------------------------------------------


def test_a_once_step_under_way_is_unknown_whether_it_was_claimed_or_not() -> None:
    for scenario in (given(define(pay())), given(define(pay())).left_open()):
        scenario.restored().then(e.WorkflowRestored, e.OutcomeUnknown).waits_for("pay:outcome_unknown")
        assert scenario.event(e.WorkflowRestored).ended == ("wf_001/pay/run/1",)
        assert not scenario.state.live


def test_a_once_step_under_way_is_on_the_list_of_what_is_undone() -> None:
    scenario = given(define(pay())).restored().cancelled().settled("pay", applied=True)
    assert scenario.event(e.CompensationScheduled).step == "pay"


def test_a_probe_is_asked_after_its_time() -> None:
    scenario = given(define(pay(probe="ask", settle_after=timedelta(seconds=30)))).restored()
    assert scenario.event(e.OutcomeUnknown).probe_due_at == scenario.now + timedelta(seconds=30)
    scenario.later(30).wakes().then(e.StepScheduled)
    assert scenario.event(e.StepScheduled).kind == "probe"


def test_what_may_run_again_does_under_a_message_id_of_the_new_epoch_and_the_same_key() -> None:
    scenario = given(define(reserve()))
    before = scenario.event(e.StepScheduled)
    scenario.restored().then(e.WorkflowRestored, e.StepScheduled)
    again = scenario.event(e.StepScheduled)
    assert (again.message_id, again.key) == (SECOND_EPOCH.format("reserve", "run")[:-1] + "2", before.key)
    scenario.ok("reserve", SEAT).status_is(Status.COMPLETED)


def test_what_was_under_way_and_may_run_again_is_undone_where_it_does_not() -> None:
    scenario = given(define(reserve(), act("tell"))).paused().restored().resumed().cancelled()
    scenario.ok("reserve", SEAT)
    assert scenario.event(e.CompensationScheduled).step == "reserve"
    revoked = given(define(reserve())).restored().left_open().cancelled()
    assert revoked.event(e.CompensationScheduled).step == "reserve"


def test_a_stopping_workflow_asks_about_the_once_step_that_it_waited_for() -> None:
    scenario = given(define(pay())).cancelled().restored().then(e.WorkflowRestored, e.OutcomeUnknown)
    scenario.status_is(Status.STOPPING).settled("pay", applied=False).status_is(Status.CANCELLED)


def test_a_paused_workflow_stays_paused_and_asks_when_it_is_resumed() -> None:
    scenario = given(define(pay())).left_open().paused().restored().then(e.WorkflowRestored).status_is(Status.PAUSED)
    scenario.resumed().then(e.WorkflowResumed, e.StepScheduled, e.OutcomeUnknown).waits_for("pay:outcome_unknown")


def test_without_the_definition_it_is_recorded_and_asked_about_when_it_is_there_again() -> None:
    definition = define(pay())
    scenario = given(definition).unloaded().restored().then(e.WorkflowRestored, e.WaitStarted)
    scenario.loaded(definition).wakes().then(e.WaitSatisfied, e.OutcomeUnknown).waits_for("pay:outcome_unknown")


def test_the_planner_and_the_artifact_are_asked_for_again() -> None:
    scenario = given(define(planner=planner(), artifact=act("write"))).restored()
    assert scenario.event(e.StepScheduled).message_id == "wf_001/_plan/plan/1000002"
    scenario.ok("_plan", {"steps": [], "done": True}).restored(3)
    assert scenario.event(e.StepScheduled).message_id == "wf_001/_artifact/artifact/2000002"


def test_an_undoing_under_way_is_tried_again() -> None:
    scenario = given(define(reserve(), act("tell"))).ok("reserve", SEAT).fails("tell").restored()
    scenario.then(e.WorkflowRestored, e.StepScheduled).ok("reserve").status_is(Status.COMPENSATED)


# --- what comes next --------------------------------------------------------------------------------------------------


def test_a_once_step_whose_turn_comes_is_asked_about_before_it_runs() -> None:
    scenario = restored_before_pay().then(e.StepSucceeded, e.StepScheduled, e.OutcomeUnknown)
    assert scenario.event(e.OutcomeUnknown).revoked == (SECOND_EPOCH.format("pay", "run"),)
    scenario.waits_for("pay:outcome_unknown")
    assert not scenario.state.live


def test_a_once_step_whose_turn_comes_has_its_probe_asked_with_input_and_key() -> None:
    scenario = restored_before_pay(probe="ask").later(60).wakes().then(e.StepScheduled)
    asked = scenario.event(e.StepScheduled)
    assert (asked.kind, asked.input["idempotency_key"]) == ("probe", "wf_001/pay/run")
    scenario.ok("pay", {"paid": 1}).then(e.OutcomeReconciled, e.StepSucceeded, e.StepScheduled)


def test_once_it_is_known_that_it_did_not_run_it_does_with_all_its_time_and_attempts() -> None:
    scenario = restored_before_pay(schedule_to_finish=timedelta(minutes=1)).later(days=3)
    scenario.settled("pay", applied=False).later(5).wakes().then(e.StepScheduled)
    scenario.fails("pay", NOT_APPLIED).later(5).wakes().then(e.StepScheduled).ok("pay").ok("tell")
    scenario.status_is(Status.COMPLETED)


def test_one_that_did_run_is_undone_with_the_others() -> None:
    scenario = restored_before_pay().settled("pay", applied=True, output={"paid": 1}).fails("tell")
    assert scenario.event(e.CompensationScheduled).step == "pay"


def test_a_retry_that_is_overdue_does_not_run_before_it_is_asked_about() -> None:
    scenario = given(define(pay())).fails("pay", NOT_APPLIED).later(60).restored()
    scenario.then(e.WorkflowRestored, e.StepScheduled, e.OutcomeUnknown).waits_for("pay:outcome_unknown")


def test_a_step_that_was_granted_is_asked_about_after_the_approval() -> None:
    scenario = given(define(Step("pay", pay(), approval="default"), approvals=[policy()])).restored()
    scenario.then(e.WorkflowRestored).approves("pay").waits_for("pay:outcome_unknown")


def test_a_step_of_a_later_plan_may_have_run_too() -> None:
    scenario = given(define(planner=planner(), activities=[pay()])).restored()
    scenario.ok("_plan", {"steps": [{"id": "pay", "activity": "pay"}], "done": True}).waits_for("pay:outcome_unknown")


def test_a_step_that_is_doubted_as_it_begins_keeps_its_place() -> None:
    """Or two would run at once where one may: this one, when its probe says that it has not run, and the next."""
    after_look = Step("pay", pay(probe="ask"), after=("look",)), Step("tell", act("tell"), after=("look",))
    scenario = given(define(act("look"), *after_look, parallel=1)).restored().ok("look")
    scenario.then(e.StepSucceeded, e.StepScheduled, e.OutcomeUnknown)


def test_another_input_is_another_effect_and_is_asked_about_too() -> None:
    scenario = given(define(pay(), on_failure="intervene")).restored().settled("pay", applied=False).later(5).wakes()
    scenario.denies("pay").retried("pay", input={"amount": 2}).waits_for("pay:outcome_unknown")


def test_a_settled_step_is_not_doubted() -> None:
    scenario = given(define(pay(), act("tell"))).ok("pay").restored().then(e.WorkflowRestored, e.StepScheduled)
    scenario.ok("tell").status_is(Status.COMPLETED)


def test_an_undoing_that_may_happen_but_once_asks_for_a_person_first() -> None:
    undo = act("undo_reserve", "once", pivot=True)
    scenario = given(define(reserve(), act("tell"), activities=[undo])).ok("reserve", SEAT).restored().fails("tell")
    scenario.waits_for("reserve:intervention")
    scenario.retried("reserve").then(e.InterventionApplied, e.StepScheduled).restored(3)
    scenario.waits_for("reserve:intervention")


# --- what was asked of people -----------------------------------------------------------------------------------------


def test_who_was_asked_already_is_told_of_the_restore() -> None:
    scenario = given(define(pay())).lapses("pay").restored().then(e.WorkflowRestored, e.OutcomeUnknown)
    assert "put back from a backup" in scenario.state.waits["pay:outcome_unknown"].detail
    assert scenario.event(e.OutcomeUnknown).attempt == 1
    undoing = given(define(reserve(), act("tell"))).ok("reserve", SEAT).fails("tell").fails("reserve").restored()
    assert "put back from a backup" in undoing.state.waits["reserve:intervention"].detail


def test_a_probe_that_was_to_come_still_comes() -> None:
    given(define(pay(probe="ask"))).lapses("pay").restored().later(60).wakes().then(e.StepScheduled)


def test_a_probe_under_way_is_asked_again() -> None:
    scenario = given(define(pay(probe="ask"))).lapses("pay").later(60).wakes().restored()
    scenario.then(e.WorkflowRestored, e.StepScheduled)
    assert scenario.event(e.StepScheduled).kind == "probe"
    scenario.step_is("pay", StepStatus.OUTCOME_UNKNOWN)


# --- epochs -----------------------------------------------------------------------------------------------------------


def test_a_restore_counts_once() -> None:
    given(define(pay())).restored().restored().then_ignored("it is restored")


def test_a_second_restore_doubts_what_the_first_one_had_cleared() -> None:
    scenario = given(define(pay())).restored().settled("pay", applied=False).restored(3).later(60).wakes()
    scenario.step_is("pay", StepStatus.OUTCOME_UNKNOWN)


def test_retries_count_on_in_the_new_epoch() -> None:
    scenario = given(define(act("look"))).restored().fails("look", TRANSIENT)
    assert scenario.event(e.RetryScheduled).attempt == EPOCH_ATTEMPTS + 3
    scenario.later(60).wakes()
    assert scenario.event(e.StepScheduled).attempt == EPOCH_ATTEMPTS + 3


def test_an_attempts_number_tells_its_epoch() -> None:
    first = next_attempt_number(0, 1)
    assert (first, epoch_of(first), attempts_made(first)) == (1, 1, 1)
    later = next_attempt_number(first, 7)
    assert (epoch_of(later), attempts_made(later)) == (7, 2)
    assert later > next_attempt_number(first, 6)


# --- workflows that begin again ---------------------------------------------------------------------------------------


def started(*, doubted: bool) -> Scenario:
    definition = define(pay())
    trigger = StartWorkflow(
        goal="goal",
        definition=definition.name,
        definition_version=definition.version,
        requested_by="rita",
        epoch=2,
        doubted=doubted or None,
    )
    return Scenario(definition).when(trigger)


def test_a_goal_that_may_have_been_accepted_before_asks_about_its_once_steps() -> None:
    started(doubted=True).waits_for("pay:outcome_unknown")
    sure = started(doubted=False)
    assert list(sure.state.live) == [SECOND_EPOCH.format("pay", "run")]


def test_a_child_of_a_restored_workflow_may_have_begun_before() -> None:
    family = define(act("look"), Step("enrol", child=ChildSpec(definition="other")))
    assert given(family).restored().ok("look").event(e.ChildStarted).doubted
    assert given(family).ok("look").event(e.ChildStarted).doubted is None


def test_a_fork_has_keys_of_its_own_and_is_not_doubted() -> None:
    source = given(define(act("look"), pay())).restored()
    fork = ForkWorkflow(
        source="wf_001",
        source_version=source.state.version,
        source_digest=source.state.head,
        state=STATE.dump_python(source.state, mode="json"),
        requested_by="fred",
        epoch=2,
    )
    scenario = Scenario(define(act("look"), pay()), "wf_002").when(fork).ok("look")
    assert scenario.event(e.StepScheduled).message_id == "wf_002/pay/run/1000001"


def test_what_failed_for_good_stays_failed() -> None:
    scenario = given(define(act("look"), on_failure="intervene")).fails("look", PERMANENT).restored()
    scenario.then(e.WorkflowRestored).waits_for("look:intervention")
