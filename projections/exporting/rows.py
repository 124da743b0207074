"""A stored event as a row of the log: its columns, and its parts where they can be told apart, however damaged."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic_core import from_json

from domain.chain import Key, link
from domain.recorded import WITHHELD, behind_digests

NO_NUMBER: Final = -(2**63)
"""Stands for the number of a row that has none, as SQLite lets it be: such rows are sorted before all others."""

_PARTS: Final = 3
_DIGESTS: Final = re.compile(rb"[0-9a-f]{64} [0-9a-f]{64}")


@dataclass(slots=True)
class Row:
    """One stored event: its columns, and its parts where they can be told apart (`header` is empty where not).

    `withheld`: its payload is not to be had any more, on purpose; `left` is what its store keeps instead. `salts` are
    those of an imported event's marked values, as canonical JSON; None where it has no such values, or the workflow's
    key is known.
    """

    workflow_id: str
    version: int
    topic: str
    state: bytes
    header: bytes = b""
    fields: Mapping[str, Any] = field(default_factory=dict)
    previous: str = ""
    payload_digest: str = ""
    payload: bytes = b""
    digest: str = ""
    withheld: bool = False
    left: Mapping[str, Any] = field(default_factory=dict)
    salts: bytes | None = None

    def key(self, of_workflow: bytes) -> Key:
        """What the salts of its marked values come of."""
        if self.salts is None:
            return of_workflow
        known: dict[str, str] = from_json(self.salts)
        return known


def parted(row: Row, *, imported: bool = False) -> Row:
    """Tell a row's header, digests and payload apart, where they can be."""
    parts = row.state.split(b"\n", 2)
    if imported and len(parts) == _PARTS:
        parts[1], behind = behind_digests(parts[1])
        row.salts = behind if behind and behind != WITHHELD else None
    if len(parts) != _PARTS or _DIGESTS.fullmatch(parts[1]) is None:
        return row
    try:
        fields = from_json(parts[0])
    except ValueError:
        return row
    if isinstance(fields, dict):
        row.header, row.fields, row.payload = parts[0], fields, b"" if row.withheld else parts[2]
        row.previous, row.payload_digest = parts[1].decode().split(" ")
        row.digest = link(row.header, row.previous, row.payload_digest)
    return row


def placed(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows in their order; one without a number behind which a number is missing gets that, or else the next."""
    loose: list[Row] = []
    last = 0
    for row in rows:
        if row.version == NO_NUMBER:
            loose.append(row)
            continue
        while loose and row.version > last + 1:
            last += 1
            yield replace(loose.pop(0), version=last)
        last = row.version
        yield row
    for place, row in enumerate(loose, last + 1):
        yield replace(row, version=place)


def bytes_of(state: Any) -> bytes:
    """A state's bytes: a damaged SQLite file may hold a text, or a number, in their place."""
    return bytes(state) if isinstance(state, bytes | bytearray | memoryview) else str(state).encode()
