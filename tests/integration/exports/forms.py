"""What the forms for other programs make of a store, or of histories that are in none; and the schemas of each."""

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import xmlschema
from google.protobuf.json_format import ParseDict
from jsonschema import Draft202012Validator
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from deploy.traces.past import PastTraces, salt_to_read
from domain.recorded import RecordedEvent, to_state
from domain.store.application import WorkflowStore
from domain.tracing import span_of, trace_of
from projections.exporting.cloudevents import CloudEvents
from projections.exporting.ocel import Ocel
from projections.exporting.reading import Exported, Histories, Selection
from projections.exporting.redaction import Redaction
from projections.exporting.rows import Row, parted
from projections.exporting.telling import Teller
from projections.exporting.xes import Xes
from tests.integration.exports.stock import key_of

FORMS: Final = ("cloudevents", "ocel", "xes", "otlp")
SCHEMAS: Final = Path(__file__).parents[3] / "deploy" / "schemas" / "exports"
SALT: Final = "pepper"


def written(form: str, source: WorkflowStore | Iterable[Exported], *, rules: Sequence[str] = ()) -> bytes:
    """An export of all of a store, or of these workflows."""
    return told(form, source, Teller(Redaction(rules)))


def told(
    form: str, source: WorkflowStore | Iterable[Exported], teller: Teller, selection: Selection | None = None
) -> bytes:
    """The same by a teller, which has counted then."""
    salt = salt_to_read(source) if isinstance(source, WorkflowStore) else SALT
    makers: dict[str, Callable[[Teller], Any]] = {
        "cloudevents": CloudEvents,
        "ocel": Ocel,
        "xes": Xes,
        "otlp": lambda teller: PastTraces(teller, salt),
    }
    if isinstance(source, WorkflowStore):
        source = Histories(source, source.mapper.clear, selection or Selection())
    return b"".join(makers[form](teller).lines(source))


def beside(made: Iterable[Sequence[RecordedEvent]]) -> list[Exported]:
    """Histories as an export reads them, without a store."""
    found: list[Exported] = []
    for events in made:
        rows = [parted(Row(one.originator_id, one.originator_version, one.name, to_state(one))) for one in events]
        name = events[0].originator_id
        found.append(Exported(name, len(rows), events[-1].digest, key_of(name), rows))
    return found


# --- schemas --------------------------------------------------------------------------------------------------------


@cache
def validator(form: str) -> Draft202012Validator:
    schema = json.loads((SCHEMAS / f"{form}.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@cache
def xml_schema() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(str(SCHEMAS / "xes.xsd"))


def lines_in(content: bytes) -> list[dict[str, Any]]:
    """The documents of a file that has one in each line; none of them twice by a line end within."""
    assert content == b"" or content.endswith(b"\n")
    return [json.loads(line) for line in content.split(b"\n")[:-1]]


def check(form: str, content: bytes) -> None:
    """Hold an export against its schema, and against what no schema can say."""
    if form == "xes":
        xml_schema().validate(content.decode())
        return
    documents = lines_in(content) if form != "ocel" else [json.loads(content)]
    for document in documents:
        problem = next(validator(form).iter_errors(document), None)
        assert problem is None, (problem.json_path, problem.message)
    if form == "ocel":
        _fits_together(documents[0])
    elif form == "otlp":
        for document in documents:
            _is_one_trace(document)
    else:
        assert len({one["id"] for one in documents}) == len(documents)


def _fits_together(document: dict[str, Any]) -> None:
    """In OCEL what is used is declared, has the declared type, and is there once."""
    objects = {one["id"]: one for one in document["objects"]}
    assert len(objects) == len(document["objects"])
    assert len({one["id"] for one in document["events"]}) == len(document["events"])
    for things, types in (("events", "eventTypes"), ("objects", "objectTypes")):
        declared = {
            one["name"]: {attribute["name"]: attribute["type"] for attribute in one["attributes"]}
            for one in document[types]
        }
        assert len(declared) == len(document[types])
        assert all(len(declared[one["name"]]) == len(one["attributes"]) for one in document[types])
        for one in document[things]:
            values = [(attribute["name"], attribute["value"]) for attribute in one["attributes"]]
            assert len(dict(values)) == len(values)
            for name, value in values:
                assert _OF_TYPE[declared[one["type"]][name]](value), (one["id"], name, value)
            related = [other["objectId"] for other in one["relationships"]]
            assert len(set(related)) == len(related)
            assert set(related) <= objects.keys()


_OF_TYPE: Final[dict[str, Callable[[Any], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: type(value) is int,
    "float": lambda value: type(value) in (int, float),
    "boolean": lambda value: type(value) is bool,
    "time": lambda value: datetime.fromisoformat(value).tzinfo is not None,
}


def spans_in(document: dict[str, Any]) -> list[dict[str, Any]]:
    (resource,) = document["resourceSpans"]
    (scope,) = resource["scopeSpans"]
    found: list[dict[str, Any]] = scope["spans"]
    return found


def attributes_of(span: dict[str, Any]) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values())) for one in span["attributes"]}


def as_protobuf(document: dict[str, Any]) -> ExportTraceServiceRequest:
    """The request as a collector understands it: ids from hex, the rest as JSON of Protocol Buffers."""
    whole = re.sub(
        r'"(traceId|spanId|parentSpanId)": "([0-9a-f]+)"',
        lambda found: f'"{found[1]}": "{_base64(found[2])}"',
        json.dumps(document),
    )
    return ParseDict(json.loads(whole), ExportTraceServiceRequest())


def _base64(digits: str) -> str:
    return b64encode(bytes.fromhex(digits)).decode()


def _is_one_trace(document: dict[str, Any]) -> None:
    """The spans of a line are of one workflow, none twice, over when they end, with names that are there once."""
    request = as_protobuf(document)
    spans = list(request.resource_spans[0].scope_spans[0].spans)
    assert len({span.trace_id for span in spans}) == 1
    assert len({span.span_id for span in spans}) == len(spans)
    for span in spans:
        assert (len(span.trace_id), len(span.span_id)) == (16, 8)
        assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano
        assert len({one.key for one in span.attributes}) == len(span.attributes)


def derived(workflow_id: str, salt: str = SALT) -> tuple[str, str]:
    """Trace id and span id of a workflow, as live traces derive them."""
    return f"{trace_of(salt, workflow_id):032x}", f"{span_of(salt, 'begun', workflow_id):016x}"
