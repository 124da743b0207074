"""Runs attempts: a claimed command in, the activity called, its one outcome recorded.

Async functions run on the event loop, plain ones in a bounded pool of threads. The outcome's events and the
completion of the claim are one transaction, by the decider. Guarantees:

- nothing that author code raises or returns harms the runner, SystemExit included;
- an attempt runs no longer than its start-to-finish time-out, and never past its step's schedule-to-finish one. Code
  that does not let itself be stopped (a thread cannot be) is recorded as timed out while it still runs; when it ends
  after all, that is recorded too, as a late outcome;
- a process that ends leaves the claims of what it ran, and records no failure: the next holder lapses them;
- trouble with the store is not the attempt's fault: its outcome is kept, and recorded as soon as the store is back.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, cast

from consumers.attempts import Activities, Attempt, AttemptMeter, Occupied, Rooms, Stop
from consumers.context import AttemptContext, Surroundings
from consumers.deadlines import Deadlines
from consumers.outcomes import Ending, raised, returned, timed_out, validated_input
from consumers.threads import Raised, ThreadPool
from domain.errors import HandrailError, StoreUnavailable
from domain.faultpoints import reached
from domain.ids import Kind
from domain.ports import Clock, Command, Decider, Definitions, Request
from domain.tracing import Traces
from domain.triggers import RecordOutcome

_log: Final = logging.getLogger("handrail.consumers")

_NOTHING: Final = timedelta(0)
_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of one runner.

    `cancel_grace_seconds` is what a cancelled workflow grants its attempts; `give_up_seconds` is how long code that
    was told to stop is waited for before it is recorded as timed out.
    """

    attempts: int = 512
    threads: int = 32
    cancel_grace_seconds: float = 30.0
    give_up_seconds: float = 5.0


class ActivityRunner:
    """The attempts of one process. `worker` names it in the record; `started` and `ended` hear of each."""

    def __init__(
        self,
        *,
        decider: Decider,
        definitions: Definitions,
        surroundings: Surroundings,
        clock: Clock,
        worker: str,
        bounds: Bounds | None = None,
    ) -> None:
        """Run nothing yet. Must be made within the event loop that it is to use."""
        self.bounds = bounds or Bounds()
        self.activities = Activities(definitions)
        self.running: dict[str, Attempt] = {}
        self.serves: Callable[[str], bool] = _every_queue
        self.started: Callable[[Sequence[Command]], None] = _nobody
        self.ended: Callable[[Command], None] = _nobody
        self.trouble: Callable[[HandrailError], None] = _nobody
        self.traces: Traces | None = None
        self.meter: AttemptMeter | None = None
        self._decider = decider
        self._surroundings = surroundings
        self._clock = clock
        self._worker = worker
        self._loop = asyncio.get_running_loop()
        self._deadlines = Deadlines(self._loop, self._time_out)
        self._threads = ThreadPool(self.bounds.threads)
        self._occupied = Occupied(self.bounds.attempts, self._threads)
        self._reports: set[asyncio.Task[None]] = set()
        self._ending = False
        self._closing = False

    # --- what others ask --------------------------------------------------------------------------------------------

    def rooms(self) -> Rooms:
        """The room for further attempts, to be counted down."""
        return Rooms(self.activities, self._occupied, closed=self._ending, serves=self.serves)

    def start(self, commands: Sequence[Command]) -> None:
        """Begin an attempt for each of these commands, whose claims are durable."""
        claimed_at = self._clock()
        for command in commands:
            prepared = self.activities.find(command.definition, command.definition_version, command.activity)
            if prepared is None or prepared.declared.foreign or self._closing or command.message_id in self.running:
                # The claim is left: whoever holds the home next lapses it.
                continue
            context = AttemptContext(command, command.expires_at, prepared.declared.secrets, self._surroundings)
            attempt = Attempt(command, prepared, context, claimed_at)
            self.running[command.message_id] = attempt
            self._occupied.take(prepared.declared)
            attempt.task = self._loop.create_task(self._run(attempt))
        self.started(commands)

    def request_cancel(self, workflow_id: str, *, force: bool) -> None:
        """Tell a workflow's attempts that it is stopping; with `force`, they are stopped after the grace.

        A thread cannot be stopped: it goes on until its own time-out.
        """
        for attempt in list(self.running.values()):
            if attempt.command.workflow_id != workflow_id or attempt.command.kind == "compensate":
                continue
            attempt.context.cancel_requested = True
            if force and attempt.prepared.declared.is_async:
                self._loop.call_later(self.bounds.cancel_grace_seconds, self._stop, attempt, Stop.CANCELLED)

    def lose(self, message_ids: Collection[str]) -> None:
        """Stop attempts whose claims are, or may soon be, somebody else's; nothing is recorded for those that stop."""
        for message_id in message_ids:
            attempt = self.running.get(message_id)
            if attempt is not None:
                self._stop(attempt, Stop.LOST)

    def take_no_more(self) -> None:
        """Have no room for further attempts; those whose claims are durable already begin all the same."""
        self._ending = True

    async def close(self, *, grace_seconds: float, hurry: bool = False) -> None:
        """Begin nothing more, let attempts end within the grace, leave the rest behind with their claims.

        In a `hurry` only attempts of `once` activities are waited for: breaking them off leaves a question open.
        """
        self._ending = self._closing = True
        if hurry:
            self._leave_behind(
                [attempt for attempt in self.running.values() if attempt.prepared.declared.effect != "once"]
            )
        await self._wait(grace_seconds)
        self._leave_behind(list(self.running.values()))
        for report in self._reports:
            report.cancel()
        await self._wait(self.bounds.give_up_seconds)
        self._threads.close()

    def drop(self) -> list[asyncio.Task[None]]:
        """Begin nothing more; the tasks to cancel, as if the process had been killed."""
        self._ending = self._closing = True
        for attempt in self.running.values():
            attempt.stop = Stop.CLOSING
        self._threads.close()
        return [*self._reports, *(one.task for one in self.running.values() if one.task is not None)]

    def _leave_behind(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            attempt.stop = Stop.CLOSING
            if attempt.task is not None:
                attempt.task.cancel()

    async def _wait(self, seconds: float) -> None:
        running = [attempt for attempt in self.running.values() if not attempt.reported]
        tasks = [*self._reports, *(attempt.task for attempt in running if attempt.task is not None)]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    # --- one attempt ------------------------------------------------------------------------------------------------

    async def _run(self, attempt: Attempt) -> None:
        if self.traces is not None:
            self.traces.within(attempt.command)
        try:
            ending = await self._execute(attempt)
            if attempt.timer is not None:
                attempt.timer.cancel()
            self._leave_room(attempt)
            if ending is not None:
                # What was given up is recorded already, and its claim completed: this comes as a late outcome.
                await self._record(attempt, ending, late=attempt.reported)
        except asyncio.CancelledError:
            # The process ends: the claim is left, and nothing is recorded.
            if attempt.stop is None:
                raise
        finally:
            if attempt.timer is not None:
                attempt.timer.cancel()
            self._leave_room(attempt)
            self.running.pop(attempt.command.message_id, None)
            self.ended(attempt.command)

    async def _execute(self, attempt: Attempt) -> Ending | None:
        """Call the activity: its ending, or None where there is nothing to say."""
        prepared, command = attempt.prepared, attempt.command
        declared, redactor = prepared.declared, self._surroundings.redactor
        given, invalid = validated_input(declared, command.input, redactor)
        if invalid is not None:
            return invalid
        started_at = attempt.started_at = self._clock()
        left = command.expires_at - started_at
        if left <= _NOTHING:
            return timed_out(declared, "was claimed after its schedule-to-finish time-out", absent=True)
        limit = min(declared.start_to_finish, left)
        attempt.context.deadline = started_at + limit
        self._deadlines.set(attempt, limit.total_seconds())
        attempt.called = True
        if self.meter is not None:
            self.meter.began(command, started_at)
        reached("effect.before")
        try:
            value = await self._call(attempt, given)
        except asyncio.CancelledError as error:
            return self._ending_of_cancel(attempt, error)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                # Ctrl-C, where nobody has taken the signal over; otherwise the activity raised it, as it may anything.
                raise
            reached("effect.after")
            return self._ending_of_error(attempt, error)
        reached("effect.after")
        overrun = (self._clock() - attempt.context.deadline).total_seconds()
        if overrun > 0:
            _log.warning(
                "%s ended %.1f s past its time-out: it blocked the event loop; a plain function would run in a thread",
                command.message_id,
                overrun,
            )
        if type(value) is Raised:
            return self._ending_of_error(attempt, value.error)
        return returned(declared, command.kind, value, redactor)

    def _call(self, attempt: Attempt, given: Any) -> Awaitable[Any]:
        prepared = attempt.prepared
        if prepared.declared.is_async:
            coroutine: Awaitable[Any] = prepared.call(given, attempt.context)
            return coroutine
        return self._threads.run(lambda: prepared.call(given, attempt.context))

    def _ending_of_error(self, attempt: Attempt, error: BaseException) -> Ending:
        declared = attempt.prepared.declared
        ending = raised(declared, attempt.command.kind, error, self._surroundings.redactor)
        if attempt.stop in {Stop.TIMED_OUT, Stop.CANCELLED} and not _is_answer(ending):
            return self._ending_of_stop(attempt, attempt.stop)
        if ending.failure is not None and ending.failure.kind == "bug":
            attempt.context.logger.error("%s", ending.failure.message, exc_info=error)
        return ending

    def _ending_of_cancel(self, attempt: Attempt, error: asyncio.CancelledError) -> Ending | None:
        task = attempt.task
        if attempt.stop in {Stop.TIMED_OUT, Stop.CANCELLED}:
            if task is not None:
                task.uncancel()
            return self._ending_of_stop(attempt, attempt.stop)
        if attempt.stop is not None:
            return None
        if task is not None and task.cancelling():
            raise error
        # Nobody cancelled this task: the activity let a cancellation of its own escape.
        return self._ending_of_error(attempt, error)

    def _ending_of_stop(self, attempt: Attempt, stop: Stop | None) -> Ending:
        return timed_out(attempt.prepared.declared, (stop or Stop.TIMED_OUT).value)

    def _stop(self, attempt: Attempt, stop: Stop) -> None:
        """Tell an attempt to end; where it does not, give it up."""
        if attempt.stop is not None or not attempt.holds_room:
            return
        attempt.stop = stop
        attempt.ask_to_end()
        if stop is not Stop.LOST:
            patience = self.bounds.give_up_seconds if attempt.prepared.declared.is_async else 0.0
            attempt.timer = self._loop.call_later(patience, self._give_up, attempt)

    def _time_out(self, attempt: Attempt) -> None:
        self._stop(attempt, Stop.TIMED_OUT)

    def _give_up(self, attempt: Attempt) -> None:
        """Record the end of an attempt whose code does not end."""
        if attempt.reported or not attempt.holds_room or attempt.stop is Stop.CLOSING:
            return
        _log.warning("%s %s", attempt.command.message_id, (attempt.stop or Stop.TIMED_OUT).value)
        ending = self._ending_of_stop(attempt, attempt.stop)
        report = self._loop.create_task(self._record(attempt, ending, late=False))
        attempt.reported = True
        self._reports.add(report)
        report.add_done_callback(self._reports.discard)
        # Whoever waits for its end need not wait for the code.
        report.add_done_callback(lambda _: self.ended(attempt.command))

    async def _record(self, attempt: Attempt, ending: Ending, *, late: bool) -> None:
        command, finished_at = attempt.command, self._clock()
        trigger = RecordOutcome(
            step=command.step,
            kind=cast("Kind", command.kind),
            attempt=command.attempt,
            status=ending.status,
            output=ending.output,
            failure=ending.failure,
            answer=ending.answer,
            artifacts=tuple(attempt.context.artifacts),
            worker=self._worker,
            claimed_at=attempt.claimed_at,
            started_at=attempt.started_at,
            finished_at=finished_at,
        )
        if self.traces is not None:
            self.traces.attempted(command, trigger, late=late)
        if self.meter is not None and not late:  # one that was given up has been counted
            self._count(self.meter, attempt, trigger)
        fence, under = (None, None) if late else (command.message_id, attempt.prepared.declared.limits)
        request = Request(
            command.workflow_id, trigger, finished_at, command.message_id, self._worker, completes=fence, under=under
        )
        await self._decide(request)

    def _count(self, meter: AttemptMeter, attempt: Attempt, outcome: RecordOutcome) -> None:
        seconds: float | None = None
        if attempt.called and outcome.started_at is not None and outcome.finished_at is not None:
            seconds = (outcome.finished_at - outcome.started_at).total_seconds()
        said: str = outcome.status
        if outcome.status == "failed" and outcome.failure is not None:
            said = outcome.failure.kind.value
        meter.ended(attempt.command, said, seconds)

    async def _decide(self, request: Request) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._decider.decide(request)
                return
            except StoreUnavailable as error:
                self.trouble(error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            except HandrailError as error:
                _log.error("the outcome of %s could not be recorded: %s", request.cause, error)
                self.trouble(error)
                return

    def _leave_room(self, attempt: Attempt) -> None:
        if attempt.holds_room:
            attempt.holds_room = False
            self._occupied.leave(attempt.prepared.declared)


def _is_answer(ending: Ending) -> bool:
    """Whether an ending says more than that the attempt was stopped: an answer, or proof of absence."""
    return ending.status != "failed" or (ending.failure is not None and ending.failure.absent)


def _nobody(_: Any) -> None:
    """Hear of it, and do nothing."""


def _every_queue(_: str) -> bool:
    """On one machine every queue is served."""
    return True
