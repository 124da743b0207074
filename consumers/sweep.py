"""The sweep: what nobody reports. Claims past their lease, commands past their time, commands that nobody claimed.

All of it is found by partial indexes, so a sweep costs what is under way. Each finding becomes a trigger, decided like
any other; the decision's transaction moves the row and must hit it, so that two sweeps, or a sweep and a late outcome,
never both count.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar, cast

from consumers.claims import ClaimedRow, Claims, OpenRow, Scope
from domain.backoff import ceiling_seconds
from domain.errors import FenceMissed, HandrailError, StoreUnavailable
from domain.faultpoints import reached
from domain.ids import Kind, parse_message_id
from domain.ports import Aside, Clock, Decider, Request
from domain.store.aside import inline
from domain.triggers import LapseAttempt, Wake

_log: Final = logging.getLogger("handrail.consumers")

ROWS_A_SWEEP: Final = 500
PAGES_A_SWEEP: Final = 100
"""Pages of commands that a sweep issues again at most; the next one goes on."""
UNHEARD_SECONDS: Final = 10.0
"""How long a sweep rests at most where nothing is under way."""
_SHARE_OF_LEASE: Final = 0.1
"""While commands are claimed and none is open, the share of a lease by which its end may be found late."""
HELD_OFF_SECONDS: Final = 10.0
"""How long a finding is left alone that could not be decided, its workflow being damaged; doubled every time."""
LONGEST_HELD_OFF_SECONDS: Final = 3_600.0
MOST_HELD_OFF: Final = 20 * ROWS_A_SWEEP
"""So many findings are held off at most: a sweep reads past all of them."""
ENGINE: Final = "engine"
"""The actor of what no person and no worker did."""

_Row = TypeVar("_Row", ClaimedRow, OpenRow)


@dataclass(frozen=True, slots=True)
class Reissued:
    """What is on its way now, and what needs no issuing for a while, which the store has been told."""

    issued: Collection[str]
    held: Collection[str] = ()


class Reissue(Protocol):
    """Sends open commands on their way again."""

    async def __call__(self, rows: Sequence[OpenRow], /) -> Reissued:
        """What became of them; fewer than given where no more can be issued now."""
        ...


class Hearing:
    """Hears that the log has grown: `heard` is for whoever knows."""

    def __init__(self) -> None:
        """Nothing was heard."""
        self._news = asyncio.Event()

    def heard(self) -> None:
        """There may be something new."""
        self._news.set()

    def begin(self) -> None:
        """What was heard until now is known."""
        self._news.clear()

    async def within(self, seconds: float) -> None:
        """Return as soon as there is something new, or after so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()


@dataclass(slots=True)
class _Held:
    """A finding that is left alone until an instant of the loop's clock."""

    until: float
    failures: int = 0


class Sweep:
    """Looks for what nobody reports, and decides on it. `scope` gives the workflows that this process drives."""

    def __init__(
        self,
        *,
        claims: Claims,
        decider: Decider,
        clock: Clock,
        running: Callable[[], Iterable[str]],
        scope: Callable[[], Scope],
        reissue: Reissue,
        aside: Aside = inline,
    ) -> None:
        """`running` are the message ids whose attempts are under way in this process; `aside` asks the store."""
        self._claims = claims
        self._decider = decider
        self._clock = clock
        self._running = running
        self._scope = scope
        self._reissue = reissue
        self._aside = aside
        self._held_off: dict[str, _Held] = {}

    async def take_over(self, only: Scope) -> None:
        """Lapse the claims of former owners and issue what is open: for the holder, who knows that they are dead."""
        left = await self._aside(lambda: self._claims.left_by_others(only))
        await self._lapse(left, "its process is gone", unless_renewed=False)
        if await self._aside(lambda: self._claims.make_due(only)):
            await self.issue_again()

    async def run(self, *, every_seconds: float, hearing: Hearing, besides: Callable[[], Awaitable[object]]) -> None:
        """Sweep until cancelled, and do what is to be done `besides`; as seldom as nothing can be missed.

        A command becomes open by an event, which is heard of. So while none is open the only thing that can happen
        unheard is that a claim runs out, or is handed on; and while there is no command at all, nothing can.
        """
        held_every = max(every_seconds, self._claims.lease_seconds * _SHARE_OF_LEASE)
        while True:
            hearing.begin()
            under_way = await self._aside(self._claims.under_way)
            if any(under_way):
                await self.once()
            await besides()
            await asyncio.sleep(every_seconds)
            if not under_way.is_open:
                await hearing.within(held_every - every_seconds if under_way.is_held else UNHEARD_SECONDS)

    async def once(self) -> None:
        """Sweep once."""
        running, only = set(self._running()), self._scope()
        held = self._held()
        run_out, overdue, expired = await self._aside(lambda: self._look(only, len(held)))
        await self._lapse([row for row in _besides(run_out, held) if row.message_id not in running], "its lease ended")
        await self._lapse(_besides(overdue, held), "no outcome came in time")
        await self._expire(_besides(expired, held))
        await self.issue_again()

    def _look(self, only: Scope, held: int) -> tuple[list[ClaimedRow], list[ClaimedRow], list[OpenRow]]:
        """Claims past their lease; commands past their time that were handed over, and that are open.

        A full page of each, however many of them are among the `held`.
        """
        now, limit = self._clock().timestamp(), ROWS_A_SWEEP + held
        return (
            self._claims.run_out(limit, only),
            self._claims.overdue(now, limit, only),
            self._claims.expired(now, limit, only),
        )

    def _held(self) -> frozenset[str]:
        """The message ids that are left alone now."""
        now = asyncio.get_running_loop().time()
        # What has not failed again long after its time is over: it was decided, by whomever.
        over = now - LONGEST_HELD_OFF_SECONDS
        self._held_off = {name: held for name, held in self._held_off.items() if held.until > over}
        return frozenset(name for name, held in self._held_off.items() if held.until > now)

    def _hold_off(self, message_id: str) -> None:
        """Leave a finding alone that could not be decided: it must not take the place of others for ever."""
        if message_id not in self._held_off and len(self._held_off) >= MOST_HELD_OFF:
            return
        held = self._held_off.setdefault(message_id, _Held(0.0))
        held.failures += 1
        seconds = ceiling_seconds(
            held.failures, first_seconds=HELD_OFF_SECONDS, longest_seconds=LONGEST_HELD_OFF_SECONDS
        )
        held.until = asyncio.get_running_loop().time() + seconds

    async def issue_again(self, *, horizon_seconds: float = 0.0) -> None:
        """Issue the open commands that nobody claimed in time, page by page, as many as the transport takes."""
        for _ in range(PAGES_A_SWEEP):
            rows = await self._not_claimed(horizon_seconds)
            if not rows:
                return
            answer = await self._reissue(rows)
            if answer.issued:
                await self._note_issued(answer.issued)
            if len(answer.issued) + len(answer.held) < len(rows):
                return

    async def _not_claimed(self, horizon_seconds: float) -> list[OpenRow]:
        only = self._scope()
        return await self._aside(
            lambda: self._claims.not_claimed(
                ROWS_A_SWEEP, only, horizon_seconds=horizon_seconds, deferred=not horizon_seconds
            )
        )

    async def _note_issued(self, message_ids: Collection[str]) -> None:
        await self._aside(lambda: self._claims.note_issued(message_ids))

    async def _lapse(self, rows: Sequence[ClaimedRow], reason: str, *, unless_renewed: bool = True) -> None:
        if not rows:
            return
        reached("sweep.before")
        at = self._clock()
        requests = []
        for row in rows:
            command = parse_message_id(row.message_id)
            kind = cast("Kind", command.kind)
            trigger = LapseAttempt(
                step=command.step, kind=kind, attempt=command.attempt, owner=row.owner, reason=reason
            )
            requests.append(
                Request(
                    row.workflow_id,
                    trigger,
                    at,
                    row.message_id,
                    ENGINE,
                    lapses=row.message_id,
                    unless_renewed=unless_renewed,
                )
            )
        await self._decide(requests, [[row.message_id] for row in rows])
        reached("sweep.after")

    async def _expire(self, rows: Sequence[OpenRow]) -> None:
        """Have the workflows of commands past their time look where they stand."""
        findings: dict[str, list[str]] = {}
        for row in rows:
            findings.setdefault(row.workflow_id, []).append(row.message_id)
        await self._decide(self._wakes(findings, "expired"), list(findings.values()))

    async def wake(self, workflow_ids: Iterable[str], cause: str) -> None:
        """Have workflows look where they stand."""
        wakes = self._wakes(dict.fromkeys(workflow_ids), cause)
        await self._decide(wakes, [()] * len(wakes))

    def _wakes(self, workflow_ids: Iterable[str], cause: str) -> list[Request]:
        at = self._clock()
        return [Request(workflow_id, Wake(), at, cause, ENGINE) for workflow_id in workflow_ids]

    async def _decide(self, requests: Sequence[Request], findings: Sequence[Sequence[str]]) -> None:
        """Have each request decided, which stands for the findings of these message ids."""
        answers = await asyncio.gather(*map(self._decider.decide, requests), return_exceptions=True)
        for request, message_ids, answer in zip(requests, findings, answers, strict=True):
            if isinstance(answer, HandrailError) and not isinstance(answer, StoreUnavailable):
                _log.warning("%s: %s", request.cause, answer)
            elif isinstance(answer, BaseException):
                raise answer
            # A fence that was missed says that somebody else has moved the row: it will not be found again.
            undecided = isinstance(answer, HandrailError) and not isinstance(answer, FenceMissed)
            for message_id in message_ids:
                if undecided:
                    self._hold_off(message_id)
                else:
                    self._held_off.pop(message_id, None)


def _besides(rows: Sequence[_Row], held: Collection[str]) -> list[_Row]:
    """Up to a page of the rows that are not held off."""
    return [row for row in rows if row.message_id not in held][:ROWS_A_SWEEP]
