"""The forms for other programs: valid, the same each time on any store, of whatever it holds; and nothing withheld."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.loading import LoadedDefinitions
from deploy.opened import open_store
from domain.events import TERMINAL_EVENTS
from domain.store.application import WorkflowStore
from projections.exporting import reading
from projections.exporting.reading import Selection
from projections.exporting.redaction import Redaction
from projections.exporting.telling import Teller
from tests.integration.exports.forms import FORMS, beside, check, lines_in, spans_in, told, written
from tests.integration.exports.stock import fill, heartbeat, paying
from tests.integration.exports.stories import hostile, stories
from tests.integration.exports.test_stores import DAMAGES
from tests.properties.chance import Drawn
from tests.properties.driver import Driver


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkflowStore]:
    """A home's store with everything that workflows can go through."""
    store = open_store(tmp_path_factory.mktemp("rich"), LoadedDefinitions())
    fill(store, stories())
    yield store
    store.close()


def test_what_workflows_go_through_is_among_the_stories() -> None:
    names = {type(one.event).stored_name for events in stories() for one in events}
    assert len(names) >= 46
    assert names >= {"RetryScheduled", "ApprovalGranted", "StepCompensated", "ChildEnded", "WaitSatisfied"}
    assert names >= {"WorkflowCancelled", "WorkflowForked", "ForkTaken", "OutcomeReconciled", "WorkflowRestored"}
    ended = [any(isinstance(one.event, TERMINAL_EVENTS) for one in events) for events in stories()]
    assert {True, False} == set(ended), "some are open"


@pytest.mark.parametrize("form", FORMS)
def test_each_fits_its_schema_and_counts_what_is_there(form: str, rich: WorkflowStore) -> None:
    teller = Teller(Redaction())
    content = told(form, rich, teller)
    check(form, content)
    made = stories()
    assert (teller.workflows, teller.events) == (len(made), sum(map(len, made)))
    assert written(form, rich) == content, "and the same once more"
    assert written(form, beside(made)) == content or form == "otlp", "and without a store"


@pytest.mark.parametrize("form", FORMS)
def test_what_is_withheld_or_cut_is_in_none_of_them(form: str, rich: WorkflowStore) -> None:
    # What the word is in: the goal and who asked for it, payloads with marked values, texts of failures.
    rules = ("requested_by", "iban", "failure.message", "reason", "observations")
    for word in (b"rita", b"NL0003", b"it broke", b"because"):
        assert (word in written("cloudevents", rich)) is True
    teller = Teller(Redaction(rules))
    content = told(form, rich, teller)
    check(form, content)
    assert teller.withheld > 0
    assert teller.cut > 0
    headers = b'"rita"' in written("cloudevents", rich, rules=("requested_by",))
    assert headers, "who acted is in the header, which stays"
    for word in (b"NL0003", b"it broke", b"because"):
        assert word not in content
    if form == "ocel":
        assert b'"person:rita"' not in content


@pytest.mark.parametrize("form", FORMS)
def test_of_an_erased_workflow_the_headers_are_told(form: str) -> None:
    (erased,) = beside([list(paying("wf_003", 3))])
    for row in erased.rows:
        row.payload, row.withheld = b"", True
    teller = Teller(Redaction())
    content = told(form, [erased], teller)
    check(form, content)
    assert (teller.events, teller.withheld) == (5, 5)
    assert b"NL0003" not in content
    assert b"check/run" not in content.replace(b"wf/check/run/1", b"the cause in the header")
    assert (b"withheld" in content) is (form != "otlp")


@pytest.mark.parametrize("form", FORMS)
def test_pieces_make_no_difference(form: str, rich: WorkflowStore, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = written(form, rich)
    monkeypatch.setattr(reading, "EVENTS_A_READ", 3)
    monkeypatch.setattr(reading, "BYTES_A_READ", 900)
    assert written(form, rich) == whole


@pytest.mark.parametrize("form", FORMS)
def test_sqlite_and_postgresql_give_the_same_bytes(
    form: str, stocked: WorkflowStore, stocked_postgres: WorkflowStore
) -> None:
    for selection in (Selection(), Selection(("wf_007", "wf_002")), Selection(definition="paying")):
        here = told(form, stocked, Teller(Redaction(["iban"])), selection)
        assert here == told(form, stocked_postgres, Teller(Redaction(["iban"])), selection)
        check(form, here)


@pytest.mark.parametrize("form", FORMS)
def test_nothing_gives_a_document_all_the_same(form: str, stocked: WorkflowStore) -> None:
    content = told(form, stocked, Teller(Redaction()), Selection(definition="nothing"))
    check(form, content)
    assert (content == b"") is (form in {"cloudevents", "otlp"})


def test_handrails_own_workflows_are_left_out(stocked: WorkflowStore) -> None:
    fill(stocked, [heartbeat("wf_200")])
    for form in FORMS:
        assert b"wf_200" not in written(form, stocked)


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_a_damaged_store_holds_is_told_as_far_as_it_can_be(
    damage: str, stocked: WorkflowStore, home: Path
) -> None:
    statement, _ = DAMAGES[damage]
    before = {form: written(form, stocked) for form in FORMS}
    with contextlib.closing(sqlite3.connect(home / "handrail.db")) as connection, connection:
        connection.execute(statement)
    ((events,),) = stocked.query("SELECT count(*) FROM stored_events")
    for form in FORMS:
        teller = Teller(Redaction())
        content = told(form, stocked, teller)
        check(form, content)
        assert teller.events == events
        assert (teller.first_damage is not None) is (damage in MARKED_DAMAGED)
        # A trace tells no payloads and no actors.
        assert content != before[form] or form == "otlp"
    shown = {one["shown"] for one in lines_in(written("cloudevents", stocked))}
    assert shown == ({"whole", "damaged"} if damage in MARKED_DAMAGED else {"whole"})


UNHURRIED = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example)
MARKED_DAMAGED = {
    *("payload", "bytes", "line ends", "text", "moved on", "moved"),
    *("no number", "a number between", "key"),
}


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), min_size=1, max_size=3, unique=True))
@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=UNHURRIED)
def test_any_text_gives_valid_documents(texts: list[str]) -> None:
    made = beside([list(hostile("wf_001", texts))])
    for form in FORMS:
        check(form, written(form, made))


@given(st.data(), st.integers(1, 40))
@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=UNHURRIED)
def test_whatever_a_workflow_goes_through_gives_valid_documents(data: st.DataObject, count: int) -> None:
    driver = Driver(Drawn(data), thorough=False)
    for _ in range(count):
        driver.step()
    if not driver.history:
        return
    made = beside([driver.history])
    for form in FORMS:
        content = written(form, made)
        check(form, content)
        assert content == written(form, made)
    (trace,) = lines_in(written("otlp", made))
    assert spans_in(trace)[-1]["name"].startswith("invoke_workflow")
    assert len(lines_in(written("cloudevents", made))) == len(driver.history)
    assert len(json.loads(written("ocel", made))["events"]) == len(driver.history)
    assert written("xes", made).count(b"<event>") == len(driver.history)
