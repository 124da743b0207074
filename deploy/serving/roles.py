"""The roles of a serving process: what each consumes, what runs for it, and what only one process at a time does.

A role is data and a few coroutines; `ServedProcess` puts those of one process together.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from consumers.attempts import Activities
from consumers.foreign import OutcomeSource
from consumers.intake import Holding, MessageIntake
from consumers.sources import ApprovalSource, ControlSource, GoalSource, SignalSource
from consumers.sweep import Hearing, Sweep
from deploy.beginning import GoalBeginning
from deploy.forking import check_fork
from deploy.http.sending_on import SendingOn
from deploy.loading import check_output
from deploy.replays import Replays
from deploy.sealing import sealing_of
from deploy.serving.accepted import while_accepted
from deploy.serving.heartbeat import Heartbeat
from deploy.serving.outbound import foreign_queues
from deploy.serving.parts import Parts
from deploy.serving.queues import QueueWatch, watched_queues
from deploy.thresholds import thresholds_of, unknown_names
from deploy.viewing import Judged, ViewsRole, with_beside
from domain.builtin import HEARTBEAT
from domain.messages.bodies import Signal as SignalBody
from domain.topology import APPROVALS_QUEUE, CONTROL_QUEUE, GOALS_QUEUE, OUTCOMES_QUEUE, SIGNALS_QUEUE
from domain.transport import Intake
from domain.triggers import ForkHere, Intervention, SettleOutcome, SupplyOutput
from producers.signals import Signal
from producers.timers import Timer
from projections.metrics import ViewsMetrics

_log: Final = logging.getLogger("handrail.deploy")

MESSAGES_AT_ONCE: Final = 256
"""Deliveries of one queue that are unsettled at most: about one turn."""

RUNNING_ATTEMPTS: Final = "the attempts of this process"

Running = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Role:
    """What one role brings to its process.

    `queues` are consumed; `loops` run as long as the process; of each of `led` one process at a time runs it. `drained`
    ends what is under way within so many seconds, after the consuming has stopped.
    """

    queues: dict[str, tuple[Intake, int]] = field(default_factory=dict)
    loops: dict[str, Running] = field(default_factory=dict)
    led: dict[str, Running] = field(default_factory=dict)
    drained: Callable[[float], Awaitable[None]] | None = None


def goals(parts: Parts) -> Role:
    """Goals start workflows."""
    source = GoalSource(parts.turns, parts.clock, beginning=GoalBeginning(parts.definitions), vouching=parts.vouching)
    return _taking(parts, GOALS_QUEUE, source)


def approvals(parts: Parts) -> Role:
    """Decisions of people, by services that may speak for them."""
    source = ApprovalSource(parts.turns, parts.clock, definition_of=_definition_of(parts), vouching=parts.vouching)
    return _taking_or_holding(parts, APPROVALS_QUEUE, source)


def signals(parts: Parts) -> Role:
    """Signals, to the workflows that wait for them, or kept for those that will."""

    async def deliver(message_id: str, signal: SignalBody, *, sender: str) -> None:
        await parts.signals.receive(Signal(message_id, signal.name, signal.correlation, signal.payload, sender))

    return _taking(parts, SIGNALS_QUEUE, SignalSource(deliver))


def control(parts: Parts) -> Role:
    """Acts of operators."""
    source = ControlSource(
        parts.turns,
        parts.clock,
        definition_of=_definition_of(parts),
        operating=parts.operating,
        check_output=_check_output(parts),
        complete_fork=_complete_fork(parts),
    )
    return _taking_or_holding(parts, CONTROL_QUEUE, source)


def outcomes(parts: Parts) -> Role:
    """Outcomes of consumers in other languages."""
    for queue in parts.answering.unanswered(foreign_queues(parts.definitions)):
        _log.warning(
            "nobody may answer for foreign queue %s: name its consumer's login in HANDRAIL_ANSWERING, or what it "
            "answers goes to the dead queue",
            queue,
        )
    source = OutcomeSource(
        parts.turns,
        parts.clock,
        claims=parts.claims,
        commands_of=parts.outbound.outside.commands_of,
        activities=Activities(parts.definitions),
        answering=parts.answering,
        aside=parts.aside,
    )
    return _taking_or_holding(parts, OUTCOMES_QUEUE, source)


def relay(parts: Parts) -> Role:
    """Carries on what the log says is to happen outside."""

    async def run() -> None:
        with parts.waits.of("relay") as waiting:
            await parts.outbound.relay(waiting)

    return Role(led={"relay": _accepted(parts, run)})


def timer(parts: Parts) -> Role:
    """Wakes what falls due, lapses what nobody reports, issues again what nobody claimed, and sends heartbeats."""
    timers = Timer(
        store=parts.store, decider=parts.turns, clock=parts.clock, scope=_everything, told=True, aside=parts.aside
    )
    sweep = Sweep(
        claims=parts.claims,
        decider=parts.turns,
        clock=parts.clock,
        running=list,
        scope=_everything,
        reissue=parts.outbound.reissue,
        aside=parts.aside,
    )

    async def deliver_kept() -> None:
        await parts.signals.deliver_kept(None)

    heartbeat = _heartbeat(parts)

    async def run() -> None:
        parts.timers.armed = timers.armed
        hearing = Hearing()
        hearers = [hearing.heard, timers.heard]
        parts.store.hearers += hearers
        running = (
            timers.run(),
            sweep.run(every_seconds=parts.settings.sweep_seconds, hearing=hearing, besides=deliver_kept),
            parts.outbound.outstanding.remind(),
            *([heartbeat.run()] if heartbeat is not None else []),
        )
        tasks = [asyncio.ensure_future(one) for one in running]
        try:
            await asyncio.gather(*tasks)
        finally:
            # One that failed ends the role: the others would go on without it, beside those of its next beginning.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for hearer in hearers:
                parts.store.hearers.remove(hearer)

    return Role(led={"timer": _accepted(parts, run)}, loops={"awaited definitions": parts.awaited.run})


def _heartbeat(parts: Parts) -> Heartbeat | None:
    """What sends heartbeats; None where they are off, or nobody here would know one."""
    if not parts.settings.heartbeat_seconds or HEARTBEAT not in {one.name for one in parts.definitions}:
        return None
    return Heartbeat(
        store=parts.store,
        publisher=parts.sending,
        login=parts.publisher.address.login,
        clock=parts.clock,
        every_seconds=parts.settings.heartbeat_seconds,
        aside=parts.aside,
    )


def projector(parts: Parts) -> Role:
    """Keeps the views, and decides histories again beside that."""
    watch = QueueWatch(parts.broker.url, parts.clock, told=watched_queues(parts.definitions))
    metrics = ViewsMetrics(parts.metrics.registry, [one.name for one in parts.definitions])
    metrics.queues = watch.told
    for words in unknown_names(parts.settings.stuck, parts.definitions):
        _log.warning("%s", words)
    thresholds = thresholds_of(parts.settings.stuck, parts.definitions)
    judged = Judged(parts.clock, thresholds, watch.now)
    sealing = sealing_of(parts.settings.seal, parts.store, parts.clock, parts.aside)
    views = ViewsRole(
        parts.store, busy=lambda: False, judged=judged, metrics=metrics, sealing=sealing, aside=parts.aside
    )

    async def run() -> None:
        replays = Replays(
            parts.store,
            parts.definitions,
            parts.definitions,
            clock=parts.clock,
            checks_per_second=parts.settings.replay_checks_per_second,
            aside=parts.aside,
        )
        with parts.waits.of("projector") as waiting:
            await with_beside(views.run(waiting), [watch.run(), replays.run()])

    return Role(led={"projector": run})


def http(parts: Parts) -> Role:
    """Sends goals on that were answered before they began; the endpoint itself is the process's."""
    login = parts.publisher.address.login
    sending = SendingOn(parts.store, parts.sending, login=login, aside=parts.aside)
    return Role(loops={"held goals": sending.run})


MESSAGES: Final[Mapping[str, Callable[[Parts], Role]]] = {
    "goals": goals,
    "approvals": approvals,
    "signals": signals,
    "control": control,
    "outcomes": outcomes,
    "relay": relay,
    "timer": timer,
    "projector": projector,
}


def _taking(parts: Parts, queue: str, source: Any) -> Role:
    return Role(queues={queue: (_intake(parts, source), MESSAGES_AT_ONCE)})


def _taking_or_holding(parts: Parts, queue: str, source: Any) -> Role:
    """What lacks its definition here is held, and taken in by whoever has it."""
    parts.later.intakes[queue] = _intake(parts, source, parts.later)
    intake = _intake(parts, source, parts.held)
    return Role(queues={queue: (intake, MESSAGES_AT_ONCE)}, loops={"held messages": parts.later.run})


def _intake(parts: Parts, source: Any, holding: Holding | None = None) -> MessageIntake[Any]:
    intake = MessageIntake(source, receipts=parts.receipts, burial=parts.burial, counts=parts.counts, holding=holding)
    intake.traces = parts.traces
    return intake


def _accepted(parts: Parts, role: Running) -> Running:
    """The role, ended when the broker has refused this process's login for a while: another may have the new one."""

    async def run() -> None:
        await while_accepted(asyncio.ensure_future(role()), lambda: parts.publisher.health, parts.clock)

    return run


def _definition_of(parts: Parts) -> Callable[[str], Awaitable[str]]:
    """The name of the definition that a workflow runs; raises WorkflowUnknown."""

    async def definition_of(workflow_id: str) -> str:
        return await parts.aside(lambda: parts.store.load(workflow_id).definition)

    return definition_of


def _check_output(parts: Parts) -> Callable[[str, Intervention], Awaitable[None]]:
    """Raise InputInvalid where a person's output does not fit the step's activity, as far as that is loaded here."""

    async def check(workflow_id: str, trigger: Intervention) -> None:
        if isinstance(trigger, SupplyOutput | SettleOutcome):
            state = await parts.aside(lambda: parts.store.load(workflow_id))
            check_output(parts.definitions, state, trigger)

    return check


def _complete_fork(parts: Parts) -> Callable[[str, ForkHere, str], Awaitable[ForkHere]]:
    """Hold a fork that is asked for against its source's history, and say which workflow it will be."""

    async def complete(workflow_id: str, asked: ForkHere, receipt: str) -> ForkHere:
        return await parts.aside(lambda: check_fork(parts.definitions, parts.store, workflow_id, asked, salt=receipt))

    return complete


def _everything() -> None:
    """Serving processes drive every workflow."""
