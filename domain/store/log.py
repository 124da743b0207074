"""Following the log from a position: what relay, timer, projector and the command line's printer share.

Two ways lead to a follower. What this process saves is handed to it as it is saved, and costs no reading. What others
save is found by asking the database now and then whether somebody else has committed, which is cheap. Either way the
order is that of the log, without gaps and without repetitions: what was handed over is used only where it begins right
behind the position, and everything else is read from the store.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from typing import Final, NamedTuple, Protocol

from domain.errors import EventCorrupt, EventUnknown, PayloadWithheld, StoreError
from domain.ports import Aside, Notification
from domain.store.aside import inline
from domain.store.mapper import EventMapper, EventRow

BATCH: Final = 500
"""How many events a batch holds at most, by default."""

POLL: Final = timedelta(milliseconds=100)
"""How often the database is asked whether others have committed."""

BUFFERED: Final = 20_000
"""How many events are kept for a follower that lags behind; beyond that it reads them from the store."""


Unreadable = Callable[[int, str, StoreError], None]


class Log(Protocol):
    """What a follower needs of the store."""

    def select(self, after: int, limit: int) -> list[Notification]:
        """Up to `limit` events behind the position `after`."""
        ...

    def data_version(self) -> int:
        """Changes whenever another process has committed."""
        ...


class StoredRows(Protocol):
    """The part of the store's recorder that reads the log, row by row."""

    def select_log(self, after: int, limit: int) -> list[tuple[int, EventRow]]:
        """Up to `limit` rows behind the position `after`."""
        ...

    def data_version(self) -> int:
        """Changes whenever another process has committed."""
        ...


class ReadableLog:
    """The log without what cannot be read: such an event is told of, once, and left out.

    For a follower that must not stop for one workflow's broken event: that workflow cannot be decided on anyway.
    """

    def __init__(self, rows: StoredRows, mapper: EventMapper, unreadable: Unreadable) -> None:
        """`mapper` makes an event of a row; `unreadable` hears position, workflow and error of one that cannot be.

        What was withheld on purpose is left out, and nobody told.
        """
        self._rows = rows
        self._mapper = mapper
        self._unreadable = unreadable
        self._told = 0

    def data_version(self) -> int:
        """Changes whenever another process has committed."""
        return self._rows.data_version()

    def select(self, after: int, limit: int) -> list[Notification]:
        """Up to `limit` readable events behind the position `after`."""
        found: list[Notification] = []
        while len(found) < limit:
            wanted = limit - len(found)
            rows = self._rows.select_log(after, wanted)
            self._mapper.expect(row.workflow_id for _, row in rows)
            for position, row in rows:
                after = position
                try:
                    found.append(Notification(position, self._mapper.read(*row)))
                except PayloadWithheld:
                    continue
                except (EventCorrupt, EventUnknown) as error:
                    if position > self._told:
                        self._told = position
                        self._unreadable(position, row.workflow_id, error)
            if len(rows) < wanted:
                break
        return found


class _Reading(NamedTuple):
    """Where to read from, and what makes it worth it: `must`, or a log that is newer than `read_at`."""

    after: int
    must: bool
    read_at: int | None


class LogFollower:
    """Hands out the log behind `position`, batch by batch. Used by one task, on the store's event loop.

    `aside` is where the store is read; what this process saves may be offered meanwhile.
    """

    def __init__(
        self,
        log: Log,
        after: int,
        *,
        poll: timedelta | None = None,
        buffered: int = BUFFERED,
        others_only: bool = False,
        aside: Aside = inline,
    ) -> None:
        """Begin behind the position `after`; 0 is the beginning of the log.

        With `others_only` what this process saves is passed over, for one who hears of it otherwise; some of it may be
        handed out all the same. Without a `poll` of its own it looks as often as `poll_by_default` says.
        """
        self.position = after
        self._others_only = others_only
        self._log = log
        self._aside = aside
        self._reading = False
        self._poll = poll
        self._poll_seconds = (poll or POLL).total_seconds()
        self._buffered = buffered
        self._runs: deque[Sequence[Notification]] = deque()
        self._must_read = True
        self._read_at: int | None = None
        self._ask_at = float("-inf")
        self._woken = asyncio.Event()
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many events are known to be there and not handed out yet."""
        return sum(max(0, run[-1].position - max(self.position, run[0].position - 1)) for run in self._runs)

    def poll_by_default(self, poll: timedelta) -> None:
        """Ask so often whether others have committed, from the next time on; one with a time of its own keeps that."""
        self._poll_seconds = (self._poll or poll).total_seconds()

    def offer(self, notifications: Sequence[Notification]) -> None:
        """Take what this process has just saved, one event or more, in the order of the log; the sequence is kept."""
        if self._others_only:
            if not self._must_read and not self._reading and notifications[0].position == self.position + 1:
                self.position = notifications[-1].position
                return
            self._must_read = True
        elif self._runs and self._runs[-1][-1].position - self.position >= self._buffered:
            self._must_read = True
        elif notifications[-1].position - notifications[0].position + 1 == len(notifications):
            self._runs.append(notifications)
        else:  # the database left gaps
            self._runs.extend([notification] for notification in notifications)
        self._woken.set()

    def look_again(self) -> None:
        """Read the store at the next chance: there may be something that was not offered."""
        self._must_read = True
        self._woken.set()

    def close(self) -> None:
        """End: whoever waits gets an empty batch."""
        self._closed = True
        self._woken.set()

    def take(self, limit: int = BATCH) -> list[Notification]:
        """What is there now, without waiting; may be nothing. Raises StoreError for what cannot be read."""
        batch = self._from_buffer(limit)
        if batch:
            return batch
        reading = self._begin_reading()
        try:
            return self._end_reading(self._read(reading, limit), limit)
        except BaseException:
            self._fail_reading()
            raise

    async def take_aside(self, limit: int = BATCH) -> list[Notification]:
        """The same, reading where the follower was told to."""
        batch = self._from_buffer(limit)
        if batch:
            return batch
        reading = self._begin_reading()
        try:
            return self._end_reading(await self._aside(lambda: self._read(reading, limit)), limit)
        except BaseException:
            self._fail_reading()
            raise

    def take_offered(self, limit: int = BATCH) -> list[Notification]:
        """What this process has saved behind the position, without asking the database; may be nothing."""
        return self._from_buffer(limit)

    async def next_batch(self, limit: int = BATCH) -> list[Notification]:
        """Wait until there is something, and take it; nothing only when the follower was closed.

        The database is asked when there is a sign that others have committed, and once in the poll: not after each
        batch that this process has saved itself.
        """
        loop = asyncio.get_running_loop()
        while not self._closed:
            self._woken.clear()
            batch = self._from_buffer(limit)
            if not batch and (self._must_read or self._runs or loop.time() >= self._ask_at):
                batch = await self.take_aside(limit)
                self._ask_at = loop.time() + self._poll_seconds
            if batch:
                return batch
            await self._wait(loop)
        return []

    async def batches(self, limit: int = BATCH) -> AsyncIterator[list[Notification]]:
        """Batch after batch, until the follower is closed."""
        while batch := await self.next_batch(limit):
            yield batch

    def _from_buffer(self, limit: int) -> list[Notification]:
        """What was offered right behind the position: whole runs at a time, which costs next to nothing an event."""
        runs = self._runs
        batch: list[Notification] = []
        while runs and len(batch) < limit:
            run = runs[0]
            begin = self.position + 1 - run[0].position
            if begin < 0:  # something is missing before it
                break
            part = run[begin : begin + limit - len(batch)]
            if begin + len(part) >= len(run):
                runs.popleft()
            if part:
                batch += part
                self.position = part[-1].position
        return batch

    def _begin_reading(self) -> _Reading:
        """What to read. From here on it counts as read: whatever is said meanwhile makes it be read again."""
        must_read = self._must_read or bool(self._runs)
        self._must_read = False
        self._reading = True
        return _Reading(self.position, must=must_read, read_at=self._read_at)

    def _read(self, reading: _Reading, limit: int) -> tuple[list[Notification], int]:
        """Read, where there may be something; what there is, and how new it is."""
        # Asked for before reading: what is committed in between is then looked for once too often, never too seldom.
        read_at = self._log.data_version()
        if not reading.must and read_at == reading.read_at:
            return [], read_at
        return self._log.select(reading.after, limit), read_at

    def _end_reading(self, found: tuple[list[Notification], int], limit: int) -> list[Notification]:
        batch, read_at = found
        self._reading = False
        if len(batch) < limit:
            self._read_at = read_at
        else:
            self._must_read = True
        if batch:
            self.position = batch[-1].position
        return batch

    def _fail_reading(self) -> None:
        self._reading = False
        self._must_read = True

    async def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        """Until something is offered, or it is time to ask the database."""
        timer = loop.call_at(self._ask_at, self._woken.set)
        try:
            await self._woken.wait()
        finally:
            timer.cancel()
