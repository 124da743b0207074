"""The other way round: an export in JSON Lines as the rows that a store has of it, in constant memory.

Header, digests and payload are cut out of the lines as they are. The lines are those of a file that was found sound.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from domain.errors import InputInvalid
from domain.recorded import imported_state, stored_topic
from projections.exporting.jsonl import FIRST_LINE
from projections.exporting.verifying import EVENT_LINE, MANIFEST_LINE, SIGNATURE_LINE, WORKFLOW_LINE


class WorkflowBegun(NamedTuple):
    """The line before a workflow's events."""

    workflow_id: str


class EventEntered(NamedTuple):
    """One event, as the columns of its row."""

    workflow_id: str
    version: int
    topic: str
    state: bytes


@dataclass(slots=True)
class Entering:
    """One file, read once: `rows` are what is in it, and afterwards the rest is what stands at its end."""

    manifest: str = ""
    signature: str = ""
    content: str = ""
    """Digest of all lines before the manifest, as they were read."""
    workflows: int = 0
    events: int = 0
    withheld: int = 0
    incomplete: int = 0
    """How many workflows have payloads that are withheld."""
    _last_incomplete: str = ""

    def rows(self, lines: Iterable[bytes]) -> Iterator[WorkflowBegun | EventEntered]:
        """Workflows and their events, in the order of the file. Raises InputInvalid for any other line."""
        content = sha256()
        for number, line in enumerate(lines, start=1):
            if not self.manifest and (found := MANIFEST_LINE.fullmatch(line)) is None:
                content.update(line)
                if number > 1 or line != FIRST_LINE:
                    yield self._row(number, line)
            elif not self.manifest and found is not None:
                self.manifest, self.content = found[1].decode(), content.hexdigest()
            elif (signed := SIGNATURE_LINE.fullmatch(line)) is not None:
                self.signature = signed[1].decode()

    def _row(self, number: int, line: bytes) -> WorkflowBegun | EventEntered:
        if WORKFLOW_LINE.fullmatch(line) is not None:
            self.workflows += 1
            return WorkflowBegun(json.loads(line)["workflow"])
        event = EVENT_LINE.fullmatch(line)
        if event is None:
            raise InputInvalid(f"line {number} is no line of an export: `handrail verify` says more")
        header, previous, payload_digest, _, salts, _, payload = event.groups()
        fields = json.loads(header)
        self.events += 1
        if payload is None:
            self.withheld += 1
            self.incomplete += fields["workflow"] != self._last_incomplete
            self._last_incomplete = fields["workflow"]
        state = imported_state(header, previous.decode(), payload_digest.decode(), payload=payload, salts=salts)
        topic = stored_topic(fields["name"], fields["shape"])
        return EventEntered(fields["workflow"], fields["version"], topic, state)
