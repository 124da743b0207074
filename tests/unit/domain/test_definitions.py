"""Definitions are checked when they are made; each error names the place and the way out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from domain.context import Context
from domain.definitions import Definition, Step, activity, words
from domain.errors import DefinitionInvalid, Denied, NeedsApproval, PlanInvalid
from domain.limits import Limits, Rate
from domain.plan import ChildSpec, PlannedStep, SignalWait, TimeWait, ref
from domain.policies import ApprovalPolicy, GatePolicy
from tests.unit.domain.recipes import act, define, planner, reserve

SECOND = timedelta(seconds=1)
NEVER = timedelta(days=36_526)
LOOK = act("look")


class Order(BaseModel):
    """An input."""

    n: int


def refused(make: Callable[[], object]) -> str:
    with pytest.raises(DefinitionInvalid) as caught:
        make()
    message = str(caught.value)
    assert "\n" not in message, "one line"
    return message


# --- definitions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: define(Step("a", "unheard-of")), "step 'a': unknown activity 'unheard-of'; known are: none"),
        (lambda: define(act("a"), Step("b", act("b"), after=("c",))), "step 'b': after='c' names no step"),
        (lambda: define(Step("a", act("a"), after=("a",))), "step 'a': comes after itself"),
        (
            lambda: define(Step("a", act("a"), after=("b",)), Step("b", act("b"), after=("a",))),
            "wait for one another in a circle: a → b",
        ),
        (lambda: define(Step("a", LOOK), Step("a", LOOK)), "two steps are called 'a'"),
        (lambda: Definition("d", steps=[Step("a", act("x")), Step("b", act("x"))]), "two activities are called 'x'"),
        (lambda: Definition("d", steps=[Step("a", act("a", "once"))]), "has an effect (once) but neither"),
        (lambda: Definition("d", steps=[Step("a", act("a", "idempotent"))]), "compensation=… nor pivot=True"),
        (lambda: Definition("d", steps=[Step("a", reserve())]), "its compensation 'undo_reserve' is not known"),
        (
            lambda: Definition("d", steps=[Step("a", act("a", "once", pivot=True, probe="ask"))]),
            "its reconcile probe 'ask' is not known",
        ),
        (lambda: Definition("d"), "give either steps=[…] or planner=…"),
        (lambda: Definition("d", steps=[Step("a", act("a"))], planner=planner()), "give either steps=[…] or planner=…"),
        (lambda: Definition("d", steps=[]), "steps=[…] is empty"),
        (lambda: Definition("…", steps=[Step("a", act("a"))]), "a name needs a letter or digit"),
        (lambda: define(act("a"), version="new version"), "a version is 1 to 64"),
        (lambda: define(act("a"), parallel=0), "parallel must be between 1 and 1000"),
        (lambda: define(act("a"), attempts_budget=0), "attempts_budget must be at least 1"),
        (lambda: define(act("a"), deadline=timedelta(0)), "deadline must be longer than nothing"),
        (lambda: define(act("a"), deadline=NEVER), "deadline must be 36525 days at most"),
        (lambda: define(Step("a", act("a"), approval="board")), "step 'a': unknown approval policy 'board'"),
        (
            lambda: define(act("a"), approvals=[ApprovalPolicy(), ApprovalPolicy()]),
            "two approval policies share a name",
        ),
        (lambda: define(act("a"), gates=[GatePolicy(name="g", predicate="odd")]), "gate 'g': unknown predicate 'odd'"),
        (lambda: define(act("a"), gates=[GatePolicy(name="g", approval="x")]), "gate 'g': unknown approval policy 'x'"),
        (lambda: define(Step("a")), "step 'a' must be exactly one of activity, wait_time, wait_signal, child"),
        (
            lambda: define(Step("a", act("a"), child=ChildSpec(definition="c"))),
            "step 'a' must be exactly one of activity, wait_time, wait_signal, child",
        ),
        (
            lambda: define(
                Step("a", wait_time=TimeWait(duration=SECOND), approval="x"), approvals=[ApprovalPolicy(name="x")]
            ),
            "step 'a' only waits: there is nothing to approve",
        ),
        (lambda: define(Step("Big", act("a"))), "step 'Big': String should match pattern"),
        (lambda: define(Step("a", act("a"), timeout=timedelta(0))), "step 'a': Input should be greater than 0"),
        (lambda: define(Step("a", act("a"), timeout=NEVER)), "step 'a': Input should be less than or equal to 36525"),
        (lambda: define(Step("a", act("a"), input={"x": ref("steps.b")})), "reference 'steps.b' names no step"),
        (lambda: define(Step("a", act("a"), input={"x": [{"$ref": "moon.x"}]})), "reference 'moon.x' must begin with"),
        (lambda: Definition("d", planner=act("plan", "once", pivot=True)), "a planner is asked again after a crash"),
        (lambda: define(act("a"), artifact=act("w", "once", pivot=True)), "the artifact's activity must be pure or"),
    ],
)
def test_a_mistake_is_named_with_its_place(make: Callable[[], object], says: str) -> None:
    message = refused(make)
    assert says in message
    assert message.startswith("definition '")


def test_a_definition_that_is_right_is_taken() -> None:
    steps = [
        Step("a", act("a")),
        Step("b", wait_time=TimeWait(duration=SECOND)),
        Step("c", wait_signal=SignalWait(name="n", correlation=ref("steps.a.key"))),
        Step("d", child=ChildSpec(definition="other", input={"x": ref("steps.c")})),
        Step("e", reserve(), after=("a", "b")),
    ]
    definition = define(*steps, approvals=[ApprovalPolicy()], gates=[GatePolicy(name="g", approval="default")])
    assert definition.plan is not None
    assert [one.after for one in definition.plan] == [(), ("a",), ("b",), ("c",), ("a", "b")]


def test_a_step_comes_after_the_one_before_it_unless_it_says_otherwise() -> None:
    plan = define(act("a"), act("b"), Step("c", act("c"), after=())).plan
    assert plan is not None
    assert [one.after for one in plan] == [(), ("a",), ()]


def test_names_are_equal_when_their_words_are() -> None:
    assert (
        words("Vendor  Onboarding-Review!") == words("vendor_onboarding review") == ("vendor", "onboarding", "review")
    )
    assert define(act("a"), name="Vendor Onboarding").slug == "vendor-onboarding"


# --- activities -----------------------------------------------------------------------------------------------------


def test_an_activity_is_declared_by_its_annotations() -> None:
    @activity
    async def price(order: Order, context: Context) -> int | NeedsApproval | Denied:
        return order.n

    assert (price.name, price.effect, price.takes_context, price.is_async) == ("price", "idempotent", True, True)
    assert price.output_adapter.validate_python("7") == 7
    assert price.input_adapter.validate_python({"n": 1}) == Order(n=1)


def test_a_plain_function_may_be_an_activity_and_is_still_callable() -> None:
    @activity(effect="pure", name="double-it")
    def double(n: int) -> int:
        return 2 * n

    assert (double.name, double.is_async, double(4)) == ("double-it", False, 8)


def no_input() -> int:
    return 1


def two_inputs(a: int, b: int) -> int:
    return a + b


def no_return(a: int):  # type: ignore[no-untyped-def]  # noqa: ANN201 - that is the mistake
    return a


class Odd:
    """A class that pydantic does not know how to validate."""


def odd(a: Odd) -> int:
    return 1


def fine(a: int) -> int:
    return a


@pytest.mark.parametrize(
    ("function", "options", "says"),
    [
        (no_input, {}, "takes its input as first parameter"),
        (two_inputs, {}, "takes its input as first parameter"),
        (no_return, {}, "annotate its input and its return type"),
        (odd, {}, "input: pydantic cannot validate"),
        (fine, {"name": "Not A Name"}, "its name must fit"),
        (fine, {"start_to_finish": timedelta(0)}, "start_to_finish must be longer than nothing"),
        (fine, {"schedule_to_finish": NEVER}, "schedule_to_finish must be 36525 days at most"),
        (fine, {"settle_after": NEVER}, "settle_after must be between nothing and 36525 days"),
        (fine, {"settle_after": -SECOND}, "settle_after must be between nothing and 36525 days"),
        (fine, {"start_to_finish": 9 * SECOND, "schedule_to_finish": SECOND}, "no attempt could ever end in time"),
        (fine, {"effect": "pure", "reconcile": "ask"}, "only an activity with effect='once' has a reconcile probe"),
        (fine, {"pivot": True, "compensation": "undo"}, "choose one"),
        (fine, {"pivot": True, "effect": "pure"}, "nothing that a pivot could mark"),
        (fine, {"queue": "Big Queue"}, "queue 'Big Queue' must fit"),
        (fine, {"concurrency": 0}, "concurrency must be at least 1"),
    ],
)
def test_a_mistake_in_an_activity_names_the_function(
    function: Callable[..., Any], options: dict[str, Any], says: str
) -> None:
    message = refused(lambda: activity(**options)(function))
    assert says in message
    assert f"test_definitions.{function.__name__}" in message


# --- what plans may hold is checked again for each that a planner proposes ------------------------------------------


# --- foreign activities and limits ----------------------------------------------------------------------------------


def test_a_foreign_activity_is_a_signature_that_is_never_called() -> None:
    @activity(effect="idempotent", pivot=True, queue="node", foreign=True)
    async def notify(given: dict[str, int]) -> dict[str, int]:
        raise NotImplementedError

    assert (notify.foreign, notify.name, notify.queue) == (True, "notify", "node")
    assert notify.output_adapter.validate_python({"a": "1"}) == {"a": 1}
    with pytest.raises(DefinitionInvalid, match="'notify' is foreign: a consumer of queue 'node'"):
        notify({"a": 1})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"effect": "once", "pivot": True, "queue": "node"}, "make it pure or idempotent"),
        ({"effect": "pure"}, "give queue="),
        ({"effect": "pure", "queue": "node", "concurrency": 1}, "leave concurrency and limits out"),
        ({"effect": "pure", "queue": "node", "limits": Limits(at_once=1)}, "leave concurrency and limits out"),
        ({"effect": "pure", "queue": "node", "secrets": ["key"]}, "leave them out"),
    ],
)
def test_what_cannot_run_elsewhere_is_refused(options: dict[str, Any], says: str) -> None:
    async def notify(given: int) -> int:
        return given

    with pytest.raises(DefinitionInvalid, match=says):
        activity(foreign=True, **options)(notify)


def test_a_foreign_activity_has_a_queue_that_nobody_here_serves() -> None:
    @activity(effect="pure", queue="node", foreign=True)
    async def there(given: int) -> int:
        raise NotImplementedError

    @activity(effect="pure", queue="node")
    async def here(given: int) -> int:
        return given

    with pytest.raises(DefinitionInvalid, match="'here': its queue 'node' is that of the foreign activity 'there'"):
        Definition("d", steps=[Step("a", here, input={}), Step("b", there, input={})])
    with pytest.raises(DefinitionInvalid, match="it cannot be foreign"):
        Definition("d", steps=[Step("a", there, input={})], artifact=there)


def test_limits_are_called_after_their_activity_unless_they_are_shared() -> None:
    @activity(effect="pure", limits=Limits(at_once=2))
    async def alone(given: int) -> int:
        return given

    @activity(effect="pure", limits=Limits(name="register", rate=Rate(times=3)))
    async def together(given: int) -> int:
        return given

    assert alone.limits is not None
    assert together.limits is not None
    assert (alone.limits.name, together.limits.name) == ("alone", "register")


def test_a_proposed_plan_is_held_against_the_same_rules() -> None:
    definition = define(act("look"), activities=[act("bare", "idempotent")])
    with pytest.raises(PlanInvalid, match="plan 3, step 'x': activity 'bare' has an effect"):
        definition.check([PlannedStep(id="x", activity="bare")], earlier={}, place="plan 3")
    definition.check([PlannedStep(id="x", activity="look")], earlier={"look": 1}, place="plan 3")
