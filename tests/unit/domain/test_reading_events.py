"""Old shapes are raised when read, stored bytes are never touched, and what is not known fails closed."""

from __future__ import annotations

from typing import Any

import pytest

from domain import events as e
from domain.errors import EventCorrupt, EventUnknown
from domain.recorded import parse_topic, stored_topic
from domain.upcasting import UPCASTERS, Upcaster, decode


def raise_to_two(document: dict[str, Any]) -> dict[str, Any]:
    """Version 1 had `why` where version 2 has `reason`."""
    return {"step": document["step"], "reason": document["why"]}


def raise_to_three(document: dict[str, Any]) -> dict[str, Any]:
    return document | {"reason": document["reason"].upper()}


RAISING: dict[tuple[str, int], Upcaster] = {("StepSkipped", 1): raise_to_two, ("StepSkipped", 2): raise_to_three}


def test_an_event_is_read_as_it_was_written() -> None:
    assert decode("StepSkipped", 1, b'{"step":"look","reason":"why not"}', "here") == e.StepSkipped(
        step="look", reason="why not"
    )


def test_an_old_shape_is_raised_step_by_step_to_the_present_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(e.STORED, ("StepSkipped", 3), e.StepSkipped)
    payload = b'{"step":"look","why":"late"}'
    assert decode("StepSkipped", 1, payload, "here", upcasters=RAISING) == e.StepSkipped(step="look", reason="LATE")
    assert payload == b'{"step":"look","why":"late"}'


def test_an_event_raised_to_a_version_that_is_not_known_fails_closed() -> None:
    with pytest.raises(EventUnknown, match="raised to version 3"):
        decode("StepSkipped", 1, b'{"step":"look","why":"late"}', "here", upcasters=RAISING)


def test_an_event_whose_raised_shape_does_not_fit_is_corrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(e.STORED, ("StepSkipped", 2), e.StepSkipped)
    with pytest.raises(EventCorrupt, match="does not fit version 2"):
        decode("StepSkipped", 1, b"{}", "here", upcasters={("StepSkipped", 1): lambda _: {"step": 1}})


@pytest.mark.parametrize(("name", "version"), [("NeverHeardOf", 1), ("StepSkipped", 99), ("Event", 1), ("", 1)])
def test_an_unknown_name_or_version_fails_closed(name: str, version: int) -> None:
    with pytest.raises(EventUnknown, match="not known to this version of Handrail; use a newer one"):
        decode(name, version, b"{}", "workflow wf_001 event 7")


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b'{"step":1,"reason":"x"}', b'{"step":"look"'])
def test_a_payload_that_does_not_fit_is_corrupt_and_the_place_is_named(payload: bytes) -> None:
    with pytest.raises(EventCorrupt, match="workflow wf_001 event 7"):
        decode("StepSkipped", 1, payload, "workflow wf_001 event 7")


def test_no_event_has_been_raised_yet() -> None:
    assert UPCASTERS == {}, "a further version needs a golden history under tests/replay/"


def test_names_outlive_classes_and_are_listed_once() -> None:
    for (name, version), kind in e.STORED.items():
        assert (kind.stored_name, kind.stored_version) == (name, version)
    assert len(set(e.STORED.values())) == len(e.STORED)
    every = {kind for kind in vars(e).values() if isinstance(kind, type) and issubclass(kind, e.Event)} - {e.Event}
    assert every == set(e.STORED.values())


def test_a_topic_names_the_version_where_it_is_not_the_first() -> None:
    assert [stored_topic("StepScheduled", version) for version in (1, 2)] == ["StepScheduled", "StepScheduled@2"]
    assert [parse_topic(topic) for topic in ("StepScheduled", "StepScheduled@2")] == [
        ("StepScheduled", 1),
        ("StepScheduled", 2),
    ]


@pytest.mark.parametrize("topic", ["StepScheduled@x", "StepScheduled@-1", "a@1@2"])
def test_a_topic_of_another_form_is_corrupt(topic: str) -> None:
    with pytest.raises(EventCorrupt, match="NAME or NAME@VERSION"):
        parse_topic(topic)
