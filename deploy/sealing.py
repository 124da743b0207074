"""Seals on a schedule: the process that leads the projector writes the heads of all workflows to a folder.

When the next one is due stands in the store, so that a restart, or another leader, neither forgets it nor writes it
twice: it moves on only when the file has its name, which is that of the instant at which it was due. The log is read
page by page, the event loop getting its turn between two of them; the file is written whole or not at all. What fails
is logged, and tried again later, at longer and longer intervals.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.signing import signing_key
from deploy.whole_files import whole_file
from domain.errors import FenceMissed, HandrailError
from domain.ports import Aside, Clock
from domain.store.aside import inline
from projections.exporting.jsonl import JsonLines, Signer
from projections.exporting.reading import Histories, Selection
from projections.exporting.redaction import Redaction

if TYPE_CHECKING:
    from deploy.settings import SealSettings
    from domain.store.application import WorkflowStore

_log: Final = logging.getLogger("handrail.deploy")

SEALED_FACT: Final = "sealed"
"""Name of the row of `store_facts` that says when the next seal is due, and when the last was written."""
LINES_AT_ONCE: Final = 250
"""So many workflows' lines are made at once: those of one page of the log."""
FIRST_PAUSE_SECONDS: Final = 60.0
LONGEST_PAUSE_SECONDS: Final = 3_600.0
LONGEST_SLEEP_SECONDS: Final = 60.0
"""So long at most it sleeps without looking at the clock: that may be set meanwhile."""

_SEAL_FILE: Final = re.compile(r"handrail-seal-[0-9]{8}T[0-9]{6}Z\.seal")
SEALED_ROW: Final = "SELECT value FROM store_facts WHERE name = 'sealed'"
_INSERT: Final = "INSERT INTO store_facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING"
_MOVE: Final = "UPDATE store_facts SET value = ? WHERE name = ? AND value = ?"


@dataclass(frozen=True, slots=True)
class Sealed:
    """When the next seal is due, and when the last was written, if ever."""

    due: datetime
    last: datetime | None = None

    @classmethod
    def read(cls, text: str) -> Sealed:
        """As it stands in the store."""
        said = json.loads(text)
        last = said["last"]
        return cls(datetime.fromisoformat(said["due"]), None if last is None else datetime.fromisoformat(last))

    def text(self) -> str:
        """The same, to be kept."""
        return json.dumps({"due": self.due.isoformat(), "last": None if self.last is None else self.last.isoformat()})

    def due_by(self, every: timedelta) -> datetime:
        """When the next one is due, where the interval is another one by now."""
        return self.due if self.last is None else min(self.due, self.last + every)


@dataclass(frozen=True, slots=True)
class Schedule:
    """How often seals are written, where to, what signs them, and how many are kept."""

    every: timedelta
    folder: Path
    key: Path | None = None
    keep: int = 30


def schedule_of(settings: SealSettings) -> Schedule | None:
    """The schedule that is set; None where no seals are asked for."""
    if settings.every is None or settings.folder is None:
        return None
    return Schedule(settings.every, settings.folder, settings.key, settings.keep)


def sealing_of(settings: SealSettings, store: WorkflowStore, clock: Clock, aside: Aside = inline) -> Sealing | None:
    """What writes the seals that are set; None where none are."""
    schedule = schedule_of(settings)
    return None if schedule is None else Sealing(store, schedule, clock, aside)


class Sealing:
    """Writes seals when they are due, for as long as it runs."""

    def __init__(self, store: WorkflowStore, schedule: Schedule, clock: Clock, aside: Aside = inline) -> None:
        """Nothing is read yet; `aside` is where the store is read."""
        self._store = store
        self._schedule = schedule
        self._clock = clock
        self._aside = aside
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._text = ""
        self.now: Sealed | None = None
        """As far as this process knows; None where it does not write them."""

    async def run(self) -> None:
        """Write each seal when it is due, until cancelled."""
        try:
            while True:  # noqa: ASYNC110 - what is awaited is an instant: nobody says that it has come
                await asyncio.sleep(await self.go_on())
        finally:
            self.now = None

    async def go_on(self) -> float:
        """Do what is due now; after how many seconds to look again."""
        try:
            if self.now is None:
                await self.begin()
            left = (self.due - self._clock()).total_seconds()
            if left > 0:
                return min(left, LONGEST_SLEEP_SECONDS)
            await self.seal()
        except FenceMissed:
            self.now = None  # another leader was first
        except (HandrailError, OSError, ValueError) as error:
            pause, self._pause_seconds = self._pause_seconds, min(2 * self._pause_seconds, LONGEST_PAUSE_SECONDS)
            _log.warning("no seal was written, and it is tried again in %.0f s: %s", pause, error)
            return pause
        self._pause_seconds = FIRST_PAUSE_SECONDS
        return 0.0

    @property
    def due(self) -> datetime:
        """When the next one is due."""
        return self._clock() if self.now is None else self.now.due_by(self._schedule.every)

    async def begin(self) -> None:
        """Read when the next is due; the first of a store is due at once."""
        self._text = await self._aside(self._begun)
        self.now = Sealed.read(self._text)

    async def seal(self) -> Path:
        """Write the seal that is due, take away those that are too many, and say in the store that it was written.

        Raises FenceMissed where another process has said so meanwhile.
        """
        due, now = self.due, self._clock()
        path = self._schedule.folder / f"handrail-seal-{due.astimezone(UTC):%Y%m%dT%H%M%SZ}.seal"
        # Where it is there, whoever wrote it could not say so any more.
        if not path.exists():
            await self._write(path)
            _log.info("sealed the store: %s", path)
        self._tidy()
        every = self._schedule.every
        following = due + every
        said = Sealed(following if following > now else now + every, now).text()
        await self._aside(lambda: self._say(said))
        self._text, self.now = said, Sealed.read(said)
        return path

    async def _write(self, path: Path) -> None:
        signer = Signer(*signing_key(self._schedule.key)) if self._schedule.key is not None else None
        made = JsonLines(Selection(), Redaction(), signer, seal=True)
        with whole_file(path, replace=False) as file:
            lines = await self._aside(lambda: made.lines(Histories(self._store, self._store.mapper.clear, Selection())))
            while page := await self._aside(lambda: _page(lines)):
                file.write(b"".join(page))
                await asyncio.sleep(0)
        if made.first_damage is not None:
            one = made.first_damage
            _log.error("the store is damaged: workflow %s, event %d %s", one.workflow_id, one.version, one.words)

    def _begun(self) -> str:
        with self._store.transaction() as cursor:
            cursor.execute(_INSERT, (SEALED_FACT, Sealed(self._clock()).text()))
            ((text,),) = cursor.query(SEALED_ROW)
        return str(text)

    def _say(self, said: str) -> None:
        with self._store.transaction() as cursor:
            if cursor.execute(_MOVE, (said, SEALED_FACT, self._text)) != 1:
                raise FenceMissed("another process has written the seal that was due")

    def _tidy(self) -> None:
        """Take away the oldest seals of ours that are too many: the names are in the order of time."""
        found = sorted(one for one in self._schedule.folder.iterdir() if _SEAL_FILE.fullmatch(one.name))
        for one in found[: max(0, len(found) - self._schedule.keep)]:
            one.unlink(missing_ok=True)


def read_sealed(rows: Sequence[Sequence[object]]) -> Sealed | None:
    """What the rows of `SEALED_ROW` say; None where there never were any seals."""
    return Sealed.read(str(rows[0][0])) if rows else None


def _page(lines: Iterator[bytes]) -> list[bytes]:
    return list(islice(lines, LINES_AT_ONCE))
