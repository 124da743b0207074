"""How a history compares with what the code at hand decides: the answer, the parts that differ, and where to look."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from domain import events as e
from domain.definitions import Definition
from projections.replaying.verdict import Word, json_differences, suspect_of, verdict_on
from tests.unit.domain.recipes import TWICE, act, define, reserve
from tests.unit.domain.scenario import TRANSIENT, Loaded, given
from tests.unit.projections.replaying.faults import ASKS, BOARD, gated

PLAIN = define(act("look"), reserve(), act("tell"))


def loaded(definition: Definition) -> Loaded:
    return Loaded({("test", "1"): definition})


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, [("/a", 1, 2)]),
        ({"a": 1}, {}, [("/a", 1, None)]),
        ({"a": {"b/c": [1, 2]}}, {"a": {"b/c": [1, 3]}}, [("/a/b~1c/1", 2, 3)]),
        ({"a": [1]}, {"a": [1, 2]}, [("/a", [1], [1, 2])]),
        ({"a": {"b": 1}}, {"a": 1}, [("/a", {"b": 1}, 1)]),
        ({"a": 1}, {"a": {"b": 1}}, [("/a", 1, {"b": 1})]),
        (1, True, [("", 1, True)]),
    ],
)
def test_where_two_values_differ(one: Any, other: Any, expected: list[tuple[str, Any, Any]]) -> None:
    assert [(found.path, found.recorded, found.decided) for found in json_differences(one, other)] == expected


def test_the_parts_of_an_event_that_differ_are_told() -> None:
    other = define(act("look", queue="elsewhere"), reserve(), act("tell"))
    verdict = verdict_on(given(PLAIN).ok("look").history, loaded(other))
    assert (verdict.word, verdict.version, verdict.event, verdict.upto) == (Word.DIFFERS, 3, "StepScheduled", 2)
    assert [(one.path, one.recorded, one.decided) for one in verdict.differences] == [
        ("/queue", "default", "elsewhere")
    ]
    assert verdict.suspect == "definition"


def test_a_gate_that_is_there_or_not_is_the_definitions_affair() -> None:
    with_gate, without = gated(ASKS, approvals=[BOARD]), define(act("look"), act("pay"))
    history = given(with_gate, input={"n": 1}).ok("look").history
    assert verdict_on(history, loaded(with_gate)).word is Word.AGREES
    asked = e.ApprovalRequested.model_validate(history[-1].event.model_dump())
    scheduled = e.StepScheduled.model_validate(history[2].event.model_dump())
    assert suspect_of(asked, scheduled, ()) == "definition"
    assert suspect_of(scheduled, None, ()) == "engine"
    assert verdict_on(history, loaded(without)).version == 2


def test_other_retries_are_the_definitions_affair_and_none_at_all_the_engines() -> None:
    history = given(PLAIN).fails("look", TRANSIENT).history
    slower = TWICE.model_copy(update={"initial_delay": TWICE.initial_delay * 5})
    verdict = verdict_on(history, loaded(define(act("look", retry=slower), reserve(), act("tell"))))
    assert (verdict.version, verdict.event, verdict.suspect) == (5, "RetryScheduled", "definition")


def test_a_record_that_does_not_hang_together_cannot_be_decided() -> None:
    history = given(PLAIN).ok("look").ok("reserve").history
    silent = replace(history[3], event=history[3].event.model_copy(update={"step": "unheard-of"}))
    verdict = verdict_on([*history[:3], silent, *history[4:]], loaded(PLAIN))
    assert (verdict.word, verdict.version, verdict.upto) in {
        (Word.UNDECIDABLE, 4, 3),
        (Word.DIFFERS, 4, 3),
    }


def test_the_last_decision_is_left_out_where_events_may_be_missing() -> None:
    history = given(PLAIN).ok("look").history
    assert verdict_on(history[:4], loaded(PLAIN)).word is Word.DIFFERS
    verdict = verdict_on(history[:4], loaded(PLAIN), whole=False)
    assert (verdict.word, verdict.upto) == (Word.AGREES, 3)
