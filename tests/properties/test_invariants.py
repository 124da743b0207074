"""Triggers in any order, repeated, late and lost: what must always hold holds (see the driver for what that is)."""

from __future__ import annotations

from hypothesis import event, given, target
from hypothesis import strategies as st

from domain import events as e
from domain.errors import InputInvalid
from domain.forking import cut_at, is_end
from domain.replay import fold
from domain.state import TERMINAL, StepStatus
from domain.triggers import CancelWorkflow
from tests.properties.chance import Drawn, one_in
from tests.properties.driver import Driver

happenings = st.integers(1, 40)
some_data = st.data()
UNDOING = (e.CompensationScheduled, e.StepCompensated)


@given(some_data, happenings)
def test_any_order_repetition_and_delay_of_triggers_keeps_the_invariants(data: st.DataObject, count: int) -> None:
    driver = Driver(Drawn(data))
    for _ in range(count):
        driver.step()
    target(len(driver.history), label="events")
    for seen in sorted(driver.seen):
        event(seen)
    driver.check_history()


@given(some_data, happenings)
def test_from_wherever_it_got_to_a_workflow_can_be_brought_to_its_end(data: st.DataObject, count: int) -> None:
    driver = Driver(Drawn(data), thorough=False)
    for _ in range(count):
        driver.step()
    driver.finish()
    assert driver.state.status in TERMINAL
    event(driver.state.status.value)
    driver.a_lost_worker_answers()
    driver.check_history()


@given(some_data, happenings)
def test_a_fork_of_any_prefix_keeps_the_invariants_and_comes_to_its_end(data: st.DataObject, count: int) -> None:
    driver = Driver(Drawn(data), thorough=False)
    for _ in range(count):
        driver.step()
    fork = driver.forked()
    for _ in range(count // 4):
        fork.step()
    fork.finish()
    event(fork.state.status.value)
    fork.check_history()


@given(some_data, st.integers(1, 15))
def test_a_fork_at_the_end_of_each_decision_replays_and_undoes_nothing_of_its_source(
    data: st.DataObject, count: int
) -> None:
    driver = Driver(Drawn(data), thorough=False)
    for _ in range(count):
        driver.step()
    for version in range(1, len(driver.history) + 1):
        if not is_end(driver.history, version):
            continue
        try:
            state = cut_at(driver.history, version).state
        except InputInvalid:
            state = fold(driver.history, upto=version)
            undone = [one for one in state.settled.values() if one.status is StepStatus.COMPENSATED]
            assert undone or state.undoing is not None, "only what has begun to undo itself has no cut at its decisions"
            event("undone")
            continue
        fork = driver.forked(version)
        for _ in range(count // 3):
            fork.step()
        if one_in(fork.chance, 2):
            fork.decide(CancelWorkflow(by="oscar", reason="so"))
        fork.finish()
        event(fork.state.status.value)
        fork.check_history()
        steps = {one.event.step.partition(":")[0] for one in fork.history if isinstance(one.event, UNDOING)}
        assert steps.isdisjoint(state.settled), "the fork undoes what its source did"
