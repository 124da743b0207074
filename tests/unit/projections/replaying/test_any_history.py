"""What holds of the report of any history: those that the engine writes by chance, whole, cut off and tampered with."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

import pytest

from deploy.cli.replay_text import WIDTH, text_of
from domain import events as e
from domain.recorded import RecordedEvent, from_state, to_state
from domain.replay import decisions, fold
from projections.replaying.because import Thread
from projections.replaying.documents import document_of
from projections.replaying.origins import Kind
from projections.replaying.parting import compare
from projections.replaying.reading import history_of
from projections.replaying.report import Report, build
from projections.replaying.verdict import Word
from projections.replaying.words import said
from tests.replay.files import FOLDER, read
from tests.unit.domain.scenario import Loaded
from tests.unit.projections.histories import FIXED, PLANNED, forked, history

LOADED = Loaded({(one.name, one.version): one for one in (FIXED, PLANNED)})
SEEDS = range(60)
Row = tuple[int, str, bytes]


def rows_of(events: Sequence[RecordedEvent]) -> list[Row]:
    return [(one.originator_version, one.name, to_state(one)) for one in events]


def report_of(rows: Sequence[Row], name: str = "wf_001") -> Report:
    return build(history_of(name, rows, from_state), LOADED, lambda _: None, lambda _, __: None)


def by_chance(seed: int) -> list[RecordedEvent]:
    return history(seed, 50, (FIXED, PLANNED)[seed % 2])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_report_tells_all_and_hangs_together(seed: int) -> None:
    events = by_chance(seed)
    report = report_of(rows_of(events))
    assert (report.verdict.word, report.verdict.upto) == (Word.AGREES, len(events))
    assert (report.broken, report.unreadable, report.unfolded) == (None, (), "")
    told = [one.version for decision in report.decisions for one in decision.transitions]
    assert told == list(range(1, len(events) + 1))
    assert all(one.node and one.what for decision in report.decisions for one in decision.transitions)
    assert [one.version for one in report.chain][:1] == [1]
    assert abs(sum(report.durations.parts.values()) - report.durations.total_seconds) < 1e-3
    state = fold(events)
    live = {(one.step, one.kind, one.attempt) for one in report.attempts if one.outcome == "open"}
    assert len(live) == len(state.live)
    assert len(report.attempts) == sum(isinstance(one.event, e.StepScheduled) for one in events)
    if state.ended in {"failed", "compensated", "cancelled"}:
        assert report.first_cause is not None
        assert report.first_cause.fault
    if report.first_cause is not None:
        assert report.first_cause.version <= report.first_cause.seen_at


@pytest.mark.parametrize("seed", SEEDS)
def test_every_event_leads_back_to_the_goal(seed: int) -> None:
    events = by_chance(seed)
    thread = Thread(events)
    assert all(earlier < version for version, earlier in thread.because.items())
    assert all(thread.back(one.originator_version)[-1] == 1 for one in events)


@pytest.mark.parametrize("seed", SEEDS)
def test_text_and_json_are_the_same_each_time_and_fit(seed: int) -> None:
    rows = rows_of(by_chance(seed))
    first, again = report_of(rows), report_of(rows)
    lines = list(text_of(first))
    assert lines == list(text_of(again))
    assert max(map(len, lines)) <= WIDTH
    assert all(line.isprintable() for line in lines)
    document = json.dumps(document_of(first), allow_nan=False)
    assert document == json.dumps(document_of(again), allow_nan=False)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_history_cut_off_after_any_decision_is_told_too(seed: int) -> None:
    events = by_chance(seed)
    ends = [decision[-1].originator_version for decision in decisions(events)]
    for end in random.Random(seed).sample(ends, min(6, len(ends))):
        report = report_of(rows_of(events[:end]))
        assert (report.version, report.verdict.word) == (end, Word.AGREES)
        assert list(text_of(report))


def test_a_fork_is_told_like_any_other() -> None:
    events = list(forked(by_chance(0)[:9], 1, 20))
    report = report_of(rows_of(events), "wf_fork")
    assert report.verdict.word is Word.AGREES
    assert list(text_of(report))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_is_the_same_as_itself_and_differs_from_what_it_differs_from(seed: int) -> None:
    events = by_chance(seed)
    assert compare(events, events).same
    found = compare(events, events[:-1])
    assert found.first is not None or isinstance(
        events[-1].event, e.DecisionRefused | e.WorkflowPaused | e.WorkflowResumed
    )


def planted(rows: list[Row], chance: random.Random) -> tuple[list[Row], int]:
    """The rows with one of them hurt, and the event where that is to be told."""
    at = chance.randrange(len(rows) - 1)
    version, topic, state = rows[at]
    header, digests, payload = state.split(b"\n", 2)
    match chance.choice(("bit", "header", "previous", "payload digest", "cut out", "swapped", "topic")):
        case "bit":
            place = chance.randrange(len(payload))
            payload = payload[:place] + bytes([payload[place] ^ 1]) + payload[place + 1 :]
        case "header":
            header = header.replace(b'"actor":"actor"', b'"actor":"acted"')
        case "previous":
            digests = b"f" * 64 + digests[64:]
        case "payload digest":
            digests = digests[:65] + b"f" * 64
        case "cut out":
            return [*rows[:at], *rows[at + 1 :]], version
        case "swapped":
            other = rows[at + 1]
            changed = (version, other[1], other[2]), (version + 1, topic, state)
            return [*rows[:at], *changed, *rows[at + 2 :]], version
        case "topic":
            topic = "StepPondered"
    return [*rows[:at], (version, topic, b"\n".join((header, digests, payload))), *rows[at + 1 :]], version


@pytest.mark.parametrize("seed", range(400))
def test_whatever_is_tampered_with_is_told_where_it_was(seed: int) -> None:
    chance = random.Random(seed)
    rows, version = planted(rows_of(by_chance(seed % 20)), chance)
    report = report_of(rows)
    damages = [one.version for one in report.unreadable] + ([report.broken.version] if report.broken else [])
    assert min(damages) == version
    assert list(text_of(report))
    assert json.dumps(document_of(report))
    told = report.first_cause, *report.others
    assert version in {one.version for one in told if one is not None and one.kind in {Kind.TAMPERED, Kind.UNREADABLE}}


def test_every_event_there_is_has_its_words() -> None:
    events = [one for path in sorted(FOLDER.glob("*.jsonl")) for one in read(path).events()]
    assert {type(one.event) for one in events} == set(e.STORED.values())
    assert all(said(one).what for one in events)
