"""The status is computed from the steps and the set of open waits; it is never stored on its own."""

from __future__ import annotations

from domain.definitions import Step
from domain.state import STATE, State, Status, goes_on
from tests.unit.domain.recipes import act, define, pay, policy
from tests.unit.domain.scenario import TRANSIENT, given


def test_it_is_not_among_what_a_snapshot_holds() -> None:
    assert "status" not in STATE.dump_python(given(define(act("look"))).state, mode="json")


def test_a_workflow_that_has_begun_nothing_is_new() -> None:
    assert State("wf_001").status is Status.NEW


def test_it_is_blocked_only_where_nothing_is_under_way() -> None:
    steps = [Step("ask", act("ask"), approval="default", after=()), Step("look", act("look"), after=())]
    scenario = given(define(*steps, approvals=[policy()])).status_is(Status.EXECUTING)
    scenario.fails("look", TRANSIENT).status_is(Status.EXECUTING)
    scenario.later(60).wakes().ok("look").status_is(Status.BLOCKED)


def test_a_probe_to_come_is_under_way_and_a_person_to_come_is_not() -> None:
    given(define(pay(probe="ask"))).lapses("pay").status_is(Status.EXECUTING)
    given(define(pay())).lapses("pay").status_is(Status.BLOCKED)


def test_the_phase_decides_before_the_waits() -> None:
    scenario = given(define(Step("ask", act("ask"), approval="default"), approvals=[policy()])).paused()
    scenario.status_is(Status.PAUSED).waits_for("ask:approval")


def test_what_brings_a_workflow_on_depends_on_what_it_lacks() -> None:
    assert goes_on((), ["retry:look"])
    assert goes_on((), ["probe:look"])
    assert not goes_on((), ["approval:look", "deadline:", "wait:look"])
    assert not goes_on((":budget",), ["retry:look"])
    assert goes_on((":budget",), ["probe:look"])
    assert not goes_on((":definition",), ["retry:look", "probe:look"])


def test_those_that_only_a_person_ends_are_told_apart() -> None:
    scenario = given(define(Step("pay", pay(), after=()), Step("look", act("look"), after=()))).lapses("pay")
    assert [wait.reason for wait in scenario.state.people_waits()] == ["outcome_unknown"]
