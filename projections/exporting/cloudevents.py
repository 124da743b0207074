"""An export as CloudEvents 1.0: a line for each event, each line one event in the JSON format of CloudEvents.

Lines, not one array: they can be read, cut and joined without holding the file. deploy/docs/exports.md says the
attributes; deploy/schemas/exports/cloudevents.json is their schema. The payload stands in its line byte for byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote

from domain.events import STORED
from domain.recorded import stored_topic
from projections.exporting.reading import Exported, definition_in
from projections.exporting.telling import Teller, Told, clean

SOURCE: Final = "/handrail"
SCHEMAS: Final = "urn:handrail:schema:"
"""What comes before the name of a schema as `handrail schema` writes it: `StepScheduled.v1`."""
SEQUENCE_DIGITS: Final = 10

_SCHEMAS: Final = {stored_topic(name, shape): f"{SCHEMAS}{name}.v{shape}" for name, shape in STORED}


class CloudEvents:
    """One export as CloudEvents."""

    def __init__(self, teller: Teller) -> None:
        """Nothing is written yet."""
        self._teller = teller

    def lines(self, histories: Iterable[Exported]) -> Iterator[bytes]:
        """The lines of the file."""
        for exported in histories:
            source = SOURCE
            for number, told in enumerate(self._teller.events_of(exported)):
                if number == 0 and (definition := definition_in(told.row)[0]):
                    source = f"{SOURCE}/{quote(definition, safe='')}"
                yield _line(told, source)


def _line(told: Told, source: str) -> bytes:
    row = told.row
    shape = row.topic.partition("@")[2] or "1"
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        # Two events that were lost and made again after a restore have one version, and two digests.
        "id": row.digest or f"{clean(row.workflow_id)}/{row.version}",
        "source": source,
        "type": f"handrail.{clean(told.name)}.v{clean(shape)}",
        "subject": clean(row.workflow_id),
    }
    if told.at:
        attributes["time"] = told.at
    attributes["correlationid"] = clean(row.workflow_id)
    attributes["sequence"] = f"{row.version:0{SEQUENCE_DIGITS}}"
    attributes["version"] = row.version
    for extension, text in (
        ("causationid", told.header("cause")),
        ("actor", told.header("actor")),
        ("engine", told.header("engine")),
        ("digest", row.digest),
        ("previous", row.previous),
        ("payloaddigest", row.payload_digest),
    ):
        if text:
            attributes[extension] = clean(text)
    if told.decision is not None:
        attributes["decision"] = told.decision
    attributes["shown"] = told.how
    if told.payload is None:
        return f"{_json(attributes)}\n".encode()
    attributes["datacontenttype"] = "application/json"
    if row.topic in _SCHEMAS:
        attributes["dataschema"] = _SCHEMAS[row.topic]
    return b'%b,"data":%b}\n' % (_json(attributes)[:-1].encode(), _on_one_line(told.payload))


def _json(attributes: dict[str, Any]) -> str:
    return json.dumps(attributes, ensure_ascii=False, separators=(",", ":"))


def _on_one_line(payload: bytes) -> bytes:
    """The payload as it is; line ends in it, which can stand between values alone, are spaces."""
    return payload.replace(b"\n", b" ").replace(b"\r", b" ")
