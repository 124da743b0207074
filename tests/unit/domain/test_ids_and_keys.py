"""Attempt numbers rise for life, message ids never collide, and the outside world sees one key a generation."""

from __future__ import annotations

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st

from domain import events as e
from domain.errors import InputInvalid
from domain.ids import (
    KINDS,
    CommandId,
    child_workflow_id,
    fork_workflow_id,
    idempotency_key,
    is_name,
    local_workflow_id,
    message_id,
    parse_message_id,
    workflow_id_from_message,
)
from tests.unit.domain.recipes import act, define, pay, reserve
from tests.unit.domain.scenario import NOT_APPLIED, TRANSIENT, given, steps_scheduled

names = st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,12}", fullmatch=True)


def test_attempt_numbers_rise_over_retries_new_generations_probes_and_compensations() -> None:
    scenario = given(define(pay(probe="ask"), act("tell"), on_failure="intervene"), input={"n": 1})
    scenario.lapses("pay").later(5).wakes().fails("pay", NOT_APPLIED).later(60).wakes()
    scenario.fails("pay", NOT_APPLIED).later(60).wakes().fails("pay", NOT_APPLIED).waits_for("pay:intervention")
    scenario.retried("pay", input={"n": 2}).ok("pay")
    scenario.cancelled().ok("tell").ok("pay")
    assert steps_scheduled(scenario) == [
        "wf_001/pay/run/1",
        "wf_001/pay/probe/2",
        "wf_001/pay/run/3",
        "wf_001/pay/run/4",
        "wf_001/pay/run/5",
        "wf_001/tell/run/1",
        "wf_001/pay/compensate/6",
    ]


def test_the_key_is_the_same_for_all_attempts_and_another_for_a_new_generation() -> None:
    scenario = given(define(reserve(), on_failure="intervene"), input={"n": 1})
    scenario.fails("reserve", TRANSIENT).later(60).wakes().fails("reserve", TRANSIENT)
    scenario.retried("reserve").fails("reserve", TRANSIENT).later(60).wakes().fails("reserve", TRANSIENT)
    scenario.retried("reserve", input={"n": 2})
    keys = [one.key for one in scenario.events(e.StepScheduled)]
    assert keys == ["wf_001/reserve/run"] * 4 + ["wf_001/reserve/run~2"]


def test_a_probe_asks_with_the_key_of_the_attempt_and_a_compensation_knows_it() -> None:
    scenario = given(define(pay(probe="ask"), act("tell"))).lapses("pay").later(5).wakes()
    assert scenario.event(e.StepScheduled).input["idempotency_key"] == "wf_001/pay/run"
    scenario.ok("pay").fails("tell")
    assert scenario.event(e.StepScheduled).key == "wf_001/pay/compensate"
    assert scenario.event(e.StepScheduled).input["idempotency_key"] == "wf_001/pay/run"


@given_any(names, names, st.sampled_from(KINDS), st.integers(1, 10**6))
def test_a_message_id_can_be_taken_apart(workflow: str, step: str, kind: str, attempt: int) -> None:
    assert parse_message_id(message_id(workflow, step, kind, attempt)) == CommandId(workflow, step, kind, attempt)


@pytest.mark.parametrize("text", ["", "a/b/run", "a/b/walk/1", "a/b/run/x", "a/b/run/-1", "a/b/run/1/2", "a/b/run/²"])
def test_what_is_no_message_id_is_refused(text: str) -> None:
    with pytest.raises(InputInvalid, match="message id"):
        parse_message_id(text)


@given_any(st.lists(st.tuples(names, names, st.integers(1, 3)), min_size=2, max_size=2, unique=True))
def test_children_of_different_steps_have_different_ids(pair: list[tuple[str, str, int]]) -> None:
    first, second = (child_workflow_id(*one) for one in pair)
    assert first != second
    assert is_name(first)


def test_a_child_of_a_child_does_not_meet_a_child_with_a_dot_in_its_step() -> None:
    assert child_workflow_id("wf_001", "a.b", 1) != child_workflow_id(child_workflow_id("wf_001", "a", 1), "b", 1)
    assert child_workflow_id("wf_001", "a.2", 1) != child_workflow_id("wf_001", "a", 2)


def test_the_first_child_of_a_plain_step_has_a_readable_id() -> None:
    assert child_workflow_id("wf_001", "enrol", 1) == "wf_001.enrol"


def test_ids_from_messages_are_derived_from_sender_and_message() -> None:
    found = workflow_id_from_message("shop", "m-1")
    assert found == workflow_id_from_message("shop", "m-1")
    assert found != workflow_id_from_message("shop-m", "1")
    assert is_name(found)
    assert len(found) == len("wf_") + 26


def test_forks_of_one_cut_are_told_apart() -> None:
    assert fork_workflow_id("wf_001", 3, "a") != fork_workflow_id("wf_001", 3, "b")


def test_local_ids_are_counted() -> None:
    assert [local_workflow_id(number) for number in (1, 2, 1000)] == ["wf_001", "wf_002", "wf_1000"]


def test_the_first_generation_has_the_plain_key() -> None:
    assert idempotency_key("wf_001", "pay", "run", 1) == "wf_001/pay/run"
    assert idempotency_key("wf_001", "pay", "run", 2) == "wf_001/pay/run~2"
