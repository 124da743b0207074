"""How far the log is, and how far those who follow it are behind: asked of the store where it is told, by any process.

A relay or a projector that is dead cannot report itself. So every process tells of both, from the positions that they
write, with two statements at most; an answer holds for a second, and a store that hangs is asked by one question only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from domain.errors import StoreError
from domain.ports import Aside, Clock
from domain.store.application import WorkflowStore
from domain.store.aside import inline
from producers.parked import LET_GO
from producers.relay import RELAY
from projections.heartbeat import COMPLETED
from projections.schema import POSITION

_log: Final = logging.getLogger("handrail.deploy")

HOLDS_SECONDS: Final = 1.0
"""How long an answer is good for."""
ANSWER_SECONDS: Final = 2.0
"""How long whoever asks waits for the store; then what was known before is told."""
MOST_COUNTED: Final = 100_000
"""Rows counted at most: a million would be no worse to know of than this."""

FOLLOWERS: Final[Mapping[str, str]] = {"relay": RELAY, "views": POSITION}
"""Who follows the log, and the name of its position."""

_NAMES: Final = (*FOLLOWERS.values(), LET_GO, COMPLETED)
_POSITIONS: Final = ", ".join(["(SELECT position FROM positions WHERE name = ?)"] * len(_NAMES))
_COUNTS: Final = ", ".join(
    f"(SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT {MOST_COUNTED}) AS counted)"  # noqa: S608 - names of ours
    for table in ("relay_parked", "messages_held", "goals_held")
)
_STANDING: Final = (
    f"SELECT (SELECT coalesce(max(id), 0) FROM stored_events), {_POSITIONS}, "  # noqa: S608 - fixed parts
    f"(SELECT min(due_at) FROM timers WHERE due_at IS NOT NULL), {_COUNTS}"
)
_NEXT: Final = "(SELECT min(id) FROM stored_events WHERE id > ?)"
_FIRST_BEHIND: Final = (
    "SELECT id, originator_id, originator_version, topic, state FROM stored_events "  # noqa: S608 - names of ours
    f"WHERE id IN ({', '.join([_NEXT] * len(FOLLOWERS))}) ORDER BY id"
)


@dataclass(frozen=True, slots=True)
class Follower:
    """One who follows the log: events it has not had yet, and since when the first of them has been there."""

    position: int
    behind: int = 0
    since: datetime | None = None

    def seconds(self, now: datetime) -> float:
        """How long the first event that it has not had has waited."""
        return 0.0 if self.since is None else max(0.0, (now - self.since).total_seconds())


@dataclass(frozen=True, slots=True)
class Progress:
    """What the store says. Instants are in seconds since 1970, 0 where there is none; counts end at MOST_COUNTED."""

    newest: int = 0
    followers: Mapping[str, Follower] = field(default_factory=dict)
    timer_due: float = 0.0
    relay_parked: int = 0
    messages_held: int = 0
    goals_held: int = 0
    announcements_let_go: int = 0
    heartbeat_completed: float = 0.0


def read_progress(store: WorkflowStore) -> Progress:
    """Ask the store: one statement, and a second one where somebody is behind. Raises StoreError."""
    ((newest, *positions, due, parked, messages, goals),) = store.query(_STANDING, _NAMES)
    at = dict(zip(_NAMES, (int(position or 0) for position in positions), strict=True))
    places = {name: at[position] for name, position in FOLLOWERS.items()}
    behind = any(place < newest for place in places.values())
    rows = store.query(_FIRST_BEHIND, tuple(places.values())) if behind else []
    return Progress(
        newest=newest,
        followers={name: _follower(store, place, newest, rows) for name, place in places.items()},
        timer_due=due or 0.0,
        relay_parked=parked,
        messages_held=messages,
        goals_held=goals,
        announcements_let_go=at[LET_GO],
        heartbeat_completed=float(at[COMPLETED]),
    )


def _follower(store: WorkflowStore, place: int, newest: int, rows: list[tuple[object, ...]]) -> Follower:
    first = next((row for row in rows if int(str(row[0])) > place), None)
    if place >= newest or first is None:
        return Follower(place)
    try:
        since = store.mapper.read(*first[1:]).timestamp  # type: ignore[arg-type]  # the columns of an event
    except StoreError:  # what cannot be read is passed over by those who follow, and told by them
        since = None
    return Follower(place, newest - place, since)


class KnownProgress:
    """What the store said last, for whoever tells of it."""

    def __init__(
        self,
        read: Callable[[], Progress],
        clock: Clock,
        *,
        aside: Aside = inline,
        time: Callable[[], float] | None = None,
    ) -> None:
        """`read` asks the store, `aside` is where; `time` is the event loop's clock."""
        self._read = read
        self._clock = clock
        self._aside = aside
        self._time = time
        self._asked_at = float("-inf")
        self._asking: asyncio.Task[None] | None = None
        self.known: Progress | None = None
        """Nothing before the store has answered once."""

    @property
    def now(self) -> datetime:
        """The engine's clock."""
        return self._clock()

    async def refresh(self) -> None:
        """Ask again, unless that was a moment ago; a store that does not answer is waited for no longer than this."""
        now = (self._time or asyncio.get_running_loop().time)()
        if self._asking is None and now - self._asked_at >= HOLDS_SECONDS:
            self._asked_at = now
            self._asking = asyncio.create_task(self._ask(), name="progress")
        if self._asking is not None:
            await asyncio.wait({self._asking}, timeout=ANSWER_SECONDS)

    async def _ask(self) -> None:
        try:
            self.known = await self._aside(self._read)
        except StoreError as error:
            _log.debug("how far the log is was not said: %s", error)
        finally:
            self._asking = None
