"""Triggers in any order, repeated, late and lost: what must always hold holds (see the driver for what that is)."""

from __future__ import annotations

from hypothesis import event, given, target
from hypothesis import strategies as st

from domain.state import TERMINAL
from tests.properties.chance import Drawn
from tests.properties.driver import Driver

happenings = st.integers(1, 40)
some_data = st.data()


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
