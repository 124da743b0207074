"""What the forms of an export for other programs tell of a stored event: its header, and what is shown of its payload.

Whatever they tell is taken from here, so that what a rule withholds is in none of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple

from pydantic_core import from_json

from projections.exporting.jsonl import Damage, sound
from projections.exporting.reading import KEY_LOST, Exported
from projections.exporting.redaction import Redaction, Shown
from projections.exporting.rows import Row

How = Literal["whole", "cut", "withheld", "damaged"]
"""What is shown of a payload: all of it, without the values that were cut out, nothing by a rule, nothing since it does
not fit its digest."""

_WHOLE_NUMBERS: Final = range(-(2**31), 2**31)
_NOT_TEXT: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000))
    + "]"
)
_REPLACEMENT: Final = "\ufffd"


class Told(NamedTuple):
    """One event: `at` is in UTC, empty where its header does not say it; `said` is empty where nothing is shown."""

    row: Row
    at: str
    how: How
    payload: bytes | None
    said: dict[str, Any]

    @property
    def name(self) -> str:
        """The stored name, without the version of its shape."""
        return self.row.topic.partition("@")[0]

    def text(self, name: str) -> str:
        """A text of the payload; empty where there is none of that name."""
        found = self.said.get(name)
        return found if isinstance(found, str) else ""

    def number(self, name: str) -> int | None:
        """A whole number of the payload, if there is one of that name."""
        return whole_number(self.said.get(name))

    def header(self, name: str) -> str:
        """A text of the header; empty where there is none of that name."""
        found = self.row.fields.get(name)
        return found if isinstance(found, str) else ""

    @property
    def decision(self) -> int | None:
        """The version of the first event of the same decision, as the header says it."""
        return whole_number(self.row.fields.get("decision"))


class Teller:
    """Tells the events of one export, and counts."""

    def __init__(self, redaction: Redaction) -> None:
        """Nothing is told yet."""
        self._redaction = redaction
        self.workflows = 0
        self.events = 0
        self.cut = 0
        self.withheld = 0
        self.first_damage: Damage | None = None

    def events_of(self, exported: Exported) -> Iterator[Told]:
        """The events of one workflow, in order."""
        self.workflows += 1
        key = exported.key or b""
        if exported.key is None and self.first_damage is None:
            self.first_damage = Damage(exported.workflow_id, 1, KEY_LOST)
        for row in exported.rows:
            self.events += 1
            told = self._told(row, key)
            if told.how == "damaged" and self.first_damage is None:
                self.first_damage = Damage(row.workflow_id, row.version, "cannot be read, or was changed")
            yield told

    def _told(self, row: Row, key: bytes) -> Told:
        at = in_utc(row.fields.get("at"))
        if not sound(row, key):
            return Told(row, at, "damaged", None, {})
        try:
            shown = self._redaction.show(row.payload, row.key(key), row.version)
            said = from_json(shown.payload, allow_inf_nan=False) if shown.payload is not None else {}
        except (ValueError, RecursionError):
            # Its digest fits, and yet it is not what Handrail writes.
            return Told(row, at, "damaged", None, {})
        self.cut += shown.cut
        self.withheld += shown.payload is None
        return Told(row, at, _how(shown), shown.payload, said if isinstance(said, dict) else {})


def _how(shown: Shown) -> How:
    if shown.payload is None:
        return "withheld"
    return "cut" if shown.cut else "whole"


def in_utc(at: object) -> str:
    """An instant as ISO 8601 in UTC with a Z; empty for what is none."""
    if not isinstance(at, str):
        return ""
    try:
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is not UTC:
            if moment.tzinfo is None:
                return ""
            moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return ""
    return f"{moment.replace(tzinfo=None).isoformat()}Z"


def whole_number(found: object) -> int | None:
    """A whole number that every reader can hold: of 32 bits; truth values are none."""
    return found if type(found) is int and found in _WHOLE_NUMBERS else None


def reason_in(said: dict[str, Any]) -> str:
    """Why, where the payload says it: its reason, or the message of its failure."""
    if isinstance(reason := said.get("reason"), str) and reason:
        return reason
    failure = said.get("failure")
    message = failure.get("message") if isinstance(failure, dict) else None
    return message if isinstance(message, str) else ""


def clean(text: str) -> str:
    """A text without characters that control something or stand for nothing."""
    return text if text.isprintable() else _NOT_TEXT.sub(_REPLACEMENT, text)
