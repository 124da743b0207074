"""Approvals: rounds, N of M, one vote a person, digests, expiry, escalation, controls; refusals are on the record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from domain import events as e
from domain.decision import action_digest
from domain.definitions import Definition, Step
from domain.policies import ApprovalPolicy
from domain.state import Status, StepStatus
from tests.unit.domain.recipes import act, define, policy, reserve
from tests.unit.domain.scenario import Scenario, given

MINUTE = timedelta(minutes=1)
NEVER = timedelta(days=36_526)


def recipe(**parts: Any) -> Definition:
    """A step with an effect, then one that needs an approval."""
    return define(reserve(), Step("pay", act("pay"), approval="default"), approvals=[policy(**parts)])


def asked(**parts: Any) -> Scenario:
    return given(recipe(**parts)).ok("reserve").then(e.StepSucceeded, e.ApprovalRequested).status_is(Status.BLOCKED)


def test_a_step_that_needs_an_approval_waits_with_everything_an_approver_needs() -> None:
    scenario = asked(deadline=9 * MINUTE, proposed_controls=("two signatures",)).waits_for("pay:approval")
    request = scenario.event(e.ApprovalRequested)
    assert request.approval_id == "pay.1"
    assert request.action["activity"] == "pay"
    assert request.action["input"] == {}
    assert request.approvers == ("ann", "bob")
    assert request.proposed_controls == ("two signatures",)
    assert request.deadline_at == scenario.now + 9 * MINUTE
    scenario.step_is("pay", StepStatus.AWAITING_APPROVAL)


def test_a_grant_lets_the_step_run() -> None:
    scenario = asked().approves("pay").then(e.ApprovalRecorded, e.ApprovalGranted, e.StepScheduled).waits_for()
    assert scenario.event(e.StepScheduled).action_digest == scenario.events(e.ApprovalRequested)[0].digest


def test_as_many_grants_are_needed_as_the_policy_says() -> None:
    scenario = asked(required=2, approvers=("ann", "bob", "cleo")).approves("pay", by="ann").then(e.ApprovalRecorded)
    scenario.approves("pay", by="cleo").then(e.ApprovalRecorded, e.ApprovalGranted, e.StepScheduled)
    assert scenario.event(e.ApprovalGranted).decided_by == ("ann", "cleo")


def test_one_person_has_one_vote() -> None:
    scenario = asked(required=2).approves("pay", by="ann").approves("pay", by="ann")
    scenario.then(e.DecisionRefused).then_refused("has already decided in this round")
    scenario.rejects("pay", by="ann").then(e.DecisionRefused)


def test_one_rejection_rejects_and_compensates() -> None:
    scenario = asked(required=2).approves("pay", by="ann").rejects("pay", by="bob", reason="too dear")
    scenario.then(
        e.ApprovalRecorded,
        e.ApprovalRejected,
        e.StepFailed,
        e.StoppingBegan,
        e.CompensationStarted,
        e.CompensationScheduled,
        e.StepScheduled,
    )
    assert scenario.event(e.StepFailed).failure.message == "rejected by bob: too dear"
    scenario.ok("reserve").status_is(Status.COMPENSATED)


def test_more_rejections_may_be_asked_for() -> None:
    scenario = asked(rejections=2).rejects("pay", by="ann").then(e.ApprovalRecorded).status_is(Status.BLOCKED)
    scenario.rejects("pay", by="bob")
    assert scenario.event(e.ApprovalRejected).decided_by == ("ann", "bob")


def test_a_decision_that_quotes_another_digest_is_refused() -> None:
    scenario = (
        asked().approves("pay", digest="0" * 64).then(e.DecisionRefused).then_refused("it quotes digest 000000000000")
    )
    assert scenario.event(e.DecisionRefused).decided_by == "ann"
    scenario.status_is(Status.BLOCKED)


def test_a_decision_that_quotes_another_round_is_refused() -> None:
    asked().approves("pay", round=2).then(e.DecisionRefused).then_refused("it quotes round 2; round 1 is open")


def test_a_decision_of_one_who_may_not_decide_is_refused() -> None:
    asked().approves("pay", by="eve").then(e.DecisionRefused).then_refused("eve may not decide this")


def test_anyone_may_decide_where_the_policy_says_so() -> None:
    asked(approvers=("*",)).approves("pay", by="eve").then(e.ApprovalRecorded, e.ApprovalGranted, e.StepScheduled)


def test_a_decision_on_no_approval_is_refused_and_recorded() -> None:
    scenario = asked()
    scenario.when(scenario.decision("pay", "ann", "approve", approval_id="other.1")).then(e.DecisionRefused)
    scenario.then_refused("there is no such approval")


def test_a_second_decision_after_the_grant_is_refused_and_recorded() -> None:
    scenario = asked()
    again = scenario.decision("pay", "bob", "approve")
    scenario.approves("pay").when(again).then(e.DecisionRefused).then_refused("it was already approved")
    scenario.ok("pay").when(again).then(e.DecisionRefused).then_refused("the workflow is completed")


def test_a_decision_while_the_workflow_stops_is_refused_and_recorded() -> None:
    scenario = asked()
    again = scenario.decision("pay", "bob", "approve")
    scenario.cancelled().when(again).then_refused("the workflow is stopping")


def test_a_refused_decision_changes_nothing_but_the_record() -> None:
    scenario = asked()
    before = scenario.state.ballots["pay"]
    scenario.approves("pay", by="eve")
    assert scenario.state.ballots["pay"] == before
    assert scenario.names(scenario.history)[-1] == "DecisionRefused"


# --- digest and rounds ----------------------------------------------------------------------------------------------


def test_the_digest_covers_the_action_the_round_and_the_policy() -> None:
    action: dict[str, Any] = {"workflow": "wf_001", "step": "pay", "input": {"amount": 7}}
    parts: dict[str, Any] = {"round_number": 1, "policy": "default", "policy_version": "1"}
    digest = action_digest(action, **parts)
    others = [action_digest(action | {key: "another"}, **parts) for key in action]
    others += [action_digest(action, **(parts | {key: 2 if key == "round_number" else "x"})) for key in parts]
    assert digest not in others
    assert len(set(others)) == len(others)


def test_the_action_says_workflow_definition_step_activity_generation_and_resolved_input() -> None:
    assert asked().event(e.ApprovalRequested).action == {
        "workflow": "wf_001",
        "definition": "test",
        "definition_version": "1",
        "step": "pay",
        "activity": "pay",
        "generation": 1,
        "input": {},
    }


def changing() -> Definition:
    """A step whose input is another each time it is computed."""
    amounts: Iterator[int] = iter(range(100))

    def amount(view: Mapping[str, Any]) -> dict[str, Any]:
        return {"amount": next(amounts) // 2}

    return define(Step("pay", act("pay"), input=amount, approval="default"), approvals=[policy()])


def test_a_new_round_is_opened_where_the_input_has_changed_since_the_grant() -> None:
    scenario = given(changing())
    scenario.approves("pay").then(e.ApprovalRecorded, e.ApprovalGranted, e.StepScheduled)
    amounts = iter([1, 2, 2, 2])

    def amount(view: Mapping[str, Any]) -> dict[str, Any]:
        return {"amount": next(amounts)}

    scenario = given(define(Step("pay", act("pay"), input=amount, approval="default"), approvals=[policy()]))
    stale = scenario.decision("pay", "bob", "approve")
    scenario.approves("pay").then(e.ApprovalRecorded, e.ApprovalGranted, e.ApprovalRequested)
    assert scenario.event(e.ApprovalRequested).round == 2
    assert scenario.event(e.ApprovalRequested).action["input"] == {"amount": 2}
    scenario.when(stale).then(e.DecisionRefused)
    scenario.approves("pay").then(e.ApprovalRecorded, e.ApprovalGranted, e.StepScheduled)
    assert scenario.event(e.StepScheduled).input == {"amount": 2}


def test_votes_count_only_within_their_round() -> None:
    amounts = iter([1, 2, 2, 2, 2])

    def amount(view: Mapping[str, Any]) -> dict[str, Any]:
        return {"amount": next(amounts)}

    definition = define(Step("pay", act("pay"), input=amount, approval="default"), approvals=[policy(required=2)])
    scenario = given(definition).approves("pay", by="ann").approves("pay", by="bob")
    scenario.then(e.ApprovalRecorded, e.ApprovalGranted, e.ApprovalRequested)
    scenario.approves("pay", by="ann").then(e.ApprovalRecorded).status_is(Status.BLOCKED)


def test_a_retry_does_not_ask_again_but_another_input_does() -> None:
    scenario = given(define(Step("pay", act("pay"), approval="default"), approvals=[policy()], on_failure="intervene"))
    scenario.approves("pay").fails("pay").retried("pay").then(e.InterventionApplied, e.StepScheduled)
    scenario.fails("pay").retried("pay", input={"amount": 1}).then(e.InterventionApplied, e.ApprovalRequested)
    assert scenario.event(e.ApprovalRequested).approval_id == "pay.2"


def test_a_definition_whose_policy_changed_between_attempts_opens_a_new_round() -> None:
    scenario = given(define(Step("pay", act("pay"), approval="default"), approvals=[policy()]))
    scenario.approves("pay").lapses("pay").then(e.AttemptLapsed, e.RetryScheduled, e.StepScheduled)
    changed = define(Step("pay", act("pay"), approval="default"), approvals=[policy(version="2")])
    scenario.loaded(changed)
    scenario.replays = False  # two definitions of one version cannot be replayed
    scenario.lapses("pay").then(e.AttemptLapsed, e.RetryScheduled, e.ApprovalRequested)
    scenario.wakes().then()


# --- time -----------------------------------------------------------------------------------------------------------


def test_further_people_may_decide_after_the_escalation_and_not_before() -> None:
    scenario = asked(escalate_after=5 * MINUTE, escalate_to=("chief",)).approves("pay", by="chief")
    scenario.then(e.DecisionRefused)
    scenario.later(minutes=5).wakes().then(e.ApprovalEscalated).approves("pay", by="chief")
    scenario.then(e.ApprovalRecorded, e.ApprovalGranted, e.StepScheduled)


def test_expiry_may_reject() -> None:
    scenario = asked(deadline=MINUTE, on_expiry="reject").later(60).wakes()
    assert scenario.names(scenario.last.events)[:3] == ["ApprovalExpired", "StepFailed", "StoppingBegan"]
    assert scenario.event(e.StepFailed).failure.kind == "rejected"


def test_expiry_may_ask_for_a_person() -> None:
    scenario = asked(deadline=MINUTE, on_expiry="intervene").later(60).wakes()
    scenario.then(e.ApprovalExpired, e.StepFailed, e.InterventionRequested).waits_for("pay:intervention")
    scenario.retried("pay").then(e.InterventionApplied, e.ApprovalRequested)
    assert scenario.event(e.ApprovalRequested).round == 2


def test_expiry_may_grant_with_the_controls_that_were_proposed() -> None:
    scenario = asked(deadline=MINUTE, on_expiry="grant", proposed_controls=("report",)).later(60).wakes()
    scenario.then(e.ApprovalExpired, e.ApprovalGranted, e.StepScheduled)
    assert scenario.event(e.ApprovalGranted).decided_by == ("policy:expiry",)
    assert scenario.event(e.ApprovalGranted).controls == ("report",)


# --- controls -------------------------------------------------------------------------------------------------------


def test_a_grant_that_names_no_controls_has_those_that_were_proposed() -> None:
    scenario = asked(proposed_controls=("report",)).approves("pay").ok("pay")
    assert scenario.event(e.WorkflowCompleted).controls == ("report",)


def test_a_grant_that_names_controls_has_those_and_they_reach_the_end() -> None:
    scenario = asked(required=2, proposed_controls=("report",))
    scenario.approves("pay", by="ann", controls=("limit", "log")).approves("pay", by="bob", controls=("log", "sign"))
    assert scenario.event(e.ApprovalGranted).controls == ("limit", "log", "sign")
    assert scenario.ok("pay").event(e.WorkflowCompleted).controls == ("limit", "log", "sign")


def test_the_controls_of_one_who_rejects_are_no_controls() -> None:
    scenario = asked(rejections=2).rejects("pay", by="ann", controls=("never",)).approves("pay", by="bob")
    assert scenario.event(e.ApprovalGranted).controls == ()


def test_later_steps_may_refer_to_an_approval() -> None:
    tell = Step("tell", act("tell"), input={"said": {"$ref": "approvals.pay.decided_by"}})
    steps = [Step("pay", act("pay"), approval="default"), tell]
    scenario = given(define(*steps, approvals=[policy()])).approves("pay").ok("pay")
    assert scenario.event(e.StepScheduled).input == {"said": ["ann"]}


# --- the policy as data ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"approvers": ("ann",), "required": 2}, "asks for 2 grants but names 1 people"),
        ({"escalate_after": MINUTE}, "to nobody"),
        ({"escalate_after": MINUTE, "escalate_to": ("chief",), "deadline": MINUTE}, "escalates after its deadline"),
        ({"deadline": NEVER}, "less than or equal to 36525 days"),
        ({"escalate_after": NEVER, "escalate_to": ("chief",)}, "less than or equal to 36525 days"),
        ({"unheard_of": 1}, "Extra inputs"),
    ],
)
def test_a_policy_that_cannot_be_met_is_refused_when_it_is_made(parts: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ApprovalPolicy(**parts)


def test_those_it_escalates_to_count_as_people_who_can_grant() -> None:
    ApprovalPolicy(approvers=("ann",), required=2, escalate_after=MINUTE, escalate_to=("bob",))
