"""What comes after the end, an act that is refused or a fork, is neither time of the workflow nor on its way."""

import json

import pytest

from deploy.cli.replay_text import text_of
from domain import events as e
from domain.recorded import from_state, to_state
from projections.replaying.documents import document_of
from projections.replaying.reading import history_of
from projections.replaying.report import Report, build
from tests.unit.domain.recipes import act, define, reserve
from tests.unit.domain.scenario import Scenario, given
from tests.unit.projections.reporting.stories import facts_of_scenario, page_of, times


def report_of(scenario: Scenario) -> Report:
    rows = [(one.originator_version, one.name, to_state(one)) for one in scenario.history]
    return build(history_of("wf_001", rows, from_state), scenario.definitions, lambda _: None)


@pytest.fixture
def over() -> Scenario:
    """Completed after a minute; a day later somebody would pause it, and is refused."""
    scenario = given(define(act("look"))).later(60)
    scenario.ok("look", **times(scenario, waited=10, ran=50))
    return scenario.later(days=1).paused().then(e.DecisionRefused)


def test_time_and_way_stop_at_the_end(over: Scenario) -> None:
    report = report_of(over)
    assert (report.end, report.version) == (5, 6)
    assert report.durations.total_seconds == 60
    assert report.durations.parts == {"worker": 10, "running": 50}
    assert [link.version for link in report.chain][-1] == 5
    assert report.chain[-1].what == "completed"
    assert max(span.end for span in report.spans) == report.ended_at


def test_what_came_after_is_told_apart(over: Scenario) -> None:
    report = report_of(over)
    assert [(one.version, one.after_end) for one in report.acts] == [(1, False), (6, True)]
    assert [one.version for one in report.decisions if one.after_end] == [6]
    lines = list(text_of(report))
    assert "  cause     nothing went wrong" in lines
    assert "  time      2030-01-01 12:00:00 to 2030-01-01 12:01:00 UTC, 1m" in lines
    assert any("  after the end: oscar: pause" in line for line in lines)
    assert any("  after the end: an operator: pause" in line for line in lines)
    document = json.loads(json.dumps(document_of(report)))
    assert (document["end"], document["people"][-1]["after_end"]) == (5, True)


def test_a_page_tells_it_so_too(over: Scenario) -> None:
    page = page_of(facts_of_scenario(over))
    assert "1m from the first event to event 5, the end" in page
    assert page.count("after the end: ") == 2
    assert "Nothing went wrong." in page


def test_what_is_awaited_after_the_end_is_still_told() -> None:
    """An attempt given up for lost succeeds when all is over: that is the cause, and a person must look at it."""
    scenario = given(define(reserve(), on_failure="intervene")).later(60)
    scenario.lapses("reserve").fails("reserve").skipped("reserve").later(3600).ok("reserve", attempt=1).later(60)
    report = report_of(scenario.paused())
    assert report.end is not None
    assert report.first_cause is not None
    assert report.first_cause.version > report.end
    assert report.durations.total_seconds == 60
    assert [one.reason for one in report.durations.awaited] == ["intervention"]
    assert "✗" in page_of(facts_of_scenario(scenario))
