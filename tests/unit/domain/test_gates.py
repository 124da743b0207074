"""The policy gate looks at each step before it is scheduled: allow, deny or require approval; a recorded fact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from domain import events as e
from domain.definitions import Definition, Step
from domain.policies import ApprovalPolicy, Condition, GatePolicy, Predicate, lookup
from domain.state import Status
from tests.unit.domain.recipes import act, define, policy, reserve
from tests.unit.domain.scenario import Scenario, given

DEAR = Condition(path="amount", op=">", value=100)


def gated(*gates: GatePolicy, amount: Any = 500, **options: Any) -> Definition:
    pay = Step("pay", act("pay"), input={"amount": amount})
    return define(reserve(), pay, gates=gates, approvals=[policy(), policy("board")], **options)


def at_the_gate(*gates: GatePolicy, **options: Any) -> Scenario:
    return given(gated(*gates, **options)).ok("reserve")


def test_a_step_that_no_policy_covers_passes_without_a_word() -> None:
    at_the_gate(GatePolicy(name="other", steps=("look",), verdict="deny")).then(e.StepSucceeded, e.StepScheduled)


def test_a_verdict_to_allow_is_recorded_with_policy_and_version() -> None:
    scenario = at_the_gate(GatePolicy(name="small", version="3", steps=("pay",), verdict="allow"))
    scenario.then(e.StepSucceeded, e.PolicyEvaluated, e.StepScheduled)
    verdict = scenario.event(e.PolicyEvaluated)
    assert (verdict.policy, verdict.policy_version, verdict.verdict) == ("small", "3", "allow")


def test_a_denied_step_fails_as_rejected_and_compensates() -> None:
    scenario = at_the_gate(GatePolicy(name="never", steps=("pay",), verdict="deny"))
    scenario.then(
        e.StepSucceeded,
        e.PolicyEvaluated,
        e.StepFailed,
        e.StoppingBegan,
        e.CompensationStarted,
        e.CompensationScheduled,
        e.StepScheduled,
    )
    assert scenario.event(e.StepFailed).failure.kind == "rejected"


def test_a_step_may_be_made_to_need_the_approval_that_the_gate_names() -> None:
    scenario = at_the_gate(GatePolicy(name="dear", when=(DEAR,), verdict="require_approval", approval="board"))
    scenario.then(e.StepSucceeded, e.PolicyEvaluated, e.ApprovalRequested)
    assert scenario.event(e.ApprovalRequested).policy == "board"
    scenario.approves("pay").then(e.ApprovalRecorded, e.ApprovalGranted, e.StepScheduled)


def test_the_gate_s_reason_reaches_the_person_it_asks_and_the_failure_it_makes() -> None:
    asked = at_the_gate(GatePolicy(name="dear", steps=("pay",), verdict="require_approval", reason="over the limit"))
    assert asked.event(e.ApprovalRequested).reason == "over the limit"
    denied = at_the_gate(GatePolicy(name="never", steps=("pay",), verdict="deny", reason="on the list"))
    assert denied.event(e.StepFailed).failure.message == "on the list"


def test_a_gate_that_names_no_approval_means_the_definition_s_first() -> None:
    scenario = at_the_gate(GatePolicy(name="dear", steps=("pay",), verdict="require_approval"))
    assert scenario.event(e.ApprovalRequested).policy == "default"


def test_without_any_policy_anyone_may_decide() -> None:
    definition = define(act("pay"), gates=[GatePolicy(name="dear", verdict="require_approval")])
    assert given(definition).event(e.ApprovalRequested).approvers == ("*",)


def test_where_no_condition_is_met_the_step_is_allowed_on_the_record() -> None:
    scenario = at_the_gate(GatePolicy(name="dear", steps=("pay",), when=(DEAR,), verdict="deny"), amount=7)
    scenario.then(e.StepSucceeded, e.PolicyEvaluated, e.StepScheduled)
    assert scenario.event(e.PolicyEvaluated).verdict == "allow"


def test_all_conditions_must_hold() -> None:
    both = (DEAR, Condition(path="currency", op="==", value="EUR"))
    scenario = at_the_gate(GatePolicy(name="dear", steps=("pay",), when=both, verdict="deny"))
    assert scenario.event(e.PolicyEvaluated).verdict == "allow"


def test_of_several_verdicts_the_strictest_counts_whatever_their_order() -> None:
    allow = GatePolicy(name="allow", steps=("pay",))
    ask = GatePolicy(name="ask", steps=("pay",), verdict="require_approval")
    deny = GatePolicy(name="deny", steps=("pay",), verdict="deny")
    for gates, strictest in (
        ((allow, ask), "ask"),
        ((ask, allow), "ask"),
        ((deny, ask), "deny"),
        ((ask, deny), "deny"),
    ):
        assert at_the_gate(*gates).event(e.PolicyEvaluated).policy == strictest


def test_a_gate_covers_steps_by_name_by_activity_or_all() -> None:
    for steps in (("pay",), ("*",)):
        assert at_the_gate(GatePolicy(name="any", steps=steps)).events(e.PolicyEvaluated)
    definition = define(Step("first", act("pay")), gates=[GatePolicy(name="any", steps=("pay",))])
    assert given(definition).events(e.PolicyEvaluated)


def test_author_code_enters_only_as_a_named_versioned_predicate_and_its_verdict_is_a_fact() -> None:
    calls: list[Mapping[str, Any]] = []

    def odd(step_input: Mapping[str, Any]) -> bool:
        calls.append(step_input)
        return bool(step_input["amount"] % 2)

    gate = GatePolicy(name="odd", steps=("pay",), predicate="odd", verdict="deny")
    predicates = [Predicate("odd", "1", odd)]
    assert at_the_gate(gate, amount=7, predicates=predicates).event(e.PolicyEvaluated).verdict == "deny"
    assert at_the_gate(gate, amount=8, predicates=predicates).event(e.PolicyEvaluated).verdict == "allow"
    assert len(calls) == 2, "deciding again took the verdicts from the record"


def test_a_predicate_that_breaks_fails_the_step_as_invalid_and_names_it() -> None:
    gate = GatePolicy(name="odd", steps=("pay",), predicate="odd", verdict="deny")

    def broken(step_input: Mapping[str, Any]) -> bool:
        raise KeyError("parity")

    scenario = at_the_gate(gate, predicates=[Predicate("odd", "4", broken)])
    failure = scenario.event(e.StepFailed).failure
    assert failure.kind == "invalid"
    assert "predicate 'odd' version '4': KeyError: 'parity'" in failure.message


def test_the_verdict_stands_for_a_generation_and_is_asked_for_again_for_a_new_input() -> None:
    scenario = at_the_gate(
        GatePolicy(name="dear", steps=("pay",), when=(DEAR,), verdict="deny"), amount=7, on_failure="intervene"
    )
    scenario.fails("pay").retried("pay").then(e.InterventionApplied, e.StepScheduled)
    scenario.fails("pay").retried("pay", input={"amount": 900})
    scenario.then(e.InterventionApplied, e.PolicyEvaluated, e.StepFailed, e.InterventionRequested)
    scenario.status_is(Status.BLOCKED)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Condition(path="a.b", value=1), True),
        (Condition(path="a.b", op="!=", value=1), False),
        (Condition(path="a.b", op="<", value=2), True),
        (Condition(path="a.b", op="<=", value=1), True),
        (Condition(path="a.b", op=">", value=1), False),
        (Condition(path="a.b", op=">=", value=1), True),
        (Condition(path="a.b", op="in", value=[1, 2]), True),
        (Condition(path="a.b", op="not in", value=[1, 2]), False),
        (Condition(path="list.1", value="y"), True),
        (Condition(path="list.2", value="y"), False),
        (Condition(path="missing", op="!=", value=1), False),
        (Condition(path="missing", op="exists"), False),
        (Condition(path="missing", op="exists", value=False), True),
        (Condition(path="a.b", op="exists"), True),
        (Condition(path="a.b", op="<", value="text"), False),
    ],
)
def test_a_condition_compares_what_its_path_leads_to(condition: Condition, *, holds: bool) -> None:
    assert condition.holds({"a": {"b": 1}, "list": ["x", "y"]}) is holds


@pytest.mark.parametrize("verdict", ["deny", "require_approval"])
@pytest.mark.parametrize("amount", ["900", None, {"euro": 900}])
def test_a_gate_that_cannot_compare_does_not_stand_open(verdict: Any, amount: object) -> None:
    gate = GatePolicy(name="dear", steps=("pay",), when=(DEAR,), verdict=verdict)
    evaluated = at_the_gate(gate, amount=amount).event(e.PolicyEvaluated)
    assert (evaluated.policy, evaluated.verdict) == ("dear", verdict)


def test_what_cannot_be_compared_is_no_reason_to_allow() -> None:
    gates = [
        GatePolicy(name="dear", steps=("pay",), when=(DEAR,), verdict="allow"),
        GatePolicy(name="else", steps=("pay",), verdict="allow"),
    ]
    assert at_the_gate(*gates, amount="900").event(e.PolicyEvaluated).policy == "else"


def test_a_path_that_leads_nowhere_finds_nothing() -> None:
    assert lookup({"a": [1]}, "a.x") == (False, None)
    assert lookup({"a": None}, "a") == (True, None)


def test_an_approval_of_the_plan_and_one_of_the_gate_are_one() -> None:
    pay = Step("pay", act("pay"), approval="board")
    gate = GatePolicy(name="dear", verdict="require_approval", approval="default")
    scenario = given(define(pay, gates=[gate], approvals=[ApprovalPolicy(), policy("board")]))
    assert scenario.event(e.ApprovalRequested).policy == "default"
