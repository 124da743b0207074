"""Which closed workflows may be archived: those that nobody will ask the store for any more.

A workflow may go when it ended before an instant, nothing of it is awaited, under way, held back or parked, and all who
follow the log are past its last event. A family goes as a whole: no child without its parent, no parent without its
children, however deep. The workflow with the newest event of the log stays, so that the log never seems to go back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from domain.builtin import is_hidden
from domain.chain import GENESIS
from domain.events import TERMINAL_EVENTS
from producers.relay import RELAY
from projections.exporting.jsonl import sound
from projections.exporting.reading import WORKFLOWS_A_PAGE, Clear, Exported, Histories, Query, Selection, Source
from projections.exporting.rows import Row
from projections.schema import POSITION
from projections.sql import text_of

MOST_RELATED: Final = 5_000
"""Members of the families of one page that are looked at; of larger families nobody goes."""

# Rows that say that a workflow is not done with, and how it is told.
_OBSTACLES: Final = (
    ("waits", "", "something of it is awaited still"),
    ("timers", " AND due_at IS NOT NULL", "a timer of it is to fall due"),
    ("approvals_pending", "", "an approval of it is being told"),
    ("relay_parked", "", "the relay holds back what it says"),
    ("parked_views", "", "the views cannot be folded over it"),
)
FAMILY: Final = "another workflow of its family stays"
NEWEST: Final = "it has the newest event of the log"
BEHIND: Final = "the relay or the views have not come past it"
HELD: Final = "messages for workflows of its definition are held"
DAMAGED: Final = "its record does not fit its digests"
_TERMINAL: Final = frozenset(kind.stored_name for kind in TERMINAL_EVENTS)
_ENDED_LATER: Final = ""
"""Of those that are not old enough, or open, nothing is said: they are not meant."""


class Closed(NamedTuple):
    """What the views say of a workflow."""

    workflow_id: str
    definition: str
    definition_version: str
    status: str
    started_at: str | None
    ended_at: str | None
    parent: str | None


_COLUMNS: Final = "workflow_id, definition, definition_version, status, started_at, ended_at, parent_workflow"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be archived: what ended before an instant, all of it or that of one definition."""

    before: datetime
    definition: str | None = None


class Ripe:
    """Tells which workflows may go; `kept` counts by the reason those that are old enough and may not."""

    def __init__(self, query: Query, wanted: Wanted) -> None:
        """Read how far everybody has come."""
        self._query = query
        self._wanted = wanted
        self._before = text_of(wanted.before) or ""
        rows = query("SELECT name, position FROM positions WHERE name IN (?, ?)", (RELAY, POSITION))
        positions: dict[str, int] = {name: int(position) for name, position in rows}
        self._passed = min(positions.get(RELAY, 0), positions.get(POSITION, 0))
        ((self._newest,),) = query("SELECT coalesce(max(id), 0) FROM stored_events", ())
        self._held = {name for (name,) in query("SELECT DISTINCT definition FROM messages_held", ())}
        self.kept: Counter[str] = Counter()

    def among(self, names: Sequence[str]) -> list[str]:
        """Those of a page of workflows that may go, in their order."""
        related = self._families(names)
        reasons = self._reasons(related)
        self._spread(related, reasons)
        self.kept.update(why for name in names if (why := reasons.get(name)))
        return [name for name in names if name in related and name not in reasons]

    def closed(self, names: Sequence[str]) -> dict[str, Closed]:
        """What the views say of these."""
        return self._rows("workflow_id", names)

    def _rows(self, column: str, names: Sequence[str]) -> dict[str, Closed]:
        found: dict[str, Closed] = {}
        for page, marks in _pages(names):
            rows = self._query(f"SELECT {_COLUMNS} FROM workflows WHERE {column} IN ({marks})", page)  # noqa: S608 - marks
            found.update((row[0], Closed(*row)) for row in rows)
        return found

    def _families(self, names: Sequence[str]) -> dict[str, Closed]:
        """The workflows with all their relatives; of families that are too large, as many as are looked at."""
        found = self.closed(names)
        new = found
        while new and len(found) <= MOST_RELATED:
            parents = {one.parent for one in new.values() if one.parent is not None} - found.keys()
            new = {**self.closed(sorted(parents)), **self._rows("parent_workflow", sorted(new))}
            new = {name: one for name, one in new.items() if name not in found}
            found = {**found, **new}
        return found

    def _reasons(self, related: dict[str, Closed]) -> dict[str, str]:
        """Why some of them may not go, each taken by itself."""
        reasons: dict[str, str] = {}
        for name, one in related.items():
            wanted = self._wanted.definition in {None, one.definition} and not is_hidden(one.definition)
            if not wanted or one.ended_at is None or one.ended_at >= self._before:
                reasons[name] = _ENDED_LATER
            elif f"{one.definition} {one.definition_version}" in self._held:
                reasons[name] = HELD
        old = [name for name in related if name not in reasons]
        for page, marks in _pages(old):
            for table, which, words in _OBSTACLES:
                rows = self._query(f"SELECT workflow_id FROM {table} WHERE workflow_id IN ({marks}){which}", page)  # noqa: S608
                reasons.update((name, words) for (name,) in rows)
            rows = self._query(
                "SELECT originator_id, max(id) FROM stored_events "  # noqa: S608 - marks
                f"WHERE originator_id IN ({marks}) GROUP BY originator_id",
                page,
            )
            last: dict[str, int] = {name: int(position) for name, position in rows}
            for name in page:
                if name in reasons:
                    continue
                if last.get(name, 0) == self._newest:
                    reasons[name] = NEWEST
                elif last.get(name, 0) > self._passed:
                    reasons[name] = BEHIND
        return reasons

    def _spread(self, related: dict[str, Closed], reasons: dict[str, str]) -> None:
        """Have nobody go whose relative stays."""
        kin: dict[str, list[str]] = {}
        for name, one in related.items():
            if one.parent in related:
                kin.setdefault(name, []).append(one.parent)
                kin.setdefault(one.parent, []).append(name)
        staying = list(reasons) if len(related) <= MOST_RELATED else [name for name in related if name in kin]
        for name in staying:
            reasons.setdefault(name, FAMILY)
        while staying:
            for name in kin.get(staying.pop(), ()):
                if name not in reasons:
                    reasons[name] = FAMILY
                    staying.append(name)


class Leaving(Histories):
    """The histories that an archive is to hold: those that may go, whole and undamaged, in the order they began."""

    def __init__(self, source: Source, clear: Clear, wanted: Wanted, ripe: Ripe) -> None:
        """`ripe` says which may go; `selection` is what the manifest says of them."""
        self.selection = Selection(definition=wanted.definition, ended_before=wanted.before)
        super().__init__(source, clear, self.selection)
        self._ripe = ripe

    def __iter__(self) -> Iterator[Exported]:
        """The workflows; those that are damaged stay where they are."""
        for exported in super().__iter__():
            rows = exported.rows if isinstance(exported.rows, list) else self._once_more(exported.workflow_id)
            if _is_whole(exported, rows):
                yield exported
            else:
                self._ripe.kept[DAMAGED] += 1

    def count(self) -> tuple[int, int]:
        """How many workflows may go, and how many events they have; nothing of them is read."""
        workflows = events = 0
        for page in self._pages():
            workflows += len(page)
            events += sum(count for _, count, _ in self._sizes(page).values()) if page else 0
        return workflows, events

    def _pages(self) -> Iterator[list[str]]:
        for page in self._all():
            yield self._ripe.among(page)

    def _without_first(self) -> list[str]:
        return []

    def _once_more(self, name: str) -> Iterator[Row]:
        """The events of a long workflow, which are read a piece at a time and once each time."""
        for exported in Histories(self._source, self._clear, Selection((name,), upto=self.position)):
            yield from exported.rows


def _is_whole(exported: Exported, rows: Iterable[Row]) -> bool:
    """Whether every event is there and fits its digest and its place, and one of them is an end."""
    if exported.key is None:
        return False
    previous, number, ended = GENESIS, 0, False
    for row in rows:
        number += 1
        if row.version != number or row.previous != previous or not sound(row, exported.key):
            return False
        previous = row.digest
        ended = ended or row.fields.get("name") in _TERMINAL
    return ended and (number, previous) == (exported.last, exported.head)


def _pages(names: Sequence[str]) -> Iterator[tuple[list[str], str]]:
    for start in range(0, len(names), WORKFLOWS_A_PAGE):
        page = list(names[start : start + WORKFLOWS_A_PAGE])
        yield page, ", ".join("?" * len(page))
