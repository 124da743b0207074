"""CloudEvents, read back by the SDK of CloudEvents for Python: every event, with every field as it was."""

import json
from datetime import UTC

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from jsonschema import Draft202012Validator

from deploy.cli.schemas import CHECKED_IN
from domain.recorded import RecordedEvent
from projections.exporting.cloudevents import SCHEMAS
from tests.integration.exports.forms import beside, written
from tests.integration.exports.stories import HOSTILE, hostile, stories


def read(content: bytes) -> list[CloudEvent]:
    found = []
    for line in content.split(b"\n")[:-1]:
        event = JSONFormat().read(CloudEvent, line)
        assert isinstance(event, CloudEvent)
        found.append(event)
    return found


def test_the_sdk_reads_every_event_with_all_its_fields() -> None:
    made = stories()
    events = read(written("cloudevents", beside(made)))
    recorded = [one for history in made for one in history]
    assert len(events) == len(recorded)
    definitions = {history[0].originator_id: definition_of(history[0]) for history in made}
    for event, one in zip(events, recorded, strict=True):
        assert event.get_id() == one.digest
        assert event.get_source() == f"/handrail/{definitions[one.originator_id]}"
        assert event.get_type() == f"handrail.{type(one.event).stored_name}.v1"
        assert event.get_subject() == one.originator_id
        time = event.get_time()
        assert time is not None
        assert (time, time.utcoffset()) == (one.timestamp.astimezone(UTC), UTC.utcoffset(None))
        assert event.get_data() == json.loads(one.payload)
        assert (event.get_extension("version"), int(event.get_extension("sequence"))) == (one.originator_version,) * 2
        assert event.get_extension("decision") == one.decision
        assert event.get_extension("correlationid") == one.originator_id
        assert event.get_extension("previous") == one.previous
        assert event.get_extension("payloaddigest") == one.payload_digest
        assert event.get_extension("shown") == "whole"
        if one.cause not in HOSTILE:
            assert (event.get_extension("causationid"), event.get_extension("actor")) == (one.cause, one.actor)
        assert len(event.get_attributes()) >= 19


def definition_of(first: RecordedEvent) -> str:
    payload = json.loads(first.payload)
    return str(payload.get("state", payload)["definition"])


def test_the_data_has_the_schema_that_is_named() -> None:
    checked = set()
    for event in read(written("cloudevents", beside(stories()))):
        schema = event.get_dataschema()
        assert schema is not None
        assert schema.startswith(SCHEMAS)
        name = schema.removeprefix(SCHEMAS)
        if name not in checked:
            checked.add(name)
            document = json.loads((CHECKED_IN / f"{name}.json").read_text(encoding="utf-8"))
            Draft202012Validator(document).validate(event.get_data())
    assert len(checked) >= 45


@pytest.mark.parametrize("rules", [("requested_by",), ("iban",)])
def test_what_is_withheld_has_no_data(rules: tuple[str, ...]) -> None:
    events = read(written("cloudevents", beside(stories()), rules=rules))
    shown = {"withheld": 0, "cut": 0, "whole": 0}
    for event in events:
        how = event.get_extension("shown")
        shown[how] += 1
        assert (event.get_data() is None) is (how == "withheld")
        assert (event.get_dataschema() is None) is (how == "withheld")
    assert shown["withheld"] > 0
    assert (shown["cut"] > 0) is (rules == ("iban",))


def test_the_payload_stands_there_byte_for_byte() -> None:
    made = list(hostile("wf_001"))
    lines = written("cloudevents", beside([made])).split(b"\n")[:-1]
    for line, one in zip(lines, made, strict=True):
        assert line.endswith(b'"data":%b}' % one.payload)
