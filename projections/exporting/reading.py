"""The histories that an export is about, whole workflows in the order in which they began, in constant memory.

The log is read as it was at one position, in short queries: others write meanwhile, and what is up to that position
does not change, but that workflows are archived. One goes whole, with its tombstone in its place: of whom nothing is
found any more, the tombstones are asked before that is called damage. What is stored is handed on as it is, damaged
events included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import merge
from operator import itemgetter
from typing import Any, Final, NamedTuple, Protocol

from pydantic_core import from_json

from domain.builtin import is_hidden
from domain.errors import EventCorrupt, InputInvalid, PayloadWithheld
from domain.ports import Queries
from domain.store.imported import IMPORTED_FACT, imported_of
from domain.store.recorder import key_of
from domain.store.tombstones import Tombstone, lacking, tombstones_between, tombstones_of
from projections.exporting.rows import NO_NUMBER, Row, bytes_of, parted, placed

WORKFLOWS_A_PAGE: Final = 250
EVENTS_A_READ: Final = 2_000
BYTES_A_READ: Final = 8 * 1024 * 1024
MOST_IDS: Final = 10_000
"""So many workflows may be named, and so many that lost their first event are looked for."""
KEY_LOST: Final = "cannot be held against its digest, nor can all behind it: the workflow's key is damaged"

Query = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]
"""The rows of one SELECT, as the store's `query` gives them."""


class Source(Protocol):
    """A store as it is read here: single SELECTs, and several in one consistent view."""

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one SELECT."""
        ...

    def reading(self) -> AbstractContextManager[Queries]:
        """A consistent view."""
        ...


Clear = Callable[[str, int, bytes], bytes]
"""Takes the cover from a stored event, as the store's mapper's `clear` does; raises PayloadWithheld where it cannot be
taken off any more."""


class Selection(NamedTuple):
    """Which workflows: those named, or else all, of one definition, with an event since an instant.

    `upto` is the position of the last event that counts; None is the newest there is. `ended_before` is said by an
    archive, which chooses of those that ended before an instant.
    """

    workflow_ids: tuple[str, ...] = ()
    definition: str | None = None
    since: datetime | None = None
    upto: int | None = None
    ended_before: datetime | None = None

    def document(self) -> dict[str, Any]:
        """As the manifest says it: what was asked for.

        `upto` is not said: the same range gives the same bytes, whether it ended there or is looked at again.
        """
        said: dict[str, Any] = {}
        if self.workflow_ids:
            said["workflows"] = sorted(set(self.workflow_ids))
        if self.definition is not None:
            said["definition"] = self.definition
        if self.since is not None:
            said["since"] = self.since.astimezone(UTC).isoformat()
        if self.ended_before is not None:
            said["ended_before"] = self.ended_before.astimezone(UTC).isoformat()
        if not said:
            said["all"] = True
        return said


@dataclass(frozen=True, slots=True)
class Exported:
    """One workflow: the version and the digest of its last event, its rows to be read once, in order.

    `key` is None where what the store has in its place is none.
    """

    workflow_id: str
    last: int
    head: str
    key: bytes | None
    rows: Iterable[Row]


class _Size(NamedTuple):
    """Of one workflow the number of its last event, which in a damaged SQLite file may be none; how many, how large."""

    newest: int | None
    events: int
    bytes: int

    @property
    def last(self) -> int:
        """The version of the last event; where its number is none, as its place says."""
        return self.events if self.newest is None else self.newest


_NOTHING: Final = _Size(0, 0, 0)


class Histories:
    """What a selection selects; `position` is that of the newest event that counts."""

    def __init__(
        self,
        source: Source,
        clear: Clear,
        selection: Selection,
        *,
        lenient: bool = False,
        but: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Raises InputInvalid for a position that the log does not have, or for too many ids.

        `lenient` passes over workflows that were named and are not there; `but` says which are not to be read.
        """
        self._but = but
        self._lenient = lenient
        self._source = source
        self._query = query = source.query
        self._clear = clear
        self._selection = selection
        ((newest,),) = query("SELECT coalesce(max(id), 0) FROM stored_events", ())
        if selection.upto is not None and not 0 <= selection.upto <= newest:
            raise InputInvalid(f"--upto {selection.upto}: the log has positions up to {newest}")
        if len(selection.workflow_ids) > MOST_IDS:
            raise InputInvalid(f"at most {MOST_IDS:,} workflows are named: export --all, or a definition")
        self.position: int = newest if selection.upto is None else selection.upto
        self.imported = imported_of(query(IMPORTED_FACT, ()))
        """What the store was imported from, where it was."""

    def __iter__(self) -> Iterator[Exported]:
        """The workflows; raises WorkflowUnknown where one that was named is not there."""
        for page in self._pages():
            yield from self._page([name for name in page if not self._but(name)])

    def heads(self) -> Iterator[Exported]:
        """The same without their events: of each, only the last is read.

        Where all are asked for, archived ones are among them: a seal is the same, whether they were archived or not.
        """
        if self._selection != Selection(upto=self._selection.upto):
            for page in self._pages():
                yield from self._heads(page)
            return
        after = 0
        for began, until in self._begun():
            # Names come first: who is archived behind that is in both, and taken as one of the names.
            here = ((began[one.workflow_id], one) for one in self._heads(list(began), archived=True))
            there = ((one.began, _buried(one)) for one in self._archived(after, until) if one.workflow_id not in began)
            for _, head in merge(here, there, key=itemgetter(0)):
                yield head
            after = until
        for page in _pages(self._without_first()):
            yield from self._heads(page)

    def _heads(self, names: list[str], *, archived: bool = False) -> Iterator[Exported]:
        """The heads of one page; of those that were archived meanwhile, their tombstones' where `archived` says so."""
        newest = self._newest(names) if names else {}
        if self._selection.since is not None:
            names = self._since(names, newest)
        last = {row.workflow_id: row for row in self._last(names, newest)}
        lost = [name for name in names if name not in last]
        gone = tombstones_of(self._query, lost)
        sizes = self._sizes(lost) if lost else {}
        for name in names:
            if name in last:
                yield Exported(name, last[name].version, last[name].digest, b"", ())
            elif name not in gone:
                yield Exported(name, sizes.get(name, _NOTHING).last, "", b"", ())
            elif archived:
                yield _buried(gone[name])

    def _archived(self, after: int, until: int) -> Iterator[Tombstone]:
        """The archived workflows that began behind a position, up to another, as they began."""
        while page := tombstones_between(self._query, after, until, self.position, WORKFLOWS_A_PAGE):
            yield from page
            after = page[-1].began

    def _pages(self) -> Iterator[list[str]]:
        return self._named() if self._selection.workflow_ids else self._all()

    # --- which workflows --------------------------------------------------------------------------------------------

    def _named(self) -> Iterator[list[str]]:
        """The workflows that were named, in the order in which they began."""
        began: list[tuple[int, str]] = []
        names = sorted(set(self._selection.workflow_ids))
        for page in _pages(names):
            rows = self._query(
                "SELECT min(id), originator_id FROM stored_events "  # noqa: S608 - marks
                f"WHERE originator_id IN ({_MARKS}) AND id <= ? GROUP BY originator_id",
                (*_filled(page), self.position),
            )
            found = {name for _, name in rows}
            for name in page:
                if name not in found and not self._lenient:
                    raise lacking(self._query, name)
            began += rows
        yield from _pages([name for _, name in sorted(began)])

    def _all(self) -> Iterator[list[str]]:
        for began, _ in self._begun():
            yield list(began)
        if self._selection.definition is None:
            yield from _pages(self._without_first())

    def _begun(self) -> Iterator[tuple[dict[str, int], int]]:
        """Pages of workflows that are wanted, as they began: by their ids the positions of their first events.

        With each, the position up to which it has all there are.
        """
        after = 0
        while True:
            rows = self._query(
                "SELECT id, originator_id, topic, state FROM stored_events "
                "WHERE originator_version = 1 AND id > ? AND id <= ? ORDER BY id LIMIT ?",
                (after, self.position, WORKFLOWS_A_PAGE),
            )
            is_last = len(rows) < WORKFLOWS_A_PAGE
            after = self.position if is_last else rows[-1][0]
            yield {name: began for began, name, _, state in rows if self._wanted(name, state)}, after
            if is_last:
                return

    def _wanted(self, name: str, state: Any) -> bool:
        """Whether a workflow is of the definition; Handrail's own are exported only where they are asked for."""
        definition = definition_in(self._row(name, 1, "", state))[0]
        if self._selection.definition is not None:
            return definition == self._selection.definition
        # All of an import is what was asked for then.
        return self.imported is not None or not is_hidden(definition)

    def _without_first(self) -> list[str]:
        """Workflows whose first event is gone, which only a damaged store has: no part of one is passed over."""
        rows = self._query(
            "SELECT workflow_id FROM workflow_keys WHERE NOT EXISTS (SELECT 1 FROM stored_events "
            "WHERE originator_id = workflow_id AND originator_version = 1) LIMIT ?",
            (MOST_IDS,),
        )
        return sorted(name for (name,) in rows)

    # --- their events -----------------------------------------------------------------------------------------------

    def _page(self, names: list[str]) -> Iterator[Exported]:
        """Workflows of one page: small ones read many at a time, long ones piece by piece."""
        if not names:
            return
        sizes = self._sizes(names)
        if self._selection.since is not None:
            names = self._since(names, _versions(sizes))
        rows = self._query(
            f"SELECT workflow_id, key FROM workflow_keys WHERE workflow_id IN ({_MARKS})",  # noqa: S608 - marks
            _filled(names),
        )
        keys = {name: _key(name, key) for name, key in rows}
        batch: list[str] = []
        events = held = 0
        for name in names:
            _, count, size = sizes.get(name, _NOTHING)
            if batch and (events + count > EVENTS_A_READ or held + size > BYTES_A_READ):
                yield from self._batch(batch, sizes, keys)
                batch, events, held = [], 0, 0
            batch.append(name)
            events += count
            held += size
        yield from self._batch(batch, sizes, keys)

    def _newest(self, names: Sequence[str]) -> dict[str, int]:
        """Of each workflow the last version: what an index knows, however many events it has.

        One is left out whose last number is none.
        """
        rows = self._query(
            "SELECT originator_id, max(originator_version) FROM stored_events "  # noqa: S608 - marks
            f"WHERE originator_id IN ({_MARKS}) AND id <= ? GROUP BY originator_id",
            (*_filled(names), self.position),
        )
        return {name: last for name, last in rows if isinstance(last, int)}

    def _sizes(self, names: Sequence[str]) -> dict[str, _Size]:
        """Of each workflow the last version, the number of its events, and their bytes."""
        rows = self._query(
            "SELECT originator_id, max(originator_version), count(*), sum(length(state)) FROM stored_events "  # noqa: S608 - marks
            f"WHERE originator_id IN ({_MARKS}) AND id <= ? GROUP BY originator_id",
            (*_filled(names), self.position),
        )
        return {
            name: _Size(last if isinstance(last, int) else None, int(count), int(size))
            for name, last, count, size in rows
        }

    def _since(self, names: list[str], newest: Mapping[str, int]) -> list[str]:
        """Those whose last event was recorded at the instant or later, or whose last event does not say when."""
        kept: set[str] = set()
        for row in self._last(names, newest):
            at = row.fields.get("at")
            if not isinstance(at, str) or self._selection.since is None or instant(at) >= self._selection.since:
                kept.add(row.workflow_id)
        return [name for name in names if name in kept or name not in newest]

    def _last(self, names: Sequence[str], newest: Mapping[str, int], query: Query | None = None) -> Iterator[Row]:
        """The last event of each."""
        wanted = [(name, newest[name]) for name in names if name in newest]
        wanted += [("", 0)] * (WORKFLOWS_A_PAGE - len(wanted))
        values = ", ".join(["(?, CAST(? AS BIGINT))"] * WORKFLOWS_A_PAGE)
        rows = (query or self._query)(
            f"WITH wanted(workflow_id, version) AS (VALUES {values}) "  # noqa: S608 - marks
            f"SELECT {_COLUMNS} FROM wanted CROSS JOIN stored_events "
            "WHERE originator_id = wanted.workflow_id AND originator_version = wanted.version",
            [part for one in wanted for part in one],
        )
        return (self._row(*row) for row in rows)

    def _batch(
        self, names: Sequence[str], sizes: Mapping[str, _Size], keys: Mapping[str, bytes | None]
    ) -> Iterator[Exported]:
        if not names:
            return
        if len(names) == 1 and sizes.get(names[0], _NOTHING).events > EVENTS_A_READ:
            name = names[0]
            # An archive may take it while it is read: the view has it until the reader is done with it.
            with self._source.reading() as view:
                ending = next(self._last(names, _versions(sizes), view.query), None)
                if ending is None and self._gone(names):
                    return
                head, rows = "" if ending is None else ending.digest, placed(self._long(view, name, sizes[name]))
                yield Exported(name, sizes[name].last, head, keys.get(name, b""), rows)
            return
        found: dict[str, list[Row]] = {name: [] for name in names}
        stored = self._query(
            f"SELECT {_COLUMNS} FROM stored_events "  # noqa: S608 - marks
            f"WHERE originator_id IN ({_MARKS}) AND id <= ?",
            (*_filled(names), self.position),
        )
        for row in stored:
            found[row[0]].append(self._row(*row))
        gone = self._gone([name for name, events in found.items() if not events])
        for name, events in found.items():
            if name in gone:
                continue
            events.sort(key=lambda row: row.version)
            whole = list(placed(events)) if events and events[0].version == NO_NUMBER else events
            last, head = (whole[-1].version, whole[-1].digest) if whole else (0, "")
            yield Exported(name, last, head, keys.get(name, b""), whole)

    def _gone(self, names: Sequence[str]) -> Mapping[str, Tombstone]:
        """Of those without events, the tombstones of those that were archived since they were found.

        Raises WorkflowArchived where they were named, and must be there.
        """
        gone = tombstones_of(self._query, names)
        if gone and self._selection.workflow_ids and not self._lenient:
            raise lacking(self._query, min(gone))
        return gone

    def _long(self, view: Queries, name: str, size: _Size) -> Iterator[Row]:
        """The events of one workflow, a piece at a time, of so many that a piece has about BYTES_A_READ."""
        limit = max(1, min(EVENTS_A_READ, BYTES_A_READ * size.events // max(1, size.bytes)))
        after = -1
        while True:
            rows = view.query(
                f"SELECT {_COLUMNS} FROM stored_events "  # noqa: S608 - columns of ours
                "WHERE originator_id = ? AND originator_version > ? AND id <= ? ORDER BY originator_version LIMIT ?",
                (name, after, self.position, limit),
            )
            for row in rows:
                yield self._row(*row)
            if len(rows) < limit:
                return
            after = rows[-1][1]

    def _row(self, name: str, version: Any, topic: str, state: Any) -> Row:
        if not isinstance(version, int):
            return Row(name, NO_NUMBER, topic, bytes_of(state))
        row = Row(name, version, topic, b"")
        self._clear_into(row, state)
        return parted(row, imported=self.imported is not None)

    def _clear_into(self, row: Row, state: Any) -> None:
        """The state without its cover, or what is said where its payload is withheld."""
        row.state = bytes_of(state)
        try:
            row.state = self._clear(row.workflow_id, row.version, row.state)
        except PayloadWithheld as error:
            row.withheld, row.left = True, error.left
        except EventCorrupt:
            return


_COLUMNS: Final = "originator_id, originator_version, topic, state"
_MARKS: Final = ", ".join("?" * WORKFLOWS_A_PAGE)


def _versions(sizes: Mapping[str, _Size]) -> dict[str, int]:
    return {name: size.newest for name, size in sizes.items() if size.newest is not None}


def _key(name: str, key: Any) -> bytes | None:
    try:
        return key_of(name, key)
    except EventCorrupt:
        return None


def _buried(stone: Tombstone) -> Exported:
    return Exported(stone.workflow_id, stone.version, stone.head, b"", ())


def _pages(names: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), WORKFLOWS_A_PAGE):
        yield list(names[start : start + WORKFLOWS_A_PAGE])


def _filled(names: Sequence[str]) -> list[str]:
    """The names, filled up with one that matches nothing: so the statement is always the same."""
    return [*names, *[""] * (WORKFLOWS_A_PAGE - len(names))]


def definition_in(row: Row) -> tuple[str, str]:
    """Name and version of the definition, from a workflow's first event, or what is left of it; empty where unsaid."""
    try:
        said = row.left if row.withheld else from_json(row.payload)
        source = said.get("state", said)
        return str(source["definition"]), str(source["definition_version"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", ""


def instant(text: str) -> datetime:
    """An instant of a header; one that cannot be read, or without a zone, is the last that there is."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
