"""The histories that an export is about, whole workflows in the order in which they began, in constant memory.

The log is read as it was at one position, in short queries: others write meanwhile, and what is up to that position
does not change. What is stored is handed on as it is, damaged events included.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from pydantic_core import from_json

from domain.builtin import is_hidden
from domain.chain import Key, link
from domain.errors import EventCorrupt, InputInvalid, PayloadWithheld
from domain.recorded import WITHHELD, behind_digests
from domain.store.imported import IMPORTED_FACT, imported_of
from domain.store.tombstones import Tombstone, lacking, tombstones_between

WORKFLOWS_A_PAGE: Final = 250
EVENTS_A_READ: Final = 2_000
BYTES_A_READ: Final = 8 * 1024 * 1024
MOST_IDS: Final = 10_000
"""So many workflows may be named, and so many that lost their first event are looked for."""

Query = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]
"""The rows of one SELECT, as the store's `query` gives them."""
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
        """As the manifest says it: what was asked for."""
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
        if self.upto is not None:
            said["upto"] = self.upto
        return said


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


@dataclass(frozen=True, slots=True)
class Exported:
    """One workflow: the version and the digest of its last event, its rows to be read once, in order."""

    workflow_id: str
    last: int
    head: str
    key: bytes
    rows: Iterable[Row]


class Histories:
    """What a selection selects; `position` is that of the newest event that counts."""

    def __init__(
        self,
        query: Query,
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
        self._query = query
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
        archived = self._archived()
        next_one = next(archived, None)
        for began, names in self._begun():
            heads = self._heads(names)
            for place in began:
                while next_one is not None and next_one.began < place:
                    yield Exported(next_one.workflow_id, next_one.version, next_one.head, b"", ())
                    next_one = next(archived, None)
                yield next(heads)
        while next_one is not None:
            yield Exported(next_one.workflow_id, next_one.version, next_one.head, b"", ())
            next_one = next(archived, None)
        for page in _pages(self._without_first()):
            yield from self._heads(page)

    def _heads(self, page: list[str]) -> Iterator[Exported]:
        newest = self._newest(page) if page else {}
        names = page if self._selection.since is None else self._since(page, newest)
        last = {row.workflow_id: row for row in self._last(names, newest)}
        for name in names:
            version, digest = (last[name].version, last[name].digest) if name in last else (0, "")
            yield Exported(name, version, digest, b"", ())

    def _archived(self) -> Iterator[Tombstone]:
        """The archived workflows, as they began."""
        after = 0
        while page := tombstones_between(self._query, after, self.position, WORKFLOWS_A_PAGE):
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
        for _, names in self._begun():
            yield names
        if self._selection.definition is None:
            yield from _pages(self._without_first())

    def _begun(self) -> Iterator[tuple[list[int], list[str]]]:
        """Pages of workflows that are wanted, as they began: the positions of their first events, and their ids."""
        after = 0
        while True:
            rows = self._query(
                "SELECT id, originator_id, topic, state FROM stored_events "
                "WHERE originator_version = 1 AND id > ? AND id <= ? ORDER BY id LIMIT ?",
                (after, self.position, WORKFLOWS_A_PAGE),
            )
            wanted = [(began, name) for began, name, _, state in rows if self._wanted(name, state)]
            yield [began for began, _ in wanted], [name for _, name in wanted]
            if len(rows) < WORKFLOWS_A_PAGE:
                return
            after = rows[-1][0]

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
        keys: dict[str, str] = dict(
            self._query(f"SELECT workflow_id, key FROM workflow_keys WHERE workflow_id IN ({_MARKS})", _filled(names))  # noqa: S608 - marks
        )
        batch: list[str] = []
        events = held = 0
        for name in names:
            _, count, size = sizes.get(name, (0, 0, 0))
            if batch and (events + count > EVENTS_A_READ or held + size > BYTES_A_READ):
                yield from self._batch(batch, sizes, keys)
                batch, events, held = [], 0, 0
            batch.append(name)
            events += count
            held += size
        yield from self._batch(batch, sizes, keys)

    def _newest(self, names: Sequence[str]) -> dict[str, int]:
        """Of each workflow the last version: what an index knows, however many events it has."""
        rows = self._query(
            "SELECT originator_id, max(originator_version) FROM stored_events "  # noqa: S608 - marks
            f"WHERE originator_id IN ({_MARKS}) AND id <= ? GROUP BY originator_id",
            (*_filled(names), self.position),
        )
        return {name: _version(name, last) for name, last in rows}

    def _sizes(self, names: Sequence[str]) -> dict[str, tuple[int, int, int]]:
        """Of each workflow the last version, the number of its events, and their bytes."""
        rows = self._query(
            "SELECT originator_id, max(originator_version), count(*), sum(length(state)) FROM stored_events "  # noqa: S608 - marks
            f"WHERE originator_id IN ({_MARKS}) AND id <= ? GROUP BY originator_id",
            (*_filled(names), self.position),
        )
        return {name: (_version(name, last), int(count), int(size)) for name, last, count, size in rows}

    def _since(self, names: list[str], newest: Mapping[str, int]) -> list[str]:
        """Those whose last event was recorded at the instant or later, or whose last event does not say when."""
        kept: set[str] = set()
        for row in self._last(names, newest):
            at = row.fields.get("at")
            if not isinstance(at, str) or self._selection.since is None or instant(at) >= self._selection.since:
                kept.add(row.workflow_id)
        return [name for name in names if name in kept]

    def _last(self, names: Sequence[str], newest: Mapping[str, int]) -> Iterator[Row]:
        """The last event of each."""
        wanted = [(name, newest[name]) for name in names if name in newest]
        wanted += [("", 0)] * (WORKFLOWS_A_PAGE - len(wanted))
        values = ", ".join(["(?, CAST(? AS BIGINT))"] * WORKFLOWS_A_PAGE)
        rows = self._query(
            f"WITH wanted(workflow_id, version) AS (VALUES {values}) "  # noqa: S608 - marks
            f"SELECT {_COLUMNS} FROM wanted CROSS JOIN stored_events "
            "WHERE originator_id = wanted.workflow_id AND originator_version = wanted.version",
            [part for one in wanted for part in one],
        )
        return (self._row(*row) for row in rows)

    def _batch(
        self, names: Sequence[str], sizes: Mapping[str, tuple[int, int, int]], keys: Mapping[str, str]
    ) -> Iterator[Exported]:
        if not names:
            return
        if len(names) == 1 and names[0] in sizes and sizes[names[0]][1:] > (EVENTS_A_READ, 0):
            name = names[0]
            head = next((row.digest for row in self._last(names, _versions(sizes))), "")
            yield Exported(name, sizes[name][0], head, bytes.fromhex(keys.get(name, "")), self._long(name, sizes[name]))
            return
        found: dict[str, list[Row]] = {name: [] for name in names}
        rows = self._query(
            f"SELECT {_COLUMNS} FROM stored_events "  # noqa: S608 - marks
            f"WHERE originator_id IN ({_MARKS}) AND id <= ?",
            (*_filled(names), self.position),
        )
        for row in rows:
            found[row[0]].append(self._row(*row))
        for name, events in found.items():
            events.sort(key=lambda row: row.version)
            last, head = (events[-1].version, events[-1].digest) if events else (0, "")
            yield Exported(name, last, head, bytes.fromhex(keys.get(name, "")), events)

    def _long(self, name: str, size: tuple[int, int, int]) -> Iterator[Row]:
        """The events of one workflow, a piece at a time, of so many that a piece has about BYTES_A_READ."""
        limit = max(1, min(EVENTS_A_READ, BYTES_A_READ * size[1] // max(1, size[2])))
        after = -1
        while True:
            rows = self._query(
                f"SELECT {_COLUMNS} FROM stored_events "  # noqa: S608 - columns of ours
                "WHERE originator_id = ? AND originator_version > ? AND id <= ? ORDER BY originator_version LIMIT ?",
                (name, after, self.position, limit),
            )
            for row in rows:
                yield self._row(*row)
            if len(rows) < limit:
                return
            after = rows[-1][1]

    def _row(self, name: str, version: int, topic: str, state: Any) -> Row:
        row = Row(name, version, topic, b"")
        self._clear_into(row, state)
        return parted(row, imported=self.imported is not None)

    def _clear_into(self, row: Row, state: Any) -> None:
        """The state without its cover, or what is said where its payload is withheld."""
        # A damaged SQLite file may hold a text, or a number, where bytes belong.
        row.state = bytes(state) if isinstance(state, bytes | bytearray | memoryview) else str(state).encode()
        try:
            row.state = self._clear(row.workflow_id, row.version, row.state)
        except PayloadWithheld as error:
            row.withheld, row.left = True, error.left
        except EventCorrupt:
            return


_COLUMNS: Final = "originator_id, originator_version, topic, state"
_MARKS: Final = ", ".join("?" * WORKFLOWS_A_PAGE)
_PARTS: Final = 3
_DIGESTS: Final = re.compile(rb"[0-9a-f]{64} [0-9a-f]{64}")


def _versions(sizes: Mapping[str, tuple[int, int, int]]) -> dict[str, int]:
    return {name: last for name, (last, _, _) in sizes.items()}


def _version(name: str, last: Any) -> int:
    """The last version of a workflow; raises EventCorrupt where SQLite keeps a text, which comes after all numbers."""
    try:
        return int(last)
    except ValueError as error:
        raise EventCorrupt(
            f"workflow {name} has an event whose number is none; restore the store from a backup"
        ) from error


def _pages(names: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), WORKFLOWS_A_PAGE):
        yield list(names[start : start + WORKFLOWS_A_PAGE])


def _filled(names: Sequence[str]) -> list[str]:
    """The names, filled up with one that matches nothing: so the statement is always the same."""
    return [*names, *[""] * (WORKFLOWS_A_PAGE - len(names))]


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
