"""The page about replay says what the report says: every kind of cause, every part of the time, every member."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.recorded import from_state
from projections.replaying.documents import document_of
from projections.replaying.durations import PARTS
from projections.replaying.origins import Kind
from projections.replaying.parting import What
from projections.replaying.reading import Elsewhere, history_of
from projections.replaying.report import FORMAT, build
from projections.replaying.verdict import Word
from tests.unit.projections.replaying.faults import FAULTS

PAGE = (Path(__file__).resolve().parents[4] / "deploy" / "docs" / "replay.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`([^`]+)`", PAGE))
OF_NAMES = {"parts", "steps", "failure", "value", "recorded", "decided"}
"""Members whose own members are names, or another document's."""


def members(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        for name, value in document.items():
            yield name
            if name not in OF_NAMES:
                yield from members(value)
    elif isinstance(document, list):
        for value in document:
            yield from members(value)


def test_every_kind_answer_part_and_difference_is_explained() -> None:
    for words in (Kind, Word, What):
        assert {word.value for word in words} <= NAMED
    assert set(PARTS) <= NAMED
    assert FORMAT in NAMED


@pytest.mark.parametrize("name", FAULTS)
def test_every_member_of_the_document_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seeded = FAULTS[name](monkeypatch)
    history = history_of("wf_001", seeded.rows(), from_state)
    counted = Elsewhere("0" * 16, 1, "2030-01-01", "2030-01-02", 7)
    others = FAULTS["it_waits_for_an_approval"](monkeypatch).history
    report = build(history, seeded.definitions, seeded.family.get, lambda *_: counted, lambda *_: others)
    document = document_of(report)
    assert set(members(document)) - NAMED == set()
