"""Four eyes: neither the requester nor whoever intervened on the step, or on what it is made from, may decide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain import events as e
from domain.definitions import Step
from domain.policies import ApprovalPolicy
from domain.state import Status
from tests.unit.domain.recipes import act, define, planner
from tests.unit.domain.scenario import Scenario, given

BOTH = ApprovalPolicy(four_eyes=True)


def checked(*before: Step, after: tuple[str, ...] = (), step_input: Any = None) -> Scenario:
    """Some steps, then one that is approved under four eyes."""
    pay = Step("pay", act("pay"), after=after, input=step_input, approval="default")
    return given(define(*before, pay, approvals=[BOTH], on_failure="intervene"))


def test_the_requester_may_not_decide() -> None:
    scenario = checked().approves("pay", by="rita").then(e.DecisionRefused).then_refused("four eyes")
    scenario.approves("pay", by="ann").then(e.ApprovalRecorded, e.ApprovalGranted, e.StepScheduled)


def test_the_requester_may_not_reject_either() -> None:
    checked().rejects("pay", by="rita").then(e.DecisionRefused).status_is(Status.BLOCKED)


def test_without_four_eyes_the_requester_may() -> None:
    pay = Step("pay", act("pay"), approval="default")
    scenario = given(define(pay, approvals=[ApprovalPolicy()])).approves("pay", by="rita")
    scenario.then(e.ApprovalRecorded, e.ApprovalGranted, e.StepScheduled)


def test_whoever_intervened_on_the_step_may_not_decide() -> None:
    scenario = checked().approves("pay", by="ann").fails("pay").retried("pay", by="bob", input={"n": 2})
    assert scenario.event(e.ApprovalRequested).barred == ("bob", "rita")
    scenario.approves("pay", by="bob").then(e.DecisionRefused)


def test_whoever_intervened_on_a_step_before_it_may_not_decide() -> None:
    before = [Step("draft", act("draft"), after=()), Step("check", act("check"))]
    scenario = checked(*before, after=("check",)).left_open("draft").supplied("draft", by="bob").ok("check")
    assert scenario.event(e.ApprovalRequested).barred == ("bob", "rita")


def test_whoever_intervened_on_what_its_input_refers_to_may_not_decide() -> None:
    draft = Step("draft.v1", act("draft"), after=())
    reference = {"text": {"$ref": "steps.draft.v1.text"}}
    copy = Step("copy", act("copy"), after=("draft.v1",), input=reference)
    late = Step("wait", act("wait"), after=("copy",))
    scenario = checked(draft, copy, late, after=("wait",), step_input={"all": [{"$ref": "steps.copy.text"}]})
    scenario.left_open("draft.v1").supplied("draft.v1", by="bob").ok("copy").ok("wait")
    assert scenario.event(e.ApprovalRequested).barred == ("bob", "rita")


def test_a_reference_counts_even_where_a_planner_does_not_order_the_steps() -> None:
    definition = define(
        planner=planner(),
        activities=[act("draft"), act("look"), act("pay")],
        approvals=[BOTH],
        on_failure="intervene",
    )
    pay = {"id": "pay", "activity": "pay", "after": ["look"], "approval": "default"}
    steps = [
        {"id": "draft", "activity": "draft"},
        {"id": "look", "activity": "look"},
        {**pay, "input": {"text": {"$ref": "steps.draft.text"}}},
    ]
    scenario = given(definition).ok("_plan", {"steps": steps, "done": True})
    scenario.left_open("draft").supplied("draft", by="bob").ok("look")
    assert scenario.event(e.ApprovalRequested).barred == ("bob", "rita")


def test_an_input_that_code_computes_may_come_from_any_step() -> None:
    def text(view: Mapping[str, Any]) -> dict[str, Any]:
        return {"text": view["steps"].get("draft")}

    draft = Step("draft", act("draft"), after=())
    look = Step("look", act("look"), after=())
    scenario = checked(draft, look, after=("look",), step_input=text).left_open("draft").supplied("draft", by="bob")
    scenario.ok("look")
    assert scenario.event(e.ApprovalRequested).barred == ("bob", "rita")


def test_whoever_intervened_on_a_step_that_it_does_not_come_from_may_decide() -> None:
    draft = Step("draft", act("draft"), after=())
    look = Step("look", act("look"), after=())
    scenario = checked(draft, look, after=("look",), step_input={}).left_open("draft").supplied("draft", by="bob")
    scenario.ok("look")
    assert scenario.event(e.ApprovalRequested).barred == ("rita",)
