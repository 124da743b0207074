"""Followers of the log that pass over what cannot be read: one damaged event must not stop the others' workflows.

The damaged event's own workflow stands still by itself: whoever loads it gets the error.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from domain.errors import EventCorrupt, EventUnknown, StoreError, StoreUnavailable
from domain.ports import Notification, Waiting, unheard
from domain.store.application import WorkflowStore
from domain.store.log import LogFollower

_log: Final = logging.getLogger("handrail.deploy")

_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 5.0

_READING: Final = "read the log"


class PatientFollower:
    """A follower that passes over unreadable events, and waits where the store cannot be read."""

    def __init__(
        self, store: WorkflowStore, after: int, *, others_only: bool = False, waiting: Waiting = unheard
    ) -> None:
        """Begin behind the position `after`; `others_only` passes over what this process saves.

        `waiting` hears when the log cannot be read, and when it can be again.
        """
        self._store = store
        self._waiting = waiting
        self._follower: LogFollower = store.follow(after, others_only=others_only)

    @property
    def position(self) -> int:
        """Position of the last event handed out, or passed over."""
        return self._follower.position

    async def next_batch(self, limit: int = 500) -> list[Notification]:
        """Wait until there is something readable, and take it; nothing only when the follower was closed."""
        while True:
            try:
                return await self._follower.next_batch(limit)
            except (EventCorrupt, EventUnknown):
                batch = await self._store.aside(lambda: self._readable(limit))
                self._follower.look_again()
                if batch:
                    return batch
            except StoreUnavailable as error:
                await self._until_readable(error)

    async def _until_readable(self, error: StoreUnavailable) -> None:
        """Wait until the store answers: the next batch may be long in coming, and would not tell."""
        pause = _FIRST_PAUSE_SECONDS
        readable = False
        while not readable:
            _log.warning("the log cannot be read: %s", error)
            self._waiting(_READING, error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            try:
                await self._store.aside(lambda: self._store.recorder.select_log(self._follower.position, 1))
                readable = True
            except StoreUnavailable as again:
                error = again
        self._waiting(_READING, None)

    def close(self) -> None:
        """Follow no longer."""
        self._follower.close()
        self._store.unfollow(self._follower)

    def _readable(self, limit: int) -> list[Notification]:
        batch: list[Notification] = []
        for position, row in self._store.recorder.select_log(self._follower.position, limit):
            try:
                batch.append(Notification(position, self._store.mapper.read(*row)))
            except StoreError as error:
                _log.error("passed over in the log: %s", error)
            self._follower.position = position
        return batch
