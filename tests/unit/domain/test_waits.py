"""Steps that wait: for a time, or for another service's signal with its correlation key."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from domain import events as e
from domain.definitions import Step
from domain.plan import OnTimeout, SignalWait, TimeWait
from domain.state import Status, StepStatus
from tests.unit.domain.recipes import act, define
from tests.unit.domain.scenario import BEGINNING, Scenario, given

MINUTE = timedelta(minutes=1)


def waiting(correlation: Any = "order-7", **options: Any) -> Scenario:
    """A workflow that waits for a signal, then tells."""
    wait = Step("wait", wait_signal=SignalWait(name="paid", correlation=correlation), **options)
    return given(define(wait, act("tell")), input={"order": "order-9", "number": 12})


def test_a_wait_for_a_duration_begins_with_the_step() -> None:
    rest = Step("rest", wait_time=TimeWait(duration=MINUTE))
    scenario = given(define(act("look"), rest, act("tell"))).later(30).ok("look").then(e.StepSucceeded, e.WaitStarted)
    assert scenario.event(e.WaitStarted).due_at == BEGINNING + 90 * timedelta(seconds=1)
    scenario.status_is(Status.BLOCKED).waits_for("rest:time").later(60).wakes()
    scenario.then(e.WaitSatisfied, e.StepSucceeded, e.StepScheduled)


def test_a_wait_until_an_instant_that_has_passed_is_over_at_once() -> None:
    scenario = given(define(Step("rest", wait_time=TimeWait(until=BEGINNING - MINUTE)), act("tell")))
    scenario.then(e.WorkflowStarted, e.PlanProposed, e.WaitStarted, e.WaitSatisfied, e.StepSucceeded, e.StepScheduled)


def test_a_signal_with_its_name_and_correlation_ends_the_wait_and_is_the_output() -> None:
    scenario = waiting().status_is(Status.BLOCKED).waits_for("wait:signal").step_is("wait", StepStatus.WAITING)
    scenario.signalled("paid", "order-7", {"amount": 3}).then(e.WaitSatisfied, e.StepSucceeded, e.StepScheduled)
    assert scenario.state.settled["wait"].output == {"amount": 3}


@pytest.mark.parametrize(("name", "correlation"), [("paid", "order-8"), ("sent", "order-7")])
def test_another_signal_is_ignored_with_a_reason(name: str, correlation: str) -> None:
    waiting().signalled(name, correlation).then_ignored("nothing waits for this signal").waits_for("wait:signal")


def test_a_signal_that_comes_twice_counts_once() -> None:
    waiting().signalled("paid", "order-7").signalled("paid", "order-7").then_ignored("nothing waits")


def test_one_signal_ends_every_wait_for_it() -> None:
    pair = [Step(name, wait_signal=SignalWait(name="paid", correlation="k"), after=()) for name in ("one", "two")]
    scenario = given(define(*pair)).signalled("paid", "k", 1)
    scenario.then(e.WaitSatisfied, e.StepSucceeded, e.WaitSatisfied, e.StepSucceeded, e.WorkflowCompleted)


def test_the_correlation_may_come_from_the_input() -> None:
    assert waiting({"$ref": "input.order"}).state.waits["wait:signal"].correlation == "order-9"
    assert waiting({"$ref": "input.number"}).state.waits["wait:signal"].correlation == "12"


def test_a_correlation_that_leads_nowhere_fails_the_step() -> None:
    scenario = waiting({"$ref": "input.nothing"})
    assert scenario.event(e.StepFailed).failure.kind == "invalid"
    assert "the correlation of signal 'paid'" in scenario.event(e.StepFailed).failure.message


def test_a_workflow_that_stops_waits_for_no_signal() -> None:
    looking = Step("look", act("look"), after=())
    wait = Step("wait", wait_signal=SignalWait(name="paid", correlation="k"), after=())
    scenario = given(define(looking, wait)).cancelled().waits_for()
    scenario.signalled("paid", "k").then_ignored("nothing waits any more")


@pytest.mark.parametrize(
    ("then", "events"),
    [
        ("ok", (e.WaitTimedOut, e.StepSucceeded, e.StepScheduled)),
        ("skip", (e.WaitTimedOut, e.StepSkipped, e.StepScheduled)),
        ("fail", (e.WaitTimedOut, e.StepFailed, e.StoppingBegan, e.WorkflowFailed)),
    ],
)
def test_a_wait_that_runs_out_of_time_does_what_it_says(then: OnTimeout, events: tuple[type[e.Event], ...]) -> None:
    scenario = waiting(timeout=MINUTE, on_timeout=then).later(59).wakes().then()
    scenario.later(1).wakes().then(*events)
    assert scenario.event(e.WaitTimedOut).then == then


def test_a_signal_at_the_instant_of_the_time_out_is_too_late() -> None:
    waiting(timeout=MINUTE, on_timeout="skip").later(60).signalled("paid", "order-7")
    scenario = waiting(timeout=MINUTE, on_timeout="skip").later(60).signalled("paid", "order-7")
    scenario.then(e.WaitTimedOut, e.StepSkipped, e.StepScheduled)
    assert scenario.last.ignored == "nothing waits for this signal"


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({}, "either until=… or duration=…"),
        ({"until": BEGINNING, "duration": MINUTE}, "either until=… or duration=…"),
        ({"until": BEGINNING.replace(tzinfo=None)}, "needs a time zone"),
        ({"duration": -MINUTE}, "greater than or equal to 0"),
        ({"duration": timedelta(days=36_526)}, "less than or equal to 36525 days"),
        ({"until": BEGINNING.replace(year=9999)}, "between the years 1970 and 9800"),
    ],
)
def test_a_wait_for_a_time_says_one_thing_and_says_it_fully(parts: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TimeWait(**parts)
