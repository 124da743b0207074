"""Holds a store against heads that were kept elsewhere: the workflows' lines of an export, or of a seal.

A chain of digests proves order and integrity, but not that its end is there, nor the workflow at all: for that it takes
a head from outside. What came after it may be there or not; the events up to it must be, and fit.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from itertools import islice
from typing import Final, NamedTuple

from domain.chain import GENESIS
from domain.store.tombstones import Tombstone, tombstones_of
from projections.exporting.jsonl import sound
from projections.exporting.reading import KEY_LOST, WORKFLOWS_A_PAGE, Clear, Exported, Histories, Selection, Source
from projections.exporting.rows import Row
from projections.exporting.verifying import MOST_FINDINGS, Check, Finding, plain

_WORKFLOW: Final = b'{"workflow":'


class Head(NamedTuple):
    """The digest that a workflow's event of a version had."""

    workflow: str
    version: int
    digest: str


class HeldAgainst:
    """What became of holding a store against heads; findings name no line, since they are about the store."""

    def __init__(self) -> None:
        """Nothing is held yet."""
        self.workflows = 0
        self.events = 0
        self.archived = 0
        """Those that were archived since: their tombstones were held against the heads."""
        self.others = 0
        self.other_events = 0
        """Workflows that no head was of, and their events: they were held against their own chains."""
        self.findings: list[Finding] = []
        self.more = 0
        self._known = array("Q")

    def hold(self, source: Source, clear: Clear, heads: Iterable[Head]) -> None:
        """Read every workflow that a head is of, from its first event on."""
        rest = iter(heads)
        while page := {head.workflow: head for head in islice(rest, WORKFLOWS_A_PAGE)}:
            found: set[str] = set()
            for exported in Histories(source, clear, Selection(tuple(page)), lenient=True):
                found.add(exported.workflow_id)
                self._workflow(exported, page[exported.workflow_id])
            stones = tombstones_of(source.query, page)
            found -= _archived_meanwhile(source, clear, found & stones.keys())
            self._without_events(stones, [head for name, head in page.items() if name not in found])
            for name in sorted(found & stones.keys()):
                self._found(name, 1, Check.VERSION, "is in the store, and has a tombstone as if it were archived")
            self.workflows += len(page)
            self._known.extend(map(_short, page))

    def hold_others(self, source: Source, clear: Clear) -> None:
        """Read every workflow that no head was of, as those that began later, and hold its events one to the other.

        Whether their ends are there no chain can tell.
        """
        known = array("Q", sorted(self._known))

        def held(name: str) -> bool:
            short = _short(name)
            place = bisect_left(known, short)
            return place < len(known) and known[place] == short

        before = self.events
        for exported in Histories(source, clear, Selection(), but=held):
            self.others += 1
            if exported.last:
                self._workflow(exported, Head(exported.workflow_id, 0, ""))
            else:
                self._found(exported.workflow_id, 1, Check.VERSION, "is missing from the store, with all other events")
        self.other_events, self.events = self.events - before, before

    def _without_events(self, tombstones: Mapping[str, Tombstone], heads: Iterable[Head]) -> None:
        """Of workflows that the store has no events of: an archived one has a tombstone, which does not contradict."""
        for head in heads:
            stone = tombstones.get(head.workflow)
            if stone is None:
                words = "is missing from the store, with all other events of the workflow"
                self._found(head.workflow, 1, Check.VERSION, words)
            elif stone.version < head.version:
                words = f"is missing: the tombstone says that it was archived with {stone.version} events"
                self._found(head.workflow, stone.version + 1, Check.VERSION, words)
            elif stone.version == head.version and stone.head != head.digest:
                words = "has another digest in its tombstone than was kept"
                self._found(head.workflow, head.version, Check.HEAD, words)
            else:
                self.archived += 1

    def _workflow(self, exported: Exported, head: Head) -> None:
        """Find the first thing that is wrong with a workflow."""
        if exported.key is None:
            self._found(head.workflow, 1, Check.DAMAGED, KEY_LOST)
            return
        before: Row | None = None
        earlier = GENESIS
        doubtful: Row | None = None
        for number, row in enumerate(exported.rows, start=1):
            self.events += 1
            if doubtful is not None:
                self._misfit(doubtful, fits=row.previous == doubtful.digest)
                return
            if row.version != number:
                self._found(head.workflow, number, Check.VERSION, "is missing from the store")
                return
            if not row.header:
                self._found(head.workflow, number, Check.DAMAGED, "cannot be read")
                return
            if not sound(row, exported.key):
                words = "has another payload, or place, than its digest is of"
                self._found(head.workflow, number, Check.PAYLOAD, words)
                return
            if row.previous != earlier:
                doubtful = row
            elif number == head.version and row.digest != head.digest:
                self._found(head.workflow, number, Check.HEAD, "has another digest than was kept")
                return
            before, earlier = row, row.digest
        if doubtful is not None:
            fits = doubtful.version == head.version and doubtful.digest == head.digest
            self._misfit(doubtful, fits=fits)
        elif (last := before.version if before is not None else 0) < head.version:
            words = f"is missing from the store, as are all up to {head.version}"
            self._found(head.workflow, last + 1, Check.VERSION, words)

    def _misfit(self, row: Row, *, fits: bool) -> None:
        """An event does not follow the one before: if what is behind it `fits`, it is the one before that changed."""
        version = row.version - 1 if fits and row.version > 1 else row.version
        self._found(row.workflow_id, version, Check.PREVIOUS, "has another header, or other digests, than it had")

    def _found(self, workflow: str, version: int, check: Check, words: str) -> None:
        if len(self.findings) >= MOST_FINDINGS:
            self.more += 1
        else:
            self.findings.append(Finding(0, plain(workflow), version, check, words))


def _archived_meanwhile(source: Source, clear: Clear, names: set[str]) -> set[str]:
    """Of workflows that had events and then a tombstone, those that have no events any more."""
    if not names:
        return set()
    again = Histories(source, clear, Selection(tuple(names)), lenient=True)
    return names - {exported.workflow_id for exported in again}


def _short(name: str) -> int:
    """A name in eight bytes, so that the names of a million workflows take little memory."""
    return int.from_bytes(sha256(name.encode()).digest()[:8])


def heads_in(lines: Iterable[bytes]) -> Iterator[Head]:
    """The heads of an export or a seal that was found sound."""
    for line in lines:
        if line.startswith(_WORKFLOW):
            fields = json.loads(line)
            if fields["last"]:
                yield Head(fields["workflow"], fields["last"], fields["head"])
