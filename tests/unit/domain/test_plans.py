"""Plans are data, validated once: known names, no cycles, bounds, references that lead to a step."""

from __future__ import annotations

from typing import Any

import pytest

from domain import plan
from domain.errors import PlanInvalid
from domain.plan import (
    STEPS_PER_PLAN,
    STEPS_PER_WORKFLOW,
    ChildSpec,
    PlannedStep,
    PlanRequest,
    SignalWait,
    check_plan,
    ref,
    references,
    sources,
)


def check(*steps: PlannedStep, earlier: dict[str, object] | None = None) -> None:
    check_plan(
        steps, activities=frozenset({"look"}), approvals=frozenset({"board"}), earlier=earlier or {}, place="plan 2"
    )


def look(name: str, *after: str, **parts: Any) -> PlannedStep:
    return PlannedStep(id=name, activity="look", after=after, **parts)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([PlannedStep(id="a", activity="tell")], "plan 2, step 'a': unknown activity 'tell'; known are: look"),
        ([look("a", approval="court")], "step 'a': unknown approval policy 'court'"),
        ([look("a"), look("a")], "two steps are called 'a'"),
        ([look("old")], "two steps are called 'old'"),
        ([look("a", "b")], "step 'a': after='b' names no step"),
        ([look("a", "a")], "step 'a': comes after itself"),
        ([look("a", "c"), look("b", "a"), look("c", "b")], "in a circle: a → b → c"),
        ([look("a", input={"x": ref("steps.b")})], "reference 'steps.b' names no step"),
        ([look("a", input={"x": [{"y": {"$ref": "nowhere"}}]})], "must begin with one of goal, input"),
        (
            [PlannedStep(id="a", child=ChildSpec(definition="c", input={"x": ref("steps.b")}))],
            "reference 'steps.b' names no step",
        ),
        (
            [PlannedStep(id="a", wait_signal=SignalWait(name="s", correlation=ref("approvals.b")))],
            "reference 'approvals.b' names no step",
        ),
    ],
)
def test_a_plan_that_breaks_a_rule_is_refused_and_the_place_is_named(steps: list[PlannedStep], words: str) -> None:
    with pytest.raises(PlanInvalid, match="plan 2") as caught:
        check(*steps, earlier={"old": 1})
    assert words in str(caught.value)


def test_a_plan_may_build_on_earlier_plans() -> None:
    check(look("a", "old", input={"x": ref("steps.old.value"), "y": ref("goal")}), earlier={"old": 1})


def test_a_plan_and_a_workflow_hold_so_many_steps_at_most() -> None:
    steps = [look(f"s{number}") for number in range(STEPS_PER_PLAN)]
    check(*steps)
    with pytest.raises(PlanInvalid, match="a plan holds at most 1000"):
        check(*steps, look("one-more"))
    earlier: dict[str, object] = dict.fromkeys((f"e{number}" for number in range(STEPS_PER_WORKFLOW)), 1)
    with pytest.raises(PlanInvalid, match="at most 20000 steps"):
        check(look("a"), earlier=earlier)


def test_a_long_chain_and_a_wide_fan_are_no_cycle() -> None:
    chain = [look(f"s{number}", *([f"s{number - 1}"] if number else [])) for number in range(999)]
    check(*chain)
    check(look("root"), *(look(f"leaf-{number}", "root") for number in range(500)))


def test_a_reference_begins_with_a_known_root() -> None:
    assert ref("steps.look.value") == {"$ref": "steps.look.value"}
    with pytest.raises(PlanInvalid, match="a reference begins with one of"):
        ref("moon.value")


def test_references_are_found_however_deep() -> None:
    value = {"a": [{"b": ref("input.x")}, ({"c": ref("goal")},)], "$ref": 1, "d": {"$ref": "goal", "more": 1}}
    assert sorted(references(value)) == ["goal", "input.x"]


def test_the_sources_of_a_step_are_what_it_comes_after_and_what_it_refers_to() -> None:
    step = look("d", "a", input={"x": ref("steps.b.v1.value"), "y": ref("approvals.c"), "z": ref("input.a")})
    known = {"a", "b", "b.v1", "c"}
    assert sources(step, known.__contains__) == ("a", "b.v1", "c")


def test_a_planner_can_look_an_observation_up() -> None:
    request = PlanRequest.model_validate({"goal": "g", "observations": [{"step": "look", "status": "ok", "output": 3}]})
    observed = request.observed("look")
    assert observed is not None
    assert observed.output == 3
    assert request.observed("tell") is None


def test_every_root_can_be_resolved() -> None:
    assert plan.REFERENCE_ROOTS == ("goal", "input", "steps", "approvals", "workflow", "tags")
