"""Where payloads are withheld, what headers say is told, the rest is called not known, and the reason stands once."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from deploy.cli.replay_text import text_of
from domain.definitions import Step
from domain.errors import PayloadWithheld
from domain.recorded import RecordedEvent, from_state, to_state
from domain.store.covers import Erasure
from projections.replaying.documents import document_of
from projections.replaying.reading import History, history_of
from projections.replaying.report import Report, build
from projections.reporting.facts import Payload, facts_of
from tests.unit.domain.recipes import act, define, policy
from tests.unit.domain.scenario import Scenario, given
from tests.unit.projections.reporting.stories import page_of

REASON = "cannot be read any more; headers and digests are kept"
ERASED = Erasure(
    "wf_001", 9, datetime(2030, 5, 3, 10, tzinfo=UTC), "ann", "request of 3 May",
    {"definition": "review", "definition_version": "2"},
)  # fmt: skip


def history(scenario: Scenario, *, known: int, but: int = 0, erasure: Erasure | None = None) -> History:
    """The history of which the payloads behind the first `known` are withheld, and the one of event `but`."""

    def decode(workflow_id: str, version: int, topic: str, state: bytes) -> RecordedEvent:
        if version > known or version == but:
            raise PayloadWithheld(f"event {version} {REASON}", workflow_id=workflow_id, version=version)
        return from_state(workflow_id, version, topic, state)

    rows = [(one.originator_version, one.name, to_state(one)) for one in scenario.history]
    return replace(history_of("wf_001", rows, decode, position=99), erasure=erasure)


@pytest.fixture
def paid() -> Scenario:
    """Completed a day and two minutes after it was asked for; meanwhile it waited for an approval."""
    asks = define(Step("pay", act("pay"), approval="board"), approvals=[policy("board", deadline=None)])
    return given(asks, goal="secret").later(days=1).approves("pay").later(120).ok("pay")


def told(paid: Scenario, *, known: int, but: int = 0, erasure: Erasure | None = None) -> Report:
    return build(history(paid, known=known, but=but, erasure=erasure), paid.definitions, lambda _: None)


@pytest.mark.parametrize("known", [0, 3])
def test_what_headers_say_is_told(paid: Scenario, known: int) -> None:
    report = told(paid, known=known)
    whole = told(paid, known=99)
    assert report.status == whole.status == "completed"
    assert (report.started_at, report.ended_at, report.end) == (whole.started_at, whole.ended_at, whole.end)
    assert report.head == whole.head != ""
    assert report.durations.total_seconds == whole.durations.total_seconds == 86_520
    assert sum(report.durations.parts.values()) == 86_520
    assert "withheld" in report.durations.parts
    document = json.loads(json.dumps(document_of(report)))
    assert document["started_at"] == "2030-01-01T12:00:00+00:00"
    assert (document["head"], document["record"]["erased"]) == (whole.head, None)


def test_where_it_stood_before_is_not_told_as_now(paid: Scenario) -> None:
    """The approval was asked for, and who decided is withheld: that it waits for it is not so any more."""
    asked = next(one for one in paid.history if one.name == "ApprovalRequested").originator_version
    assert told(paid, known=asked).waits == ()
    report = told(paid, known=asked)
    assert (report.first_cause, report.others, report.durations.awaited) == (None, (), ())
    lines = list(text_of(report))
    assert lines[0] == "wf_001  completed"
    assert "  cause     not known: payloads are withheld" in lines
    assert lines.count(f"         not known from event {asked + 1} on: payloads are withheld") == 3


def test_a_decision_of_which_the_first_event_is_withheld_is_not_called_unreadable(paid: Scenario) -> None:
    first = next(one.decision for one in paid.history if one.originator_version > one.decision > 1)
    triggers = [one.trigger for one in told(paid, known=99, but=first).decisions if one.version > first]
    assert triggers[0] == "withheld"


def test_one_that_has_not_ended_is_not_known(paid: Scenario) -> None:
    paid.history = paid.history[:-1]
    report = told(paid, known=0)
    assert (report.status, report.ended_at) == ("unknown", None)
    lines = list(text_of(report))
    assert lines[0] == "wf_001  not known"
    assert "  time      since 2030-01-01 12:00:00 UTC, 1d to the last event; not ended" in " ".join(lines)


def test_the_text_says_it_once(paid: Scenario) -> None:
    text = "\n".join(text_of(told(paid, known=0, erasure=ERASED)))
    words = " ".join(text.split())
    assert words.count("erased") == 1
    assert "the workflow was erased on 2030-05-03 10:00 UTC by ann (request of 3 May)" in words
    assert REASON not in words
    assert "goal not known: its payloads are withheld (review 2)" in words
    assert "time 2030-01-01 12:00:00 to 2030-01-02 12:02:00 UTC, 1d" in words
    assert "state not known: its payloads are withheld" in words
    imported = " ".join("\n".join(text_of(told(paid, known=0))).split())
    assert imported.count("left out of the export that was imported") == 1
    assert "goal not known: its payloads are withheld time" in imported


def test_json_says_who_erased_it_and_when(paid: Scenario) -> None:
    document = document_of(told(paid, known=0, erasure=ERASED))
    assert document["record"]["erased"] == {
        "at": "2030-05-03T10:00:00+00:00", "by": "ann", "reason": "request of 3 May",
    }  # fmt: skip
    assert (document["definition"], document["definition_version"]) == ("review", "2")
    assert REASON not in json.dumps(document)


def test_a_page_does_not_say_that_nothing_was(paid: Scenario) -> None:
    read = history(paid, known=0, erasure=ERASED)
    payloads = {one.version: Payload(None, "withheld; its digest still holds") for one in read.withheld}
    report = told(paid, known=0, erasure=ERASED)
    page = page_of(facts_of(report, read, payloads))
    for words in (
        "There is no plan", "Nothing was attempted", "Nobody had to approve", "No person acted", "Not one event",
        "No step was under way", "not readable", "cannot be read",
    ):  # fmt: skip
        assert words not in page, words
    assert page.count("Not known: its payloads are withheld.") == 6
    assert page.count("erased on 2030-05-03 10:00 UTC by ann") == 1
    assert ">✓ completed<" in page
