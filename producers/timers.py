"""Timers: one row a workflow, the earliest instant at which something of it falls due.

Due instants live in the workflow's state; the row only says when to wake it, and the decision finds out what is due.
So a lost, doubled or late timer changes nothing but the delay. The row is written in the transaction of the decision
that changed the instant. A workflow whose definition is not loaded has a row without an instant: nothing can fall due
for it, and it is woken when a process starts that may have the definition.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import Any, Final

from domain.errors import HandrailError, StoreUnavailable
from domain.events import WaitSatisfied, WaitStarted
from domain.ports import Along, Aside, Clock, Cursor, Decided, Decider, Request, Transactions
from domain.state import State, wait_key
from domain.store.aside import inline
from domain.triggers import Wake

_log: Final = logging.getLogger("handrail.producers")

TIMERS_SCHEMA: Final[tuple[str, ...]] = (
    "CREATE TABLE IF NOT EXISTS timers (workflow_id TEXT PRIMARY KEY, due_at DOUBLE PRECISION, definition TEXT)",
    "CREATE INDEX IF NOT EXISTS timers_due ON timers (due_at) WHERE due_at IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS timers_definition ON timers (definition) WHERE definition IS NOT NULL",
)
"""`due_at` is an instant of the engine's clock, in seconds since 1970; `definition` names one that is not loaded."""

ENGINE: Final = "engine"
WAKES_A_TURN: Final = 256
LONGEST_SLEEP_SECONDS: Final = 0.5
"""How long the timer sleeps at most, so that it sees what other processes have set."""
UNTOLD_SECONDS: Final = 5.0
"""The same where it is told when others may have set something, and is not."""
HELD_OFF_SECONDS: Final = 10.0
"""How long a workflow is left alone that could not be moved although something of it is due."""

_DEFINITION: Final = wait_key("", "definition")

Scope = Collection[str] | None


class TimersTurn:
    """The timers' statements of one turn."""

    __slots__ = ("_kept", "_over")

    def __init__(self, kept: list[tuple[Any, ...]], over: list[tuple[str]]) -> None:
        """Rows to write, and workflows whose row goes."""
        self._kept = kept
        self._over = over

    def run(self, cursor: Cursor) -> None:
        """Run them."""
        if self._kept:
            cursor.executemany(
                "INSERT INTO timers (workflow_id, due_at, definition) VALUES (?, ?, ?) ON CONFLICT (workflow_id) "
                "DO UPDATE SET due_at = excluded.due_at, definition = excluded.definition",
                self._kept,
            )
        if self._over:
            cursor.executemany("DELETE FROM timers WHERE workflow_id = ?", self._over)


class TimersCompanion:
    """Keeps the rows true to the workflows' states. `armed` hears of the earliest instant that a turn has set."""

    def __init__(self) -> None:
        """Nobody listens yet."""
        self.armed: Callable[[datetime], None] = _nobody
        self._earliest: datetime | None = None

    def along(self, turn: Sequence[Decided]) -> Sequence[Along]:
        """The statements of a turn: nothing, where no instant has changed."""
        before: dict[str, datetime | None] = {}
        after: dict[str, State] = {}
        changed: set[str] = set()
        for decided in turn:
            workflow_id = decided.request.workflow_id
            if workflow_id not in after:
                before[workflow_id] = decided.armed_before
                after[workflow_id] = decided.state
            for recorded in decided.events:
                event = recorded.event
                if type(event) in _WAITS and getattr(event, "reason", None) == "definition":
                    changed.add(workflow_id)
        kept: list[tuple[Any, ...]] = []
        over: list[tuple[str]] = []
        self._earliest = None
        for workflow_id, state in after.items():
            due = state.next_due
            if due == before[workflow_id] and workflow_id not in changed:
                continue
            if _DEFINITION in state.waits and state.ended is None:
                kept.append((workflow_id, None, f"{state.definition} {state.definition_version}"))
            elif due is None:
                over.append((workflow_id,))
            else:
                kept.append((workflow_id, due.timestamp(), None))
                if self._earliest is None or due < self._earliest:
                    self._earliest = due
        return (TimersTurn(kept, over),) if kept or over else ()

    def committed(self, _: Sequence[Decided]) -> None:
        """Say what was set."""
        if self._earliest is not None:
            earliest, self._earliest = self._earliest, None
            self.armed(earliest)


_WAITS: Final = frozenset({WaitStarted, WaitSatisfied})


class Timer:
    """Wakes the workflows that fall due; one process of a store does it at a time. `scope` gives those it drives."""

    def __init__(
        self,
        *,
        store: Transactions,
        decider: Decider,
        clock: Clock,
        scope: Callable[[], Scope],
        told: bool = False,
        aside: Aside = inline,
    ) -> None:
        """Nothing is woken before `run`. `aside` asks the store.

        It is `told` if somebody calls `heard` whenever another process may have set something.
        """
        self._told = told
        self._heard = False
        self._idle = False
        self._store = store
        self._aside = aside
        self._decider = decider
        self._clock = clock
        self._scope = scope
        self._woken = asyncio.Event()
        self._next: datetime | None = None
        self._held_off: dict[str, float] = {}

    def armed(self, at: datetime) -> None:
        """An instant was set: look again, if it is earlier than the one that is waited for."""
        if self._next is None or at < self._next:
            self._woken.set()

    def heard(self) -> None:
        """Another process may have set something: look, but not all the time."""
        self._heard = True
        if self._idle:
            self._woken.set()

    def look_again(self) -> None:
        """The clock was set, or the scope has grown."""
        self._woken.set()

    async def run(self) -> None:
        """Wake what falls due, until cancelled."""
        while True:
            self._woken.clear()
            self._heard = False
            await self.fire()
            await self._sleep()

    async def fire(self) -> int:
        """Wake everything that is due now; how many workflows were woken. Raises StoreUnavailable."""
        woken = 0
        while due := await self._due():
            at = self._clock()
            answers = await self._wake([workflow_id for workflow_id, _ in due], at, "timer")
            for (workflow_id, _), answer in zip(due, answers, strict=True):
                if isinstance(answer, BaseException) or _is_due(answer.state, at):
                    self._hold_off(workflow_id, answer)
            woken += len(due)
        return woken

    async def wake_definitions(self, known: Collection[str] | None = None) -> list[str]:
        """Wake the workflows that wait for a definition which this process may have; which they are.

        `known` are those it has, as "name version"; None: it wakes all that wait for any.
        """
        names = () if known is None else tuple(known)
        where = "definition IS NOT NULL" if known is None else f"definition IN ({', '.join('?' * len(names))})"
        rows = await self._rows(where, names) if names or known is None else []
        found = [workflow_id for workflow_id, _ in rows]
        await self.wake(found, "definition loaded")
        return found

    async def wake(self, workflow_ids: Sequence[str], cause: str) -> None:
        """Have workflows look where they stand; one that cannot be moved holds up no other. Raises StoreUnavailable.

        A turn of them at a time: there may be very many, and each answer holds its workflow's state.
        """
        for start in range(0, len(workflow_ids), WAKES_A_TURN):
            for answer in await self._wake(workflow_ids[start : start + WAKES_A_TURN], self._clock(), cause):
                if isinstance(answer, HandrailError) and not isinstance(answer, StoreUnavailable):
                    _log.warning("%s: a workflow could not be woken: %s", cause, answer)
                elif isinstance(answer, BaseException):
                    raise answer

    async def _wake(self, workflow_ids: Sequence[str], at: datetime, cause: str) -> list[Decided | BaseException]:
        requests = [Request(workflow_id, Wake(), at, cause, ENGINE) for workflow_id in workflow_ids]
        answers: list[Awaitable[Decided]] = [self._decider.decide(request) for request in requests]
        return await asyncio.gather(*answers, return_exceptions=True)

    def _hold_off(self, workflow_id: str, answer: Decided | BaseException) -> None:
        """Leave a workflow alone for a while that could not be moved: nothing may loop.

        Trouble with the store is not the workflow's, and whoever waits is to hear of it: it is raised.
        """
        if isinstance(answer, BaseException):
            if isinstance(answer, StoreUnavailable) or not isinstance(answer, HandrailError):
                raise answer
            _log.warning("workflow %s could not be woken: %s", workflow_id, answer)
        self._held_off[workflow_id] = asyncio.get_running_loop().time() + HELD_OFF_SECONDS

    async def _due(self) -> list[tuple[str, float]]:
        now = asyncio.get_running_loop().time()
        self._held_off = {name: until for name, until in self._held_off.items() if until > now}
        self._next = await self._earliest()
        if self._next is None or self._next > self._clock():
            return []
        rows = await self._rows("due_at <= ?", (self._clock().timestamp(),), limit=WAKES_A_TURN + len(self._held_off))
        return [(row[0], row[1]) for row in rows if row[0] not in self._held_off]

    async def _earliest(self) -> datetime | None:
        rows = await self._rows("due_at IS NOT NULL", (), limit=1 + len(self._held_off))
        instants = [row[1] for row in rows if row[0] not in self._held_off]
        return datetime.fromtimestamp(min(instants), tz=self._clock().tzinfo) if instants else None

    async def _rows(self, where: str, parameters: tuple[Any, ...], *, limit: int = 2**31) -> list[tuple[str, float]]:
        scope = self._scope()
        return await self._aside(lambda: self._select(_chunks(scope), where, parameters, limit))

    def _select(
        self, chunks: list[list[str]], where: str, parameters: tuple[Any, ...], limit: int
    ) -> list[tuple[str, float]]:
        found: list[tuple[str, float]] = []
        for chunk in chunks:
            within = f" AND workflow_id IN ({', '.join('?' * len(chunk))})" if chunk else ""
            statement = f"SELECT workflow_id, due_at FROM timers WHERE {where}{within} ORDER BY due_at LIMIT ?"  # noqa: S608 - fixed parts
            found += [(row[0], row[1]) for row in self._store.query(statement, (*parameters, *chunk, limit))]
        return found

    async def _sleep(self) -> None:
        """Until the next instant, until something is set, or long enough to look what other processes have set."""
        await self._wait(LONGEST_SLEEP_SECONDS)
        if self._told and not (self._heard or self._woken.is_set()):
            self._idle = True
            try:
                await self._wait(UNTOLD_SECONDS)
            finally:
                self._idle = False

    async def _wait(self, seconds: float) -> None:
        """Until the next instant, or until something is set; so long at most."""
        if self._next is not None:
            seconds = min(seconds, max(0.0, (self._next - self._clock()).total_seconds()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()


def _is_due(state: State, at: datetime) -> bool:
    """Whether something is due still, after the workflow was woken for it."""
    due = state.next_due
    return due is not None and due <= at and _DEFINITION not in state.waits


def _chunks(scope: Scope) -> list[list[str]]:
    if scope is None:
        return [[]]
    names = sorted(scope)
    return [names[start : start + WAKES_A_TURN] for start in range(0, len(names), WAKES_A_TURN)]


def _nobody(_: datetime) -> None:
    """Nobody waits for it."""
