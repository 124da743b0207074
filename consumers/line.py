"""One queue's deliveries on their way through its Intake: turns, trouble and its end. Knows no AMQP.

All deliveries at hand, up to a bound, make one turn: they are handed to the Intake together, and the next turn gathers
meanwhile. What happens when the Intake fails depends on why:

- `StoreUnavailable`, `BrokerUnavailable`: the place is in trouble, not the message. Consuming stops, what is held is
  kept and handed over again with growing pauses. After `patience_seconds` the channel is closed, so that the broker may
  deliver elsewhere (it counts that once); consuming begins again only when `probe` says that the trouble is over.
- anything else is a bug, or one poisonous message: each is tried alone. The one that fails alone, repeatedly, is
  rejected to the dead queue; all others are done. Where every single one fails, the pauses grow: a consumer that is
  broken does not empty its queue into the dead letters.
- no answer: nothing is held longer than `longest_hold_seconds`, whatever the reason. It is given back to the broker.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from consumers.tally import Held, Tally
from domain.backoff import Backoff
from domain.errors import BrokerUnavailable, StoreUnavailable
from domain.transport import Delivery, Intake, QueueHealth, QueueState

_log: Final = logging.getLogger("handrail.consumers")

TRIES_ALONE: Final = 3
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 5.0
_LONGEST_SUSPICION_SECONDS: Final = 30.0

Probe = Callable[[], Awaitable[object]]
"""Raises, whatever it likes, as long as the trouble lasts."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a line."""

    turn_deliveries: int = 256
    patience_seconds: float = 60.0
    longest_hold_seconds: float = 600.0
    probe_seconds: float = 10.0


class Overdue(Exception):
    """The Intake did not come back in time."""


class Line:
    """One queue. What speaks to the broker watches `moved`, and does what `wants_more` and `letting_go` say."""

    def __init__(
        self,
        queue: str,
        intake: Intake,
        *,
        probe: Probe,
        limits: Limits,
        chance: Callable[[], float],
    ) -> None:
        """Nothing is held yet, and the broker not reached."""
        self.queue = queue
        self.moved = asyncio.Event()
        self.letting_go = False
        self.consumed = False
        self._intake = intake
        self._probe = probe
        self._limits = limits
        self._chance = chance
        self._arrived = asyncio.Event()
        self._waiting: deque[Held] = deque()
        self._tally = Tally(self.moved.set)
        self._tally.close()
        self._lost = 0
        self._paused = False
        self._stopping = False
        self._trouble = ""
        self._reach: tuple[QueueState, str] = (QueueState.DISCONNECTED, "not started")
        self._shown = QueueState.DISCONNECTED
        self._since = datetime.now(UTC)
        self._suspicion = Backoff(chance, _FIRST_PAUSE_SECONDS, _LONGEST_SUSPICION_SECONDS)
        self._watch: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._turning = False
        self._quiet = asyncio.Event()

    # --- what the outside asks and tells ----------------------------------------------------------------------------

    @property
    def wants_more(self) -> bool:
        """Whether the queue is to be consumed."""
        return not (self._paused or self._stopping or self._trouble)

    @property
    def wants_channel(self) -> bool:
        """Whether a channel is of use, although nothing may be consumed now: a pause keeps it."""
        return not (self._stopping or self._trouble)

    @property
    def health(self) -> QueueHealth:
        """How the queue is served."""
        state, detail = self._state()
        return QueueHealth(self.queue, state, self._since, detail, len(self._tally.held))

    @property
    def lost_settlements(self) -> int:
        """Settlements that came when their channel had gone: those deliveries come again."""
        return self._lost + self._tally.lost

    def pause(self) -> None:
        """Consume nothing more. Told before acknowledgements that were asked for afterwards."""
        self._paused = True
        self._change()

    def resume(self) -> None:
        """Consume again."""
        self._paused = False
        self._change()

    def found(self, state: QueueState, detail: str = "") -> None:
        """Whether the queue is consumed, missing, or the broker away."""
        self._reach = state, detail
        self._change()

    def begin_channel(self) -> Tally:
        """A fresh channel: its deliveries are counted anew."""
        self.letting_go = False
        self._lost += self._tally.lost
        self._tally = Tally(self.moved.set)
        return self._tally

    def end_channel(self) -> None:
        """The channel has gone, and with it everything that was held: it is delivered again."""
        self.consumed = False
        self._tally.close()
        self._waiting.clear()
        self._stop_watching()
        self._quiet.set()
        self.moved.set()

    def deliver(self, tag: int, delivery: Delivery) -> None:
        """One more delivery."""
        loop = asyncio.get_running_loop()
        self._waiting.append(self._tally.add(tag, loop.time(), delivery))
        if self._watch is None:
            self._watch = loop.call_later(self._limits.longest_hold_seconds, self._let_overdue_go)
        self._arrived.set()

    def start(self) -> None:
        """Hand over what is delivered, from now on."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name=f"turns of {self.queue}")

    def stop(self) -> None:
        """Hand over nothing more, consume nothing more; what is handed over goes on."""
        self._stopping = True
        self._arrived.set()
        self._change()

    async def quiet(self) -> None:
        """Wait until all that was handed over is settled, and told to the broker or lost with its channel."""
        while True:
            if self._stopping and not self.consumed:
                # What came after the last turn is for somebody else: now, and not when all the rest has ended.
                while self._waiting:
                    self._waiting.popleft().give_back()
            handed_over = any(held.handed_over for held in self._tally.held.values())
            if not (self.consumed or self._turning or self._tally.news or handed_over):
                return
            self._quiet.clear()
            await self._quiet.wait()

    def told(self) -> None:
        """The broker has been told all there was to tell."""
        self._quiet.set()

    async def end(self) -> None:
        """Stop at once: an Intake that is still busy is cancelled."""
        self.stop()
        self._stop_watching()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    # --- turns ------------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not self._stopping:
            await self._arrived.wait()
            # Whatever else has come in with this one is handed over with it.
            await asyncio.sleep(0)
            turn = self._gather()
            if not turn:
                self._arrived.clear()
                continue
            self._turning = True
            try:
                await self._turn(turn)
            except Exception:  # noqa: BLE001 - a bug of ours must not end the turns
                _log.exception("%s: a turn failed in a way it must not: its deliveries go back", self.queue)
                self._let_go()
            finally:
                self._turning = False
                self._quiet.set()

    def _gather(self) -> list[Held]:
        turn: list[Held] = []
        waiting = self._waiting
        while waiting and len(turn) < self._limits.turn_deliveries and not self._stopping:
            held = waiting.popleft()
            if held.open:
                turn.append(held)
        return turn

    async def _turn(self, turn: Sequence[Held]) -> None:
        """Hand these over until the Intake has taken each, or each is settled, given back or gone."""
        pauses = Backoff(self._chance, _FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        until: float | None = None
        alone = taken = False
        loop = asyncio.get_running_loop()
        while turn := [held for held in turn if held.open]:
            try:
                if alone:
                    await self._each_alone(turn)
                else:
                    await self._hand_over(turn)
                taken = True
                break
            except (StoreUnavailable, BrokerUnavailable) as error:
                until = until or loop.time() + self._limits.patience_seconds
                self._in_trouble(str(error))
                pause = pauses.failed()
                if self._stopping or loop.time() + pause >= until:
                    self._let_go()
                    break
                await asyncio.sleep(pause)
            except Overdue:
                break
            except Exception:  # noqa: BLE001 - whatever a bug raises
                _log.exception("%s: a turn of %d failed: each is tried alone", self.queue, len(turn))
                alone = True
        if self._trouble and not self._stopping:
            if not taken:
                await self._probed()
            self._trouble = ""
            _log.info("%s: the trouble is over", self.queue)
            self._change()

    async def _hand_over(self, turn: Sequence[Held]) -> None:
        """One call of the Intake, in a task of its own, for as long as the oldest may be held."""
        for held in turn:
            held.handed_over = True
        loop = asyncio.get_running_loop()
        left = min(held.since for held in turn) + self._limits.longest_hold_seconds - loop.time()
        call = loop.create_task(_called(self._intake, [held.delivery for held in turn]))
        try:
            done, _ = await asyncio.wait({call}, timeout=max(0.0, left))
        except asyncio.CancelledError:
            call.cancel()
            await asyncio.wait({call}, timeout=1.0)
            raise
        if not done:
            _log.error("%s: the intake took longer than deliveries may be held: it is cancelled", self.queue)
            call.cancel()
            raise Overdue
        if call.cancelled():
            raise RuntimeError("the intake was cancelled")
        call.result()

    async def _each_alone(self, turn: Sequence[Held]) -> None:
        """Find the ones that fail alone, however often they are tried, and reject them; the others are done."""
        pauses = Backoff(self._chance, _FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        failing = list(turn)
        faults: dict[int, Exception] = {}
        for number in range(TRIES_ALONE):
            if number:
                await asyncio.sleep(pauses.failed())
            tried, failing = failing, []
            for held in tried:
                if not held.open:
                    continue
                try:
                    await self._hand_over([held])
                except (StoreUnavailable, BrokerUnavailable, Overdue):
                    raise
                except Exception as fault:  # noqa: BLE001 - it is logged with the rejection
                    failing.append(held)
                    faults[held.tag] = fault
                else:
                    self._suspicion.succeeded()
            if not failing:
                return
        for held in failing:
            _log.error(
                "%s: message %s fails alone, %d times: it goes to the dead queue",
                self.queue, held.delivery.message_id, TRIES_ALONE, exc_info=faults[held.tag],
            )  # fmt: skip
            held.settle(False)  # noqa: FBT003 - the delivery's one switch
        if len(failing) == len(turn):
            await asyncio.sleep(self._suspicion.failed())

    # --- trouble ----------------------------------------------------------------------------------------------------

    def _in_trouble(self, why: str) -> None:
        if not self._trouble:
            _log.warning("%s: consuming stops until the trouble is over: %s", self.queue, why)
        self._trouble = why or "the store is not available"
        self._change()

    def _let_go(self) -> None:
        """Have the channel closed: the broker delivers again, here or elsewhere, all that is held."""
        _log.warning("%s: %d deliveries go back to the queue", self.queue, len(self._tally.held))
        self.letting_go = True
        self.end_channel()

    async def _probed(self) -> None:
        """Wait until the probe succeeds."""
        pauses = Backoff(self._chance, _FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        while not self._stopping:
            try:
                async with asyncio.timeout(self._limits.probe_seconds):
                    await self._probe()
            except Exception as error:  # noqa: BLE001 - whatever it raises, the trouble is not over
                self._in_trouble(str(error) or type(error).__name__)
                await asyncio.sleep(pauses.failed())
            else:
                return

    def _let_overdue_go(self) -> None:
        """Give back what has been held too long, and look again when the next one will have been."""
        self._watch = None
        loop = asyncio.get_running_loop()
        longest = self._limits.longest_hold_seconds
        overdue = [held for held in self._tally.held.values() if held.since + longest <= loop.time()]
        for held in overdue:
            _log.error(
                "%s: message %s was held for %g seconds: it goes back to the queue",
                self.queue, held.delivery.message_id, longest,
            )  # fmt: skip
            held.give_back()
        oldest = next(iter(self._tally.held.values()), None)
        if oldest is not None:
            self._watch = loop.call_at(oldest.since + longest, self._let_overdue_go)

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    # --- how it stands ----------------------------------------------------------------------------------------------

    def _state(self) -> tuple[QueueState, str]:
        if self._stopping:
            return QueueState.STOPPED, ""
        if self._trouble:
            return QueueState.WAITING, self._trouble
        if self._reach[0] is QueueState.CONSUMING and self._paused:
            return QueueState.PAUSED, ""
        return self._reach

    def _change(self) -> None:
        state, _ = self._state()
        if state is not self._shown:
            self._shown = state
            self._since = datetime.now(UTC)
        self.moved.set()


async def _called(intake: Intake, deliveries: Sequence[Delivery]) -> None:
    await intake(deliveries)
