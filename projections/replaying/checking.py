"""Every stored history against the code at hand: a check for CI, in constant memory.

The log is read as it was at the position where the check began, in short views: others write meanwhile. Histories are
read many at a time and decided as they are read; of one that comes out as it is recorded, nothing is kept. One that
does not is read once more, and looked at as `handrail replay ID` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from pydantic_core import from_json

from domain.builtin import is_hidden
from domain.chain import GENESIS, payload_digest
from domain.errors import EventCorrupt, EventUnknown
from domain.ports import Cursor, Definitions
from domain.recorded import RecordedEvent, redactable_of
from domain.replay import DecidingAgain
from projections.replaying.reading import Decode, History, read_history
from projections.replaying.report import foldable
from projections.replaying.verdict import UNDECIDABLE, Verdict, Word, definition_of, verdict_on

WORKFLOWS_A_PAGE: Final = 250
EVENTS_A_READ: Final = 2_000
"""So many events are read at once, or those of one workflow, or a piece of a long one."""

View = Callable[[], AbstractContextManager[Cursor]]
"""Opens a consistent view of the store: its `reading`."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of one workflow. `verdict` is None where its record is damaged before anything could be decided."""

    workflow: str
    definition: str
    definition_version: str
    events: int
    word: str
    version: int | None = None
    event: str = ""
    words: str = ""
    verdict: Verdict | None = None

    @property
    def differs(self) -> bool:
        """Whether it is not as the code at hand decides it, and that is somebody's fault."""
        return self.word in _DIFFERING


DAMAGED: Final = "damaged"
_DIFFERING: Final = frozenset({DAMAGED, Word.DIFFERS.value, Word.UNDECIDABLE.value})


class CheckingAll:
    """The check of a whole store; `position` is the newest event that it looks at."""

    def __init__(self, view: View, decode: Decode, definitions: Definitions) -> None:
        """Begin at what the log has now."""
        self._view = view
        self._decode = decode
        self._definitions = definitions
        with view() as cursor:
            ((self.position,),) = cursor.query("SELECT coalesce(max(id), 0) FROM stored_events")

    def run(self, wanted: Callable[[str], bool], since: datetime | None = None) -> Iterator[Checked]:
        """Check the workflows whose definition's name is wanted, those with events since then, by their ids."""
        first = 0 if since is None else self._first_since(since)
        after = ""
        while True:
            with self._view() as cursor:
                keys = cursor.query(
                    "SELECT workflow_id, key FROM workflow_keys WHERE workflow_id > ? ORDER BY workflow_id LIMIT ?",
                    (after, WORKFLOWS_A_PAGE),
                )
                sizes = self._sizes(cursor, [name for name, _ in keys], first)
            yield from self._page([(name, key) for name, key in keys if name in sizes], sizes, wanted)
            if len(keys) < WORKFLOWS_A_PAGE:
                return
            after = keys[-1][0]

    def _sizes(self, cursor: Cursor, names: Sequence[str], first: int) -> dict[str, int]:
        """How many events each workflow has; those are left out that have none at or behind the position `first`.

        One whose events are all gone has 0: its key was written with the first of them.
        """
        if not names:
            return {}
        rows = cursor.query(
            "SELECT originator_id, max(originator_version), max(id), min(id) FROM stored_events "  # noqa: S608 - marks
            f"WHERE originator_id IN ({', '.join('?' * len(names))}) GROUP BY originator_id",
            names,
        )
        found = {name: (size, newest, oldest) for name, size, newest, oldest in rows}
        sizes = {
            name: size for name, (size, newest, oldest) in found.items() if newest >= first and oldest <= self.position
        }
        return sizes if first else {**sizes, **{name: 0 for name in names if name not in found}}

    def _first_since(self, since: datetime) -> int:
        """The first position whose event was recorded at an instant or later: instants rise with positions, nearly."""
        low, high = 1, self.position + 1
        with self._view() as cursor:
            while low < high:
                middle = (low + high) // 2
                rows = cursor.query("SELECT id, state FROM stored_events WHERE id >= ? ORDER BY id LIMIT 1", (middle,))
                if not rows or recorded_at(rows[0][1]) >= since:
                    high = middle
                else:
                    low = rows[0][0] + 1
        return low

    # --- a page of workflows ----------------------------------------------------------------------------------------

    def _page(
        self, keys: Sequence[tuple[str, str]], sizes: Mapping[str, int], wanted: Callable[[str], bool]
    ) -> Iterator[Checked]:
        batch: list[tuple[str, str]] = []
        events = 0
        for name, key in keys:
            if batch and events + sizes[name] > EVENTS_A_READ:
                yield from self._batch(batch, wanted)
                batch, events = [], 0
            batch.append((name, key))
            events += sizes[name]
        if batch:
            yield from self._batch(batch, wanted)

    def _batch(self, keys: Sequence[tuple[str, str]], wanted: Callable[[str], bool]) -> Iterator[Checked]:
        checks = {name: _Check(name, bytes.fromhex(key), self._decode, self._definitions, wanted) for name, key in keys}
        for name, version, topic, state in self._rows(list(checks)):
            check = checks[name]
            if not check.over:
                check.take(version, topic, state)
        for check in checks.values():
            checked = check.end()
            if checked is None:
                continue
            yield checked if checked.word == Word.AGREES.value else self._looked_at(checked)

    def _rows(self, names: Sequence[str]) -> Iterator[tuple[str, int, str, bytes]]:
        """Their events in order, however many one of them has."""
        after = ("", 0)
        marks = ", ".join("?" * len(names))
        while True:
            with self._view() as cursor:
                rows = cursor.query(
                    "SELECT originator_id, originator_version, topic, state FROM stored_events "  # noqa: S608 - marks
                    f"WHERE originator_id IN ({marks}) AND (originator_id, originator_version) > (?, ?) AND id <= ? "
                    "ORDER BY originator_id, originator_version LIMIT ?",
                    (*names, *after, self.position, EVENTS_A_READ),
                )
            for name, version, topic, state in rows:
                yield name, version, topic, bytes(state)
            if len(rows) < EVENTS_A_READ:
                return
            after = (rows[-1][0], rows[-1][1])

    def _looked_at(self, checked: Checked) -> Checked:
        """Read a history once more, and say what is wrong with it."""
        with self._view() as cursor:
            history = read_history(cursor, self._decode, checked.workflow, upto=self.position)
        if history is None:
            return checked
        return looked_at(history, self._definitions, checked)


def looked_at(history: History, definitions: Definitions, checked: Checked) -> Checked:
    """What is wrong with a history: damage first, then how it is decided otherwise."""
    events, _ = foldable(history.sound)
    verdict = verdict_on(events, definitions, whole=len(events) == len(history.entries)) if events else None
    damages = [(one.version, one.name, one.why) for one in history.unreadable]
    if history.broken is not None:
        damages.append((history.broken.version, "", history.broken.words))
    if not history.entries:
        damages.append((1, "", "all of its events are missing"))
    parts = (checked.workflow, checked.definition, checked.definition_version, len(history.entries))
    if damages:
        version, name, words = min(damages)
        if verdict is None or verdict.version is None or version <= verdict.version:
            return Checked(*parts, DAMAGED, version, name, words, verdict)
    if verdict is None:
        return checked
    return Checked(*parts, verdict.word.value, verdict.version, verdict.event, verdict.words, verdict)


def recorded_at(state: Any) -> datetime:
    """When the event of a row was recorded; raises EventCorrupt."""
    try:
        return datetime.fromisoformat(from_json(bytes(state).split(b"\n", 1)[0])["at"])
    except (ValueError, KeyError, TypeError) as error:
        raise EventCorrupt(
            f"the header of an event cannot be read: {error}; restore the store from a backup"
        ) from error


class _Check:
    """One history, decided as it is read. It only finds out whether all is as it must be."""

    def __init__(
        self, name: str, key: bytes, decode: Decode, definitions: Definitions, wanted: Callable[[str], bool]
    ) -> None:
        self.over = False
        self._name = name
        self._key = key
        self._decode = decode
        self._definitions = definitions
        self._wanted = wanted
        self._again = DecidingAgain(name, definitions)
        self._decision: list[RecordedEvent] = []
        self._previous = GENESIS
        self._events = 0
        self._definition = ("", "")
        self._left_out = False
        self._fits = True

    def take(self, version: int, topic: str, state: bytes) -> None:
        """The next event."""
        try:
            recorded = self._decode(self._name, version, topic, state)
        except (EventCorrupt, EventUnknown):
            self._stop()
            return
        if version == 1:
            self._definition = definition_of(recorded.event)
            if is_hidden(self._definition[0]) or not self._wanted(self._definition[0]):
                self._left_out = self.over = True
                return
        self._events += 1
        if version != self._events or recorded.previous != self._previous or not _digest_fits(recorded, self._key):
            self._stop()
            return
        self._previous = recorded.digest
        if self._decision and recorded.decision != self._decision[0].decision:
            self._decide()
        self._decision.append(recorded)

    def end(self) -> Checked | None:
        """What became of it; None where it was not asked for."""
        if self._left_out:
            return None
        if not self.over and self._decision:
            self._decide()
        fits = self._fits and self._events > 0
        word = Word.AGREES.value if fits else Word.UNDECIDABLE.value
        return Checked(self._name, *self._definition, self._events, word)

    def _decide(self) -> None:
        try:
            if self._again.decide(self._decision) is not None:
                self._stop()
        except UNDECIDABLE:
            self._stop()
        self._decision = []

    def _stop(self) -> None:
        self._fits, self.over = False, True


def _digest_fits(recorded: RecordedEvent, key: bytes) -> bool:
    redactable = redactable_of(recorded.event)
    if not redactable:
        return sha256(recorded.payload).hexdigest() == recorded.payload_digest
    digest = payload_digest(recorded.payload, redactable=redactable, key=key, version=recorded.originator_version)
    return digest == recorded.payload_digest
