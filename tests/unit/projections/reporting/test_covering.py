"""What a rule leaves out of an export is nowhere on the page: not in a payload, not in words made of one."""

from collections.abc import Sequence

import pytest

from domain.errors import InputInvalid
from projections.exporting.diagram import diagram_lines
from projections.exporting.redaction import Redaction
from projections.reporting.covering import NOT_SHOWN, check_rules, covered, hidden_in, teller
from projections.reporting.facts import Payload
from tests.unit.domain.scenario import Scenario
from tests.unit.projections.replaying.faults import FAULTS
from tests.unit.projections.reporting.stories import (
    facts_for,
    facts_of_scenario,
    incident,
    page_of,
    payload_texts,
)
from tests.unit.projections.reporting.test_page import is_sound, section

SECRET = "quite-a-secret-name"
EVERYWHERE = ("bank", "outcome", "message", "reason", "note", "goal")


def page_with(rules: Sequence[str], scenario: Scenario) -> str:
    page = page_of(facts_of_scenario(scenario, rules=rules))
    is_sound(page)
    return page


def test_what_is_withheld_is_in_no_words_either() -> None:
    story = incident(SECRET, goal=f"pay {SECRET}")
    assert page_with((), story).count(SECRET) > 10
    page = page_with(EVERYWHERE, story)
    assert SECRET not in page
    assert "event 21: an activity failed" in section(page, "cause")
    assert NOT_SHOWN in section(page, "cause")
    assert "payload of event 21: withheld; its digest still holds" in section(page, "events")


@pytest.mark.parametrize("rule", ["message", "bank.iban", "note", "outcome"])
def test_a_rule_hides_what_an_export_hides_and_tells_the_rest(rule: str) -> None:
    story = incident(SECRET)
    told = facts_of_scenario(story, rules=[rule])
    page = page_of(told)
    kept = {text for text in payload_texts(told) if text.isprintable()}
    assert {"look", "screen", "ann"} <= kept
    for text in kept:
        assert text.replace("&", "&amp;").replace("'", "&#x27;") in page, "what the export shows is on the page"
    hidden = hidden_in(told.payloads)
    assert hidden
    assert page.count("withheld; its digest still holds") == len(hidden)
    assert f"Left out by rule{rule}" in page.replace("</dt><dd><bdi>", "")


def test_a_fault_is_named_by_its_event_whatever_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for make in FAULTS.values():
        seeded = make(monkeypatch)
        told = facts_for(
            seeded.history, seeded.definitions, rules=("failure", "reason"), rows=seeded.rows(), family=seeded.family
        )
        page = page_of(told)
        is_sound(page)
        assert f"event {seeded.version}" in section(page, "cause")


def test_what_is_computed_from_several_events_or_from_others_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    differs = FAULTS["the_definition_was_changed"](monkeypatch)
    told = facts_for(differs.history, differs.definitions, rows=differs.rows(), rules=["iban"])
    part = covered(told).report.verdict.differences
    assert {(one.recorded, one.decided) for one in part} == {(NOT_SHOWN, NOT_SHOWN)}
    child = FAULTS["a_child_fails"](monkeypatch)
    cause = covered(facts_for(child.history, child.definitions, family=child.family, rules=["iban"])).report.first_cause
    assert cause is not None
    assert (cause.words, cause.failure) == (NOT_SHOWN, None)


def test_without_rules_nothing_is_covered() -> None:
    told = facts_of_scenario(incident())
    assert covered(told) is told
    assert hidden_in({1: Payload(b"{}"), 2: Payload(None), 3: Payload(b"{}", cut=True)}) == {2, 3}


def test_the_diagram_says_no_more() -> None:
    story = incident(SECRET)
    told = facts_of_scenario(story, rules=EVERYWHERE)
    lines = "\n".join(diagram_lines(story.history, teller(hidden_in(told.payloads))))
    assert SECRET not in lines
    assert "AttemptFailed: not shown" in lines
    assert SECRET in "\n".join(diagram_lines(story.history))


@pytest.mark.parametrize("rule", ["step", "*", "steps", "id", "activity", "steps.*.after", "definition"])
def test_rules_that_leave_no_report_are_refused(rule: str) -> None:
    with pytest.raises(InputInvalid, match="there is no report"):
        check_rules(Redaction([rule]))


@pytest.mark.parametrize("rule", ["input", "steps.*.input", "bank.*", "reason", "@marked"])
def test_others_are_not(rule: str) -> None:
    check_rules(Redaction([rule]))
