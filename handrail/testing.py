"""Test your own workflow definitions: with stubs for activities, with time that skips, with crashes, delivered twice.

A rehearsal runs a definition on a real store in a folder of its own, with the real engine; only time is made: where
nothing but time can move the workflow (a backoff, a wait for a time), the clock jumps there.

    >>> import asyncio
    >>> from pydantic import BaseModel
    >>> from handrail import Definition, Step, Transient, activity
    >>> from handrail.testing import Rehearsal

    >>> class Order(BaseModel):
    ...     item: str
    >>> class Receipt(BaseModel):
    ...     number: int
    >>> @activity(effect="pure")
    ... async def find_price(order: Order) -> int:
    ...     return 12
    >>> @activity(effect="idempotent", pivot=True)
    ... async def charge(order: Order) -> Receipt:
    ...     raise NotImplementedError("calls the bank")
    >>> shop = Definition("shop", steps=[Step("price", find_price), Step("pay", charge)])

    >>> async def a_busy_bank_is_asked_again() -> None:
    ...     stubs = {charge: [Transient("busy"), Receipt(number=7)]}
    ...     async with Rehearsal(shop, stubs=stubs) as rehearsal:
    ...         state = await rehearsal.run("shop", input={"item": "hat"})
    ...         print(state.status, rehearsal.output("pay"))
    ...         print(rehearsal.names("RetryScheduled", "StepSucceeded"))
    ...         first, second = rehearsal.calls(charge)
    ...         print(first.idempotency_key == second.idempotency_key)
    >>> asyncio.run(a_busy_bank_is_asked_again())
    completed {'number': 7}
    ['StepSucceeded', 'RetryScheduled', 'StepSucceeded']
    True

`Rehearsal(…, crash_at=3)` kills the engine at its third commit point and starts it again, and `rehearse_crashes` does
so at each in turn; `deliver_twice=True` delivers every command twice. A crash within one process cannot stop a thread:
activities that are plain functions go on behind it.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from deploy.runtime import Runtime
from deploy.settings import Settings
from deploy.staging import Call, Crash, Crashes, Stub, deliver_twice, moved_by_time, staged, under_way
from domain import events
from domain.definitions import ActivityType, Definition
from domain.errors import Refused
from domain.events import Event
from domain.faultpoints import arm
from domain.ports import Decided
from domain.recorded import RecordedEvent
from domain.state import State
from domain.triggers import RecordDecision, Trigger

__all__ = ["BEGINNING", "Call", "Clock", "Crash", "Rehearsal", "Stub", "events", "rehearse_crashes"]

BEGINNING: Final = datetime(2030, 1, 1, 9, 0, tzinfo=UTC)
"""When a rehearsal begins, unless it is told otherwise."""

_Answer = TypeVar("_Answer")
_NOT_OPEN: Final = "the rehearsal is not open: use it within `async with Rehearsal(…) as rehearsal`"


class Clock:
    """The time of a rehearsal: stands still until it is advanced."""

    def __init__(self, at: datetime = BEGINNING) -> None:
        """Stand at this instant."""
        self.at = at

    def __call__(self) -> datetime:
        """The present instant."""
        return self.at

    def advance(self, by: timedelta) -> None:
        """Go on by so much."""
        self.at += by


class Rehearsal:
    """One definition, run for a test: `async with Rehearsal(definition, stubs={…}) as rehearsal`.

    `stubs` replace activities by name or by the activity itself; what is not stubbed is called for real. `others` are
    further definitions, for children. `settings` bound the engine. `home` is kept where it is given.
    """

    def __init__(  # noqa: PLR0913 - what a test may want otherwise
        self,
        definition: Definition,
        *,
        others: Sequence[Definition] = (),
        stubs: Mapping[ActivityType | str, Stub] | None = None,
        clock: Clock | None = None,
        crash_at: int | None = None,
        deliver_twice: bool = False,
        requested_by: str = "tester",
        settings: Settings | None = None,
        home: Path | None = None,
        patience_seconds: float = 30.0,
    ) -> None:
        """Nothing runs yet. Raises Refused where a stub stands for no activity of the definitions."""
        named = {one if isinstance(one, str) else one.name: stub for one, stub in (stubs or {}).items()}
        self.clock = clock if clock is not None else Clock()
        self.requested_by = requested_by
        self._calls: list[Call] = []
        self._definitions = [staged(one, named, self._calls) for one in (definition, *others)]
        unknown = set(named) - {name for one in self._definitions for name in one.activities}
        if unknown:
            raise Refused(f"stubs for {', '.join(sorted(unknown))}: the definitions have no such activity")
        self._crashes = Crashes(crash_at)
        self._deliver_twice = deliver_twice
        self._settings = settings if settings is not None else Settings(sweep_seconds=0.05, closing_grace_seconds=1.0)
        self._patience_seconds = patience_seconds
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._home = home
        self._runtime: Runtime | None = None
        self._number = 0
        self.workflow_id = ""

    async def __aenter__(self) -> Self:
        """Open the engine in its folder."""
        if self._home is None:
            self._folder = tempfile.TemporaryDirectory(prefix="handrail-")
        arm(self._crashes.reached)
        await self._surviving(self._open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the engine and remove its folder."""
        self._crashes.crash_at = None
        try:
            if self._runtime is not None:
                await self._runtime.__aexit__(kind, error, trace)
        finally:
            arm(None)
            if self._folder is not None:
                self._folder.cleanup()

    # --- acting -----------------------------------------------------------------------------------------------------

    async def run(self, goal: str | None = None, input: Mapping[str, Any] | None = None, **options: Any) -> State:
        """Start a workflow (`options` as there) and run it to its rest: over, or waiting for a person or a signal."""
        await self.start(goal, input, **options)
        return await self.rest()

    async def start(self, goal: str | None = None, input: Mapping[str, Any] | None = None, **options: Any) -> str:
        """Start a workflow, the one that all further acts are about; its id."""
        self._number += 1
        self.workflow_id = options.pop("workflow_id", None) or f"rehearsal_{self._number}"
        options = {"requested_by": self.requested_by, "workflow_id": self.workflow_id, **options}
        definition = options.pop("definition", self._definitions[0])
        words = goal if goal is not None else definition.name
        return await self._surviving(lambda: self.runtime.start(words, definition, input, **options))

    async def rest(self) -> State:
        """Go on until the workflow is over, or only a person or a signal can move it; time skips where only it can."""
        async with asyncio.timeout(self._patience_seconds):
            return await self._surviving(self._rest)

    async def decide(self, trigger: Trigger, *, actor: str | None = None) -> State:
        """Hand any trigger to the workflow, then go on to its rest."""
        who = actor if actor is not None else self.requested_by
        await self._surviving(lambda: self._decide(trigger, who))
        return await self.rest()

    async def approve(
        self, by: str, *, step: str | None = None, controls: Sequence[str] = (), reason: str = ""
    ) -> State:
        """Grant what waits for approval (of that step, if several do), then go on to the next rest."""
        return await self._vote("approve", by, step, tuple(controls), reason)

    async def reject(self, by: str, *, step: str | None = None, reason: str = "") -> State:
        """Reject what waits for approval, then go on to the next rest."""
        return await self._vote("reject", by, step, (), reason)

    async def signal(self, name: str, correlation: str, payload: Any = None) -> State:
        """Send a signal, then go on to the next rest."""
        message_id = f"rehearsed/{name}/{correlation}/{self.state.version}"
        await self._surviving(
            lambda: self.runtime.signal(name, correlation, payload, sender=self.requested_by, message_id=message_id)
        )
        return await self.rest()

    async def skip(self, by: timedelta) -> State:
        """Let so much time pass: whatever falls due in it is decided in its order; then go on to the next rest."""
        self.clock.advance(by)
        self.runtime.look_at_clock()
        await self._surviving(self._wake)
        return await self.rest()

    async def crash(self) -> State:
        """Kill the engine as it stands, start it again, and go on to the next rest."""
        await self._reopen()
        return await self.rest()

    # --- looking ----------------------------------------------------------------------------------------------------

    @property
    def runtime(self) -> Runtime:
        """The engine, as long as it lives."""
        if self._runtime is None:
            raise Refused(_NOT_OPEN)
        return self._runtime

    @property
    def home(self) -> Path:
        """The folder that the rehearsal takes place in."""
        if self._home is None and self._folder is None:
            raise Refused(_NOT_OPEN)
        return Path(self._folder.name) if self._folder is not None else Path(self._home or "")

    @property
    def state(self) -> State:
        """The workflow's state."""
        return self.runtime.store.load(self.workflow_id)

    @property
    def commit_points(self) -> int:
        """How many commit points were passed so far, each of which a crash could hit."""
        return self._crashes.points

    @property
    def crashed(self) -> bool:
        """Whether the crash that was asked for has happened."""
        return self._crashes.fired

    def output(self, step: str) -> Any:
        """What a settled step gave."""
        return self.state.settled[step].output

    def history(self) -> list[RecordedEvent]:
        """All events with their headers, oldest first; the chain of digests is verified."""
        return self.runtime.store.read(self.workflow_id, verified=True)

    def events(self, *names: str) -> list[Event]:
        """The events of these stored names (of all, where none is given), oldest first."""
        return [one.event for one in self.history() if not names or one.event.stored_name in names]

    def names(self, *names: str) -> list[str]:
        """The stored names of those events."""
        return [event.stored_name for event in self.events(*names)]

    def calls(self, activity: ActivityType | str | None = None) -> list[Call]:
        """The calls of an activity (of all, where none is given), oldest first, stubs or not."""
        name = activity.name if isinstance(activity, ActivityType) else activity
        return [call for call in self._calls if name is None or call.activity == name]

    # --- the engine's lives -----------------------------------------------------------------------------------------

    async def _open(self) -> None:
        runtime = Runtime(
            self.home,
            definitions=self._definitions,
            examples=False,
            clock=self.clock,
            settings=self._settings,
            views=False,
        )
        self._runtime = runtime
        await runtime.__aenter__()
        if self._deliver_twice and runtime.roles is not None:
            deliver_twice(runtime.roles)

    async def _reopen(self) -> None:
        """Drop the engine as it stands, and open another in the same folder."""
        runtime, self._runtime = self._runtime, None
        if runtime is not None:
            await runtime.abandon()
        self._crashes.died.clear()
        await self._surviving(self._open)

    async def _surviving(self, act: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """Do something, however often the engine is killed meanwhile."""
        died = self._crashes.died
        while True:
            acting, killed = asyncio.ensure_future(act()), asyncio.ensure_future(died.wait())
            try:
                await asyncio.wait([acting, killed], return_when=asyncio.FIRST_COMPLETED)
                if not died.is_set():
                    return await acting
            finally:
                acting.cancel()
                killed.cancel()
            await asyncio.gather(acting, killed, return_exceptions=True)
            await self._reopen()

    # --- moving on --------------------------------------------------------------------------------------------------

    async def _rest(self) -> State:
        while True:
            family = self._family(self.workflow_id)
            state = family[0]
            if state.ended is not None or not under_way(family):
                due = None if state.ended is not None else moved_by_time(family)
                if due is None:
                    return state
                self.clock.at = max(self.clock.at, due)
                self.runtime.look_at_clock()
            await self._next_event(family)

    def _family(self, workflow_id: str) -> list[State]:
        """The workflow, and the children that it waits for, as far as they have begun."""
        state = self.runtime.store.load(workflow_id)
        family = [state]
        for wait in state.waits.values():
            if wait.reason == "child" and wait.name and self.runtime.store.exists(wait.name):
                family += self._family(wait.name)
        return family

    async def _next_event(self, family: Sequence[State]) -> None:
        """Until one of these workflows goes on; or for a moment, since a child may begin that nobody knows of yet."""
        nexts = [asyncio.ensure_future(self._first_event(state)) for state in family]
        try:
            await asyncio.wait(nexts, timeout=0.05, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in nexts:
                one.cancel()
            await asyncio.gather(*nexts, return_exceptions=True)

    async def _first_event(self, state: State) -> None:
        async for _ in self.runtime.follow(state.workflow_id, state.version):
            return

    async def _wake(self) -> None:
        """Have everything decided that is due by now."""
        roles = self.runtime.roles
        if roles is not None:
            await roles.timer.fire()
            await roles.sweep.once()

    async def _decide(self, trigger: Trigger, actor: str) -> Decided:
        return await self.runtime.decide(self.workflow_id, trigger, actor=actor)

    async def _vote(self, decision: Any, by: str, step: str | None, controls: tuple[str, ...], reason: str) -> State:
        ballots = self.state.ballots
        if step is None and len(ballots) > 1:
            raise Refused(f"{decision}: several steps wait for approval, {', '.join(ballots)}: give step=…")
        ballot = next(iter(ballots.values()), None) if step is None else ballots.get(step)
        if ballot is None:
            raise Refused(f"{decision}: {'nothing' if step is None else step} waits for approval")
        asked = ballot.request
        trigger = RecordDecision(
            approval_id=asked.approval_id,
            round=asked.round,
            digest=asked.digest,
            decision=decision,
            decided_by=by,
            reason=reason,
            controls=controls,
        )
        return await self.decide(trigger, actor=by)


async def rehearse_crashes(play: Callable[[Rehearsal], Awaitable[None]], definition: Definition, **options: Any) -> int:
    """Play a scene once to count its commit points, then once for each of them with a crash there; how many there were.

    `play` acts and asserts; it must hold with and without a crash. `options` are those of Rehearsal; `stubs` may be a
    function that makes them, for stubs that are lists of answers.
    """
    stubs = options.pop("stubs", None)

    def rehearsal(crash_at: int | None) -> Rehearsal:
        return Rehearsal(definition, stubs=stubs() if callable(stubs) else stubs, crash_at=crash_at, **options)

    async with rehearsal(None) as first:
        await play(first)
        points = first.commit_points
    for point in range(1, points + 1):
        async with rehearsal(point) as again:
            await play(again)
    return points
