"""Steps as a graph: parallel where the plan allows, within the definition's bound; inputs from the steps before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from domain import events as e
from domain.definitions import Step
from domain.plan import ref
from domain.state import Status
from tests.unit.domain.recipes import act, define, pay, policy, reserve
from tests.unit.domain.scenario import NOT_APPLIED, TRANSIENT, Scenario, given


def free(*names: str) -> list[Step]:
    return [Step(name, act(name), after=()) for name in names]


def scheduled(scenario: Scenario) -> list[str]:
    return [one.step for one in scenario.events(e.StepScheduled)]


def test_a_step_begins_when_all_that_it_comes_after_has_settled() -> None:
    last = Step("last", act("last"), after=("left", "right"))
    scenario = given(define(*free("left", "right"), last))
    assert scheduled(scenario) == ["left", "right"]
    scenario.ok("right").then(e.StepSucceeded)
    scenario.ok("left").then(e.StepSucceeded, e.StepScheduled)


def test_a_skipped_step_counts_as_settled() -> None:
    scenario = given(define(act("look"), act("tell"))).left_open().skipped("look")
    assert scheduled(scenario) == ["look", "tell"]


def test_at_most_so_many_attempts_are_under_way_at_once() -> None:
    scenario = given(define(*free("one", "two", "three"), parallel=2))
    assert scheduled(scenario) == ["one", "two"]
    scenario.ok("two").then(e.StepSucceeded, e.StepScheduled)
    assert scheduled(scenario) == ["one", "two", "three"]


def test_a_step_in_backoff_keeps_its_place() -> None:
    scenario = given(define(*free("one", "two"), parallel=1)).fails("one", TRANSIENT)
    assert scheduled(scenario) == ["one"]
    scenario.later(60).wakes().ok("one")
    assert scheduled(scenario) == ["one", "one", "two"]


def test_a_step_whose_outcome_is_unknown_keeps_its_place() -> None:
    steps = [Step("pay", pay(), after=()), *free("look")]
    scenario = given(define(*steps, parallel=1)).lapses("pay").then(e.AttemptLapsed, e.OutcomeUnknown)
    scenario.settled("pay", applied=False).later(60).wakes()
    assert scheduled(scenario) == ["pay", "pay"]
    scenario.ok("pay").then(e.StepSucceeded, e.StepScheduled)


def test_a_step_that_a_probe_lets_run_again_keeps_its_place() -> None:
    steps = [Step("pay", pay(probe="ask"), after=()), *free("look")]
    scenario = given(define(*steps, parallel=1)).lapses("pay").later(5).wakes().fails("pay", NOT_APPLIED)
    scenario.then(e.AttemptFailed, e.OutcomeReconciled, e.RetryScheduled)


def test_a_step_that_waits_for_a_person_keeps_no_place() -> None:
    steps = [Step("pay", act("pay"), approval="default", after=()), *free("look")]
    assert scheduled(given(define(*steps, approvals=[policy()], parallel=1))) == ["look"]


def test_one_branch_that_waits_does_not_hold_up_the_other() -> None:
    steps = [
        Step("pay", act("pay"), approval="default", after=()),
        *free("look"),
        Step("tell", act("tell"), after=("look",)),
    ]
    scenario = given(define(*steps, approvals=[policy()])).status_is(Status.EXECUTING).ok("look").ok("tell")
    scenario.status_is(Status.BLOCKED)


def test_an_input_may_refer_to_goal_input_outputs_tags_and_the_workflow() -> None:
    parts = {
        "goal": ref("goal"),
        "part": ref("input.order.number"),
        "found": ref("steps.look.items.1"),
        "all": ref("steps.look"),
        "who": ref("workflow.requested_by"),
        "tag": ref("tags.team"),
        "list": [ref("steps.look.items.0"), "plain"],
        "nowhere": ref("steps.look.missing.deeper"),
    }
    tell = Step("tell", act("tell"), input=parts)
    scenario = given(define(act("look"), tell), input={"order": {"number": 4}}, tags={"team": "blue"})
    scenario.ok("look", {"items": ["a", "b"]})
    assert scenario.event(e.StepScheduled).input == {
        "goal": "goal",
        "part": 4,
        "found": "b",
        "all": {"items": ["a", "b"]},
        "who": "rita",
        "tag": "blue",
        "list": ["a", "plain"],
        "nowhere": None,
    }


def test_a_reference_finds_steps_whose_names_hold_dots() -> None:
    tell = Step("tell", act("tell"), input={"found": ref("steps.look.v1.item")})
    scenario = given(define(Step("look.v1", act("look")), tell)).ok("look.v1", {"item": 3})
    assert scenario.event(e.StepScheduled).input == {"found": 3}


def test_an_input_may_be_computed_from_what_is_known() -> None:
    def compute(view: Mapping[str, Any]) -> dict[str, Any]:
        return {"sum": view["steps"]["look"]["n"] + view["input"]["n"], "goal": view["goal"]}

    scenario = given(define(act("look"), Step("tell", act("tell"), input=compute)), input={"n": 1}).ok("look", {"n": 2})
    assert scenario.event(e.StepScheduled).input == {"sum": 3, "goal": "goal"}


def test_an_input_that_cannot_be_computed_fails_the_step_as_invalid_and_names_it() -> None:
    def broken(view: Mapping[str, Any]) -> dict[str, Any]:
        raise KeyError("n")

    scenario = given(define(reserve(), Step("tell", act("tell"), input=broken))).ok("reserve")
    failure = scenario.event(e.StepFailed).failure
    assert (failure.kind, failure.message) == ("invalid", "input of step 'tell': KeyError: 'n'")
    scenario.status_is(Status.COMPENSATING)


def always(value: Any) -> Callable[[Mapping[str, Any]], Any]:
    """An input that does not depend on anything."""
    return lambda _view: value


def test_an_input_that_is_no_object_no_json_or_too_large_is_invalid() -> None:
    for bad, words in (
        (["list"], "must be an object"),
        ({"n": 2**60}, "integer"),
        ({"n": float("nan")}, "n"),
        ({"text": "x" * 300_000}, "at most 262144"),
    ):
        scenario = given(define(Step("tell", act("tell"), input=always(bad))))
        assert scenario.event(e.StepFailed).failure.kind == "invalid"
        assert words in scenario.event(e.StepFailed).failure.message


def test_a_step_without_an_input_of_its_own_gets_the_workflow_s() -> None:
    assert given(define(act("look")), input={"n": 1}).event(e.StepScheduled).input == {"n": 1}


def test_the_output_of_the_workflow_is_that_of_its_last_step_in_the_plan() -> None:
    scenario = given(define(*free("one", "two"))).ok("two", 2).ok("one", 1)
    assert scenario.event(e.WorkflowCompleted).output == 2
