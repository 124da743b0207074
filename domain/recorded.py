"""A fact with its header: what the `eventsourcing` library stores as a domain event of one workflow.

Made once, when it is decided: the payload is encoded there and then, and the chain is over those very bytes. The header
stays clear beside the payload, whatever is done to the payload later.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from typing import Any, Final

from pydantic_core import from_json

from domain.chain import GENESIS, Key, link, payload_digest
from domain.errors import EventCorrupt
from domain.events import STORED, Event, PlanProposed, PolicyEvaluated
from domain.upcasting import decode

ENGINE: Final = "1"
"""Version of the engine's decisions: raised when a node decides otherwise than it did for the same history."""

_SEPARATOR: Final = b"\n"

_encode_text: Final = json.encoder.encode_basestring
"""A text as JSON, everything beyond ASCII as it is."""


@dataclass(slots=True)
class RecordedEvent:
    """One event of one workflow; never changed once made (not `frozen`: that would double its cost on the hot path).

    `previous` and `digest` are hex SHA-256; `payload` is the event's JSON as stored.

    `decision` is the version of the first event of the decision that made it. `header` holds the header's bytes.
    """

    originator_id: str
    originator_version: int
    event: Event
    timestamp: datetime
    cause: str
    actor: str
    engine: str
    decision: int
    previous: str
    digest: str
    payload_digest: str
    header: bytes
    payload: bytes
    salts: Mapping[str, str] | None = None
    """Of an imported event with marked values: the salts of those that are shown, since its workflow's key is not."""

    def key(self, of_workflow: bytes) -> Key:
        """What the salts of its marked values come of."""
        return of_workflow if self.salts is None else self.salts

    @property
    def name(self) -> str:
        """The stored name, with the version where it is not the first."""
        return _words_of(type(self.event))[0]


def stored_topic(name: str, version: int) -> str:
    """Name and version as they stand in the store's topic column: `StepScheduled`, `StepScheduled@2`."""
    return name if version == 1 else f"{name}@{version}"


def parse_topic(topic: str) -> tuple[str, int]:
    """Take a topic apart into name and version; raises EventCorrupt."""
    name, _, version = topic.partition("@")
    if version and not version.isdigit():
        raise EventCorrupt(f"topic {topic[:80]!r} is not NAME or NAME@VERSION")
    return name, int(version or 1)


@cache
def _words_of(kind: type[Event]) -> tuple[str, str]:
    """How a kind of event is called in the store's topic column, and in its headers."""
    topic = stored_topic(kind.stored_name, kind.stored_version)
    return topic, f'"name":"{kind.stored_name}","shape":{kind.stored_version}'


@dataclass(slots=True)
class Stamp:
    """What the headers of one decision's events share, encoded once. Made by `stamp`; never changed."""

    workflow_id: str
    timestamp: datetime
    cause: str
    actor: str
    decision: int
    begin: str
    end: str


def _instant(moment: datetime) -> str:
    """An instant as ISO 8601; in UTC, the same text in half the time."""
    return f"{moment.replace(tzinfo=None).isoformat()}+00:00" if moment.tzinfo is UTC else moment.isoformat()


def stamp(workflow_id: str, timestamp: datetime, cause: str, actor: str, decision: int) -> Stamp:
    """What all events of the decision that begins with version `decision` say in their headers."""
    return Stamp(
        workflow_id,
        timestamp,
        cause,
        actor,
        decision,
        f'{{"workflow":"{workflow_id}","version":',
        f'"at":"{_instant(timestamp)}","cause":{_encode_text(cause)},"actor":{_encode_text(actor)},'
        f'"engine":"{ENGINE}","decision":{decision}}}',
    )


def record(event: Event, stamped: Stamp, version: int, previous: str, key: bytes = b"") -> RecordedEvent:
    """Encode a fact and link it to the event before it."""
    kind = type(event)
    if kind in _SHARED:
        payload, body_digest = _encoded_shared(event)
    else:
        payload = kind.__pydantic_serializer__.to_json(event, exclude_none=True)
        redactable = redactable_of(event)
        if redactable:
            body_digest = payload_digest(payload, redactable=redactable, key=key, version=version)
        else:
            body_digest = sha256(payload).hexdigest()
    header = f"{stamped.begin}{version},{_words_of(kind)[1]},{stamped.end}".encode()
    return RecordedEvent(
        stamped.workflow_id,
        version,
        event,
        stamped.timestamp,
        stamped.cause,
        stamped.actor,
        ENGINE,
        stamped.decision,
        previous,
        link(header, previous, body_digest),
        body_digest,
        header,
        payload,
    )


_SHARED: Final[frozenset[type[Event]]] = frozenset({PlanProposed, PolicyEvaluated})
"""Kinds of which one object often stands in many workflows: what a definition alone decides."""
_SHARED_HELD: Final = 4_096
_shared: Final[dict[int, tuple[Event, bytes, str]]] = {}


def _encoded_shared(event: Event) -> tuple[bytes, str]:
    """Payload and payload digest of an event that may be the very object that was encoded before."""
    known = _shared.get(id(event))
    if known is not None:
        return known[1], known[2]
    payload = type(event).__pydantic_serializer__.to_json(event, exclude_none=True)
    body_digest = sha256(payload).hexdigest()
    if len(_shared) >= _SHARED_HELD:
        _shared.clear()
    # The event is held, so that no other object can come by its id.
    _shared[id(event)] = event, payload, body_digest
    return payload, body_digest


_WITH_REDACTABLE: Final = frozenset(kind for kind in STORED.values() if "redactable" in kind.model_fields)


def redactable_of(event: Event) -> tuple[str, ...]:
    """JSON pointers, within the payload, of the values that may be cut out of it."""
    return event.redactable if type(event) in _WITH_REDACTABLE else ()  # type: ignore[attr-defined]  # these have it


def to_state(recorded: RecordedEvent) -> bytes:
    """The bytes of the store's state column: header, digests, payload, each on a line of its own."""
    digests = f"{recorded.previous} {recorded.payload_digest}".encode()
    return _SEPARATOR.join((recorded.header, digests, recorded.payload))


WITHHELD: Final = b"withheld"
"""Stands behind the digests of an imported event whose payload was left out of the export."""
_DIGESTS_LENGTH: Final = 129
_YEARS: Final = range(1_000, 9_000)


def imported_state(
    header: bytes, previous: str, body_digest: str, *, payload: bytes | None, salts: bytes | None
) -> bytes:
    """The state column of an event that was imported.

    Behind the digests stands, where there is something to say: that the payload is withheld, or the salts (canonical
    JSON) of its marked values that are shown.
    """
    digests = f"{previous} {body_digest}".encode()
    behind = WITHHELD if payload is None else salts
    return _SEPARATOR.join((header, digests if behind is None else b"%b %b" % (digests, behind), payload or b""))


def behind_digests(digests: bytes) -> tuple[bytes, bytes]:
    """The second line of an imported event's state: its two digests, and what stands behind them."""
    return digests[:_DIGESTS_LENGTH], digests[_DIGESTS_LENGTH + 1 :]


def left_out(state: bytes) -> bool:
    """Whether the payload of an imported event was left out of the export."""
    digests = bytes(state).partition(_SEPARATOR)[2].partition(_SEPARATOR)[0]
    return behind_digests(digests)[1] == WITHHELD


def from_state(workflow_id: str, version: int, topic: str, state: bytes, *, imported: bool = False) -> RecordedEvent:
    """Read a stored event back; raises EventCorrupt or EventUnknown, naming the event.

    The chain is recomputed by who reads a whole stream (`verify`); here the header is held against its row. Only in a
    store that was `imported` may salts stand behind the digests.
    """
    place = f"workflow {workflow_id} event {version}"
    try:
        header, digests, payload = bytes(state).split(_SEPARATOR, 2)
        fields = from_json(header)
        salts = None
        if imported:
            digests, behind = behind_digests(digests)
            salts = from_json(behind) if behind else None
        previous, body_digest = digests.decode("ascii").split(" ")
        timestamp = instant_in(fields)
        name, shape = parse_topic(topic)
        if (fields["workflow"], fields["version"], fields["name"], fields["shape"]) != (
            workflow_id,
            version,
            name,
            shape,
        ):
            raise EventCorrupt(f"{place}: its header belongs to another event; restore the store from a backup")
        _check_kinds(fields)
        return RecordedEvent(
            workflow_id,
            version,
            decode(name, shape, payload, place),
            timestamp,
            fields["cause"],
            fields["actor"],
            fields["engine"],
            fields["decision"],
            previous,
            link(header, previous, body_digest),
            body_digest,
            header,
            payload,
            salts,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise EventCorrupt(f"{place} ({topic}) cannot be read: {error}; restore the store from a backup") from error


def instant_in(fields: Mapping[str, Any]) -> datetime:
    """When an event was recorded, as its header says. Raises ValueError, KeyError or TypeError.

    An import may hold what somebody made up: an instant without a zone compares with none, and one near the ends of
    the calendar leads out of it as soon as anything is added.
    """
    at = datetime.fromisoformat(fields["at"])
    if at.tzinfo is None or at.year not in _YEARS:
        raise ValueError(f"it was recorded at no instant that is counted with, {fields['at'][:40]!r}")
    return at


def _check_kinds(fields: Mapping[str, Any]) -> None:
    """Raise ValueError or KeyError for a header with members of other kinds, which no column holds."""
    decision = fields["decision"]
    if type(decision) is not int or not 0 <= decision <= fields["version"]:
        raise ValueError("its decision began with no event up to it")
    if not all(isinstance(fields[name], str) for name in ("cause", "actor", "engine")):
        raise ValueError("cause, actor or engine is no text")


def verify(events: list[RecordedEvent], *, head: str | None = None, key: bytes = b"") -> None:
    """Hold a workflow's whole stream against its chain; raises EventCorrupt, naming the first that does not fit."""
    previous = GENESIS
    for number, recorded in enumerate(events, start=1):
        place = f"workflow {recorded.originator_id} event {recorded.originator_version}"
        if recorded.originator_version != number:
            raise EventCorrupt(f"{place}: event {number} is missing")
        if recorded.previous != previous:
            raise EventCorrupt(f"{place}: does not follow the event before it; one of the two was changed")
        redactable = redactable_of(recorded.event)
        salted = recorded.key(key)
        found = payload_digest(recorded.payload, redactable=redactable, key=salted, version=number)
        if found != recorded.payload_digest:
            raise EventCorrupt(f"{place}: its payload was changed")
        previous = link(recorded.header, recorded.previous, recorded.payload_digest)
    if head is not None and head != previous:
        last = events[-1].originator_version if events else 0
        raise EventCorrupt(f"the chain ends at event {last} with another digest than the head that was kept")


def as_utc(moment: datetime) -> datetime:
    """The same instant in UTC; a naive one is refused by datetime itself."""
    return moment.astimezone(UTC)
