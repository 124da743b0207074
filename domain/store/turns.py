"""Turns on the event loop: whatever requests are at hand are decided and saved together.

A turn is as small as the load is light: a request that comes alone is decided at once, and while one turn is being
saved the requests for the next gather. No clock is involved.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Sequence
from datetime import datetime
from typing import Final, Protocol

from domain.ports import Aside, Decided, Request
from domain.store.aside import AT_ONCE, OnLoop, Sayings
from domain.tracing import Traces

REQUESTS_A_TURN: Final = 256


class DecidesTurns(Protocol):
    """What the turns are made of: the store."""

    def decide_turn(self, requests: Sequence[Request], sayings: Sayings = AT_ONCE) -> list[Decided]:
        """What became of each request; raises StoreUnavailable. What became true is said by way of `sayings`."""
        ...


class TurnMeter(Protocol):
    """Counts turns, and how long they take. Nothing is raised here."""

    def turned(self, decisions: int, seconds: float) -> None:
        """A turn with so many decisions is in the store; `seconds` is how long deciding and saving took."""
        ...


class Turns:
    """The port `Decider`: answers a request when its decision is in the store."""

    def __init__(self, store: DecidesTurns, *, limit: int = REQUESTS_A_TURN, runner: Aside | None = None) -> None:
        """`limit` is how many requests a turn has at most.

        `runner` runs turns elsewhere: in one thread, for a store whose database is a server. Without it they run
        inline. Either way followers and companions hear of them on the event loop, before who asked does.
        """
        self._store = store
        self._limit = limit
        self._runner = runner
        self._queue: deque[tuple[Request, asyncio.Future[Decided]]] = deque()
        self._pump: asyncio.Task[None] | None = None
        self.traces: Traces | None = None
        self.meter: TurnMeter | None = None

    def decide(self, request: Request) -> Awaitable[Decided]:
        """Put a request into the next turn. Awaiting raises the request's own error, or StoreUnavailable."""
        answer: asyncio.Future[Decided] = asyncio.get_running_loop().create_future()
        self._queue.append((request, answer))
        if self._pump is None:
            self._pump = asyncio.create_task(self._run(), name="turns")
        return answer

    async def drained(self) -> None:
        """Wait until every request so far is answered."""
        while self._pump is not None:
            await asyncio.wait([self._pump])

    async def _run(self) -> None:
        try:
            while self._queue:
                await self._gather()
                await self._turn([self._queue.popleft() for _ in range(min(self._limit, len(self._queue)))])
        finally:
            self._pump = None
            while self._queue:  # only where the loop is being ended
                self._queue.popleft()[1].cancel()

    async def _gather(self) -> None:
        """Let those who are about to ask do so: go on as soon as nobody new has come."""
        before = 0
        while before < len(self._queue) < self._limit:
            before = len(self._queue)
            await asyncio.sleep(0)

    async def _turn(self, members: Sequence[tuple[Request, asyncio.Future[Decided]]]) -> None:
        requests = [request for request, _ in members]
        traces = self.traces
        began = None if traces is None else traces.instant()
        loop = asyncio.get_running_loop()
        seconds = loop.time()
        try:
            if self._runner is None:
                turn = self._store.decide_turn(requests)
            else:
                sayings = OnLoop(loop)
                turn = await self._runner(lambda: self._store.decide_turn(requests, sayings))
        except BaseException as error:
            if traces is not None and began is not None:
                traces.failed(began, requests, error)
            for _, answer in members:
                if not answer.done():
                    answer.set_exception(error)
            if isinstance(error, KeyboardInterrupt | SystemExit | asyncio.CancelledError):
                raise
            return
        self._tell(began, loop.time() - seconds, turn)
        for (_, answer), decided in zip(members, turn, strict=True):
            if answer.done():  # whoever asked has gone; what was decided stays decided
                continue
            if decided.error is not None:
                answer.set_exception(decided.error)
            else:
                answer.set_result(decided)

    def _tell(self, began: datetime | None, seconds: float, turn: Sequence[Decided]) -> None:
        """Tell those who trace and count."""
        if self.traces is not None and began is not None:
            self.traces.decided(began, turn)
        if self.meter is not None and (decisions := sum(one.error is None for one in turn)):
            self.meter.turned(decisions, seconds)
