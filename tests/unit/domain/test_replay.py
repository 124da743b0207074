"""Replay: fold a history, decide it again from the record alone, and name the first divergence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from domain import events as e
from domain.definitions import Definition
from domain.errors import HandrailError
from domain.recorded import RecordedEvent
from domain.replay import decide_again, decisions, fold, open_commands, trigger_of
from domain.state import Status
from tests.unit.domain.recipes import act, define, reserve
from tests.unit.domain.scenario import Loaded, given

SAME = define(act("look"), reserve(), act("tell"))


def history() -> list[RecordedEvent]:
    return given(SAME).ok("look").ok("reserve").fails("tell").ok("reserve").history


def loaded(definition: Definition) -> Loaded:
    return Loaded({("test", "1"): definition})


def changed(events: list[RecordedEvent], version: int, **parts: Any) -> list[RecordedEvent]:
    """The history with one event's fields changed."""
    one = events[version - 1]
    event = one.event.model_copy(update=parts)
    payload = event.model_dump_json(exclude_none=True).encode()
    return [*events[: version - 1], replace(one, event=event, payload=payload), *events[version:]]


def test_a_history_is_folded_up_to_any_version() -> None:
    events = history()
    assert fold(events).status is Status.COMPENSATED
    assert fold(events, upto=3).status is Status.EXECUTING
    assert fold([]).version == 0


def test_a_history_is_cut_into_its_decisions() -> None:
    names = [[one.event.stored_name for one in decision] for decision in decisions(history())]
    assert names[:2] == [["WorkflowStarted", "PlanProposed", "StepScheduled"], ["StepSucceeded", "StepScheduled"]]
    assert len(names) == 5


def test_what_was_decided_is_decided_again() -> None:
    assert decide_again(history(), loaded(SAME)) is None
    assert decide_again([], loaded(SAME)) is None


def test_a_changed_event_is_the_first_divergence() -> None:
    divergence = decide_again(changed(history(), 7, activity="other"), loaded(SAME))
    assert divergence is not None
    assert divergence.version == 7
    assert '"activity":"other"' in divergence.expected
    assert '"activity":"tell"' in divergence.found
    assert not divergence.other_engine


def test_an_event_too_few_and_one_too_many_are_divergences() -> None:
    events = history()
    fewer = decide_again(events[:2], loaded(SAME))
    assert fewer is not None
    assert (fewer.version, fewer.expected) == (3, "nothing further")
    extra = replace(events[2], originator_version=4, event=e.StepSkipped(step="look", reason="x"))
    more = decide_again([*events[:3], extra], loaded(SAME))
    assert more is not None
    assert (more.version, more.found) == (4, "nothing further")


def test_another_definition_of_the_same_version_diverges_where_it_decides_otherwise() -> None:
    divergence = decide_again(history(), loaded(define(act("look"), act("tell"))))
    assert divergence is not None
    assert divergence.version == 2


def test_a_definition_that_is_not_loaded_diverges_at_once_and_says_so() -> None:
    divergence = decide_again(history(), Loaded())
    assert divergence is not None
    assert (divergence.version, "is not loaded" in divergence.found) == (1, True)


def test_decided_by_another_engine_version_is_told_apart_from_diverged() -> None:
    events = [replace(one, engine="0") for one in changed(history(), 2, reason="otherwise")]
    divergence = decide_again(events, loaded(SAME))
    assert divergence is not None
    assert divergence.other_engine


def test_a_decision_that_does_not_say_what_it_was_decided_on_cannot_be_made_again() -> None:
    silent = next(one for one in history() if isinstance(one.event, e.PlanProposed))
    with pytest.raises(HandrailError, match=r"event 2 \(PlanProposed\) does not say what it was decided on"):
        trigger_of(silent)


def test_which_commands_were_open_is_known_from_what_was_revoked() -> None:
    scenario = given(define(act("look"))).left_open().cancelled()
    assert open_commands(scenario.last.events) == {"wf_001/look/run/1"}


def test_replay_leaves_the_history_alone() -> None:
    events = history()
    before = [one.payload for one in events]
    decide_again(events, loaded(SAME))
    assert [one.payload for one in events] == before
