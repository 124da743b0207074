"""The port `Traces` by OpenTelemetry: which span tells of what, and how each is tied to the others.

- A workflow's beginning is a span, and so is every decision. Each is linked to the decision before it and to the
  beginning, so that a workflow is one graph however long it waits, and stays one where a process that was killed took
  spans with it. What a decision asks for (a step command, an announcement, something of another workflow) is its child.
- A message's span is what its header names. Whoever takes it in has a span of its own, linked to that one; the
  decision it leads to is that span's child. An attempt is the child of whatever brought its command.
- Nothing that goes wrong here is raised: it is logged, at most once a minute.

No payload, no reason and no person's name leaves by a span: ids, names of things and what became of them do.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Concatenate, Final, ParamSpec

from opentelemetry.trace import Link, SpanKind

from deploy.traces import conventions as names
from deploy.traces.emitting import Attribute, Emitter, current, current_tracestate, link
from domain.events import TERMINAL_EVENTS, ChildStarted, StepScheduled, StoppingBegan, WaitTimedOut
from domain.messages.announcements import announced
from domain.messages.names import TRACEPARENT, TRACESTATE
from domain.messages.writing import announcement_id
from domain.ports import Clock, Command, Decided, Request
from domain.topology import COMMANDS_EXCHANGE, EVENTS_EXCHANGE
from domain.tracing import (
    SpanOf,
    TraceContext,
    asked_words,
    decision_words,
    ended_words,
    parse_traceparent,
    span_of,
    trace_of,
    traceparent_of,
)
from domain.transport import Delivery, Outgoing, Published
from domain.triggers import CancelWorkflow, DeliverSignal, EndChild, RecordOutcome, StartWorkflow

_log: Final = logging.getLogger("handrail.deploy")

LINKS_AT_MOST: Final = 128
"""What the SDK keeps of a span's links unless it is told otherwise."""
_SILENCE: Final = timedelta(minutes=1)
_ASKED: Final = re.compile(r"([^/]+)/[0-9]+")

Arguments = ParamSpec("Arguments")


def _harmless(
    method: Callable[Concatenate[SpanTraces, Arguments], None],
) -> Callable[Concatenate[SpanTraces, Arguments], None]:
    """A method of which nothing is raised."""

    @functools.wraps(method)
    def guarded(self: SpanTraces, /, *given: Arguments.args, **named: Arguments.kwargs) -> None:
        try:
            method(self, *given, **named)
        except Exception as error:  # noqa: BLE001 - the work goes before what is told of it
            self.complain(error)

    return guarded


class SpanTraces:
    """Emits by one emitter. `broker` is its host and port, or None where commands stay in their process."""

    def __init__(self, emitter: Emitter, *, salt: str, clock: Clock, broker: tuple[str, int | None] | None) -> None:
        """`salt` is the store's; `clock` gives the instants of whatever the record has none of."""
        self._emitter = emitter
        self._salt = salt
        self._clock = clock
        self._broker = broker
        self._complained: datetime | None = None
        self._carrier: dict[str, Attribute] = {names.MESSAGING_SYSTEM: names.IN_PROCESS}
        if broker is not None:
            host, port = broker
            self._carrier = {names.MESSAGING_SYSTEM: names.RABBITMQ, names.SERVER_ADDRESS: host}
            if port is not None:
                self._carrier[names.SERVER_PORT] = port

    def instant(self) -> datetime:
        """As the port."""
        return self._clock()

    def complain(self, error: Exception) -> None:
        """Say that a span could not be told, now and then."""
        now = self._clock()
        if self._complained is None or now - self._complained >= _SILENCE:
            self._complained = now
            _log.warning("traces are incomplete: %s: %s", type(error).__name__, error)

    # --- decisions ----------------------------------------------------------------------------------------------------

    @_harmless
    def decided(self, began: datetime, turn: Sequence[Decided]) -> None:
        """As the port."""
        ended = self._clock()
        for one in turn:
            self._decision(began, ended, one)

    @_harmless
    def failed(self, began: datetime, requests: Sequence[Request], error: BaseException) -> None:
        """As the port."""
        ended, kind = self._clock(), type(error).__name__
        for request in requests:
            context = self._fresh(request.workflow_id)
            attributes = self._workflow(request.workflow_id, "", type(request.trigger).__name__)
            parent, links = self._caused(request)
            self._emitter.emit(
                _decide(request), context, (began, ended), attributes, parent=parent, links=links, error=kind
            )

    def _decision(self, began: datetime, ended: datetime, one: Decided) -> None:
        request, state = one.request, one.state
        workflow_id = request.workflow_id
        parent, links = self._caused(request)
        if one.events:
            context = self._derived(workflow_id, "decision", decision_words(workflow_id, _last_version(one)))
            before = one.events[0].originator_version - 1
        else:
            context, before = self._fresh(workflow_id), state.version
        begun = self._derived(workflow_id, "begun", workflow_id)
        if before > 0:
            links += [link(self._derived(workflow_id, "decision", decision_words(workflow_id, before))), link(begun)]
        attributes = self._workflow(workflow_id, state.definition, type(request.trigger).__name__)
        if state.version > 0:
            attributes[names.DEFINITION_VERSION] = state.definition_version
            attributes[names.WORKFLOW_VERSION] = before + len(one.events)
            attributes[names.EVENTS] = len(one.events)
        if one.events and state.version == _last_version(one):
            # Of a turn with several decisions of one workflow, only the last knows the state that it led to.
            attributes[names.WORKFLOW_STATUS] = str(state.status)
        if one.ignored is not None:
            attributes[names.IGNORED] = one.ignored
        error = type(one.error).__name__ if one.error is not None else ""
        if one.events and before == 0:
            invoked = {
                **attributes,
                names.GEN_AI_OPERATION_NAME: names.INVOKE_WORKFLOW,
                names.GEN_AI_WORKFLOW_NAME: state.definition,
            }
            name = f"{names.INVOKE_WORKFLOW} {state.definition}"
            self._emitter.emit(name, begun, (began, ended), invoked, parent=parent, links=links)
            parent, links = begun, []
        self._emitter.emit(
            _decide(request), context, (began, ended), attributes, parent=parent, links=links, error=error
        )
        for recorded in one.events:
            self._asked_for(recorded.event, recorded.originator_version, one, context, ended)

    def _caused(self, request: Request) -> tuple[TraceContext | None, list[Link]]:
        """Whose child a decision is, and what else led to it."""
        workflow_id, trigger, cause = request.workflow_id, request.trigger, request.cause
        if request.receipt is not None and request.receipt.message_id == cause and self._broker is not None:
            return self._derived(workflow_id, "taken", cause), []
        if isinstance(trigger, RecordOutcome) and request.receipt is None:
            attempt = self._derived(workflow_id, "attempt", cause)
            return (attempt, []) if request.completes is not None else (None, [link(attempt)])
        if isinstance(trigger, DeliverSignal) and self._broker is not None:
            return None, [link(self._derived(cause, "taken", cause))]
        if isinstance(trigger, EndChild):
            child = trigger.child_workflow
            return None, [link(self._derived(child, "asked", ended_words(child)))]
        if isinstance(trigger, StartWorkflow | CancelWorkflow) and (asker := _ASKED.fullmatch(cause)) is not None:
            return None, [link(self._derived(asker[1], "asked", cause))]
        return None, []

    def _asked_for(self, event: Any, version: int, one: Decided, decision: TraceContext, at: datetime) -> None:
        """The spans of what an event asks for: those that carry it out, or are asked, find them by their words."""
        workflow_id, kind = one.request.workflow_id, type(event)
        if kind is StepScheduled:
            place = names.destination(COMMANDS_EXCHANGE, event.queue)
            self._created(decision, at, event.message_id, workflow_id, place)
        if self._broker is not None and announced(kind):
            self._created(decision, at, announcement_id(workflow_id, version), workflow_id, EVENTS_EXCHANGE)
        asked: list[str] = []
        if (
            kind is ChildStarted
            or (kind is StoppingBegan and event.children)
            or (kind is WaitTimedOut and event.child_workflow is not None)
        ):
            asked.append(asked_words(workflow_id, version))
        if kind in TERMINAL_EVENTS and one.state.parent_workflow is not None:
            asked.append(ended_words(workflow_id))
        for words in asked:
            context = self._derived(workflow_id, "asked", words)
            attributes = {names.WORKFLOW_ID: workflow_id}
            self._emitter.emit(f"{names.ASK} {kind.stored_name}", context, (at, at), attributes, parent=decision)

    def _created(self, decision: TraceContext, at: datetime, message_id: str, workflow_id: str, place: str) -> None:
        context = TraceContext(decision.trace_id, span_of(self._salt, "message", message_id))
        attributes = self._message(names.CREATE, message_id, workflow_id, place)
        self._emitter.emit(
            f"{names.CREATE} {place}", context, (at, at), attributes, kind=SpanKind.PRODUCER, parent=decision
        )

    # --- claims and attempts ------------------------------------------------------------------------------------------

    @_harmless
    def claimed(self, began: datetime, commands: Sequence[Command]) -> None:
        """As the port."""
        ended = self._clock()
        for command in commands:
            attributes = self._attempt(command)
            attributes[names.MESSAGING_BATCH_COUNT] = len(commands)
            created = self._derived(command.workflow_id, "message", command.message_id)
            context = self._fresh(command.workflow_id)
            self._emitter.emit(
                f"{names.CLAIM} {command.queue}", context, (began, ended), attributes, links=[link(created)]
            )

    @_harmless
    def within(self, command: Command) -> None:
        """As the port."""
        self._emitter.enter(self._derived(command.workflow_id, "attempt", command.message_id))

    @_harmless
    def attempted(self, command: Command, outcome: RecordOutcome, *, late: bool) -> None:
        """As the port."""
        workflow_id, message_id = command.workflow_id, command.message_id
        ended = outcome.finished_at or self._clock()
        began = outcome.started_at or outcome.claimed_at or ended
        created = self._derived(workflow_id, "message", message_id)
        attempt = self._derived(workflow_id, "attempt", message_id)
        links = [link(created)]
        context, parent = attempt, created
        if self._broker is not None and not command.claimed:
            parent = self._derived(workflow_id, "taken", message_id)
        attributes = {
            names.GEN_AI_OPERATION_NAME: names.EXECUTE_TOOL,
            names.GEN_AI_TOOL_NAME: command.activity,
            names.GEN_AI_TOOL_TYPE: names.FUNCTION,
            names.GEN_AI_TOOL_CALL_ID: message_id,
            names.GEN_AI_CONVERSATION_ID: workflow_id,
            **self._attempt(command),
            names.OUTCOME: outcome.status,
        }
        if late:
            context = self._fresh(workflow_id)
            links.append(link(attempt))
            attributes[names.LATE] = True
        error = ""
        if outcome.failure is not None:
            error = outcome.failure.kind.value
            attributes[names.FINGERPRINT] = outcome.failure.fingerprint
        self._emitter.emit(
            f"{names.EXECUTE_TOOL} {command.activity}",
            context,
            (began, ended),
            attributes,
            parent=parent,
            links=links,
            error=error,
        )

    # --- messages taken in --------------------------------------------------------------------------------------------

    @_harmless
    def processed(
        self, began: datetime, deliveries: Sequence[Delivery], command: Command, became: str, *, ran: bool
    ) -> None:
        """As the port."""
        ended = self._clock()
        taken = self._derived(command.workflow_id, "taken", command.message_id)
        created = self._derived(command.workflow_id, "message", command.message_id)
        for number, delivery in enumerate(deliveries):
            links = [link(created)]
            sent = _sent(delivery)
            if sent is not None and (sent.trace_id, sent.span_id) != created[:2]:
                links.append(link(sent, delivery.headers.get(TRACESTATE)))
            ours = ran and number == 0
            if not ours:
                links.append(link(taken))
            attributes = {**self._delivery(delivery, command.workflow_id), **self._attempt(command)}
            attributes[names.BECAME] = became
            self._emitter.emit(
                f"{names.PROCESS} {_destination(delivery)}",
                taken if ours else self._fresh(command.workflow_id),
                (began, ended),
                attributes,
                kind=SpanKind.CONSUMER,
                links=links,
            )

    @_harmless
    def received(
        self, began: datetime, delivery: Delivery, became: str, *, workflow_id: str, receipt: str, fault: str
    ) -> None:
        """As the port."""
        ended = self._clock()
        sent = _sent(delivery)
        links = [link(sent, delivery.headers.get(TRACESTATE))] if sent is not None else []
        belongs = workflow_id or receipt
        context = self._emitter.ids.fresh() if not belongs else self._fresh(belongs)
        if receipt:
            taken = self._derived(belongs, "taken", receipt)
            if became in _FIRST:
                context = taken
            else:
                links.append(link(taken))
        attributes = self._delivery(delivery, workflow_id)
        attributes[names.BECAME] = became
        self._emitter.emit(
            f"{names.PROCESS} {_destination(delivery)}",
            context,
            (began, ended),
            attributes,
            kind=SpanKind.CONSUMER,
            links=links,
            error=fault,
        )

    # --- messages sent ------------------------------------------------------------------------------------------------

    def outgoing(self, messages: Sequence[Outgoing]) -> list[Outgoing]:
        """As the port."""
        try:
            return [self._with_context(message) for message in messages]
        except Exception as error:  # noqa: BLE001 - a message without its context is still the message
            self.complain(error)
            return list(messages)

    @_harmless
    def published(self, began: datetime, messages: Sequence[Outgoing], answers: Sequence[Published]) -> None:
        """As the port."""
        ended = self._clock()
        lost = next((one.name.lower() for one in answers if one is not Published.CONFIRMED), "")
        error = lost if answers else "unavailable"
        above = current()
        own: list[tuple[Outgoing, TraceContext]] = []
        links: list[Link] = []
        for message in messages:
            context = parse_traceparent(message.headers.get(TRACEPARENT))
            if context is None:
                continue
            if not _is_decided(message):
                own.append((message, context))
            links.append(link(context))
        parent = above if above is not None and self._is_above(above, own) else None
        if len(messages) == 1 and own:
            # One message of nobody's making but the sender's: what sends it is what its header names.
            ((message, context),) = own
            place = names.destination(message.exchange, message.routing_key)
            attributes = self._message(names.SEND, message.message_id, message.correlation_id, place)
            attributes[names.RABBITMQ_ROUTING_KEY] = message.routing_key
            attributes[names.MESSAGING_BODY_SIZE] = len(message.body)
            self._emitter.emit(
                f"{names.SEND} {place}",
                context,
                (began, ended),
                attributes,
                kind=SpanKind.PRODUCER,
                parent=parent,
                error=error,
            )
            return
        for message, context in own:
            place = names.destination(message.exchange, message.routing_key)
            attributes = self._message(names.CREATE, message.message_id, message.correlation_id, place)
            self._emitter.emit(f"{names.CREATE} {place}", context, (began, began), attributes, kind=SpanKind.PRODUCER)
        exchanges = {message.exchange for message in messages}
        attributes = {
            **self._carrier,
            names.MESSAGING_OPERATION_NAME: names.SEND,
            names.MESSAGING_OPERATION_TYPE: names.SEND,
            names.MESSAGING_BATCH_COUNT: len(messages),
        }
        if len(exchanges) == 1:
            attributes[names.MESSAGING_DESTINATION_NAME] = messages[0].exchange
        name = f"{names.SEND} {messages[0].exchange}" if len(exchanges) == 1 else names.SEND
        for start in range(0, len(links), LINKS_AT_MOST):
            self._emitter.emit(
                name,
                self._emitter.ids.fresh(),
                (began, ended),
                attributes,
                kind=SpanKind.CLIENT,
                links=links[start : start + LINKS_AT_MOST],
                error=error,
            )

    def _with_context(self, message: Outgoing) -> Outgoing:
        if TRACEPARENT in message.headers:  # its sender's own, or that of a dead letter that is moved
            return message
        if _is_decided(message):
            context = self._derived(message.correlation_id, "message", message.message_id)
            state = ""
        elif (above := current()) is not None:
            context, state = self._emitter.ids.fresh(above.trace_id), current_tracestate()
        else:
            context, state = self._emitter.ids.fresh(), ""
        told = context._replace(sampled=self._emitter.sampled(context.trace_id))
        headers = {**message.headers, TRACEPARENT: traceparent_of(told)}
        if state:
            headers[TRACESTATE] = state
        return replace(message, headers=headers)

    def _is_above(self, above: TraceContext, own: Sequence[tuple[Outgoing, TraceContext]]) -> bool:
        return len(own) == 1 and own[0][1].trace_id == above.trace_id

    # --- attributes and ids -------------------------------------------------------------------------------------------

    def _derived(self, workflow_id: str, kind: SpanOf, words: str) -> TraceContext:
        return TraceContext(trace_of(self._salt, workflow_id), span_of(self._salt, kind, words))

    def _fresh(self, workflow_id: str) -> TraceContext:
        return self._emitter.ids.fresh(trace_of(self._salt, workflow_id))

    def _workflow(self, workflow_id: str, definition: str, trigger: str) -> dict[str, Attribute]:
        attributes: dict[str, Attribute] = {
            names.GEN_AI_CONVERSATION_ID: workflow_id,
            names.WORKFLOW_ID: workflow_id,
            names.TRIGGER: trigger,
        }
        if definition:
            attributes[names.DEFINITION] = definition
        return attributes

    def _attempt(self, command: Command) -> dict[str, Attribute]:
        return {
            names.WORKFLOW_ID: command.workflow_id,
            names.STEP: command.step,
            names.KIND: command.kind,
            names.ATTEMPT: command.attempt,
            names.QUEUE: command.queue,
        }

    def _message(self, operation: str, message_id: str, workflow_id: str, place: str) -> dict[str, Attribute]:
        attributes: dict[str, Attribute] = {
            **self._carrier,
            names.MESSAGING_OPERATION_NAME: operation,
            names.MESSAGING_OPERATION_TYPE: operation,
            names.MESSAGING_DESTINATION_NAME: place,
            names.MESSAGING_MESSAGE_ID: message_id,
        }
        if workflow_id:
            attributes[names.MESSAGING_CONVERSATION_ID] = workflow_id
            attributes[names.WORKFLOW_ID] = workflow_id
        return attributes

    def _delivery(self, delivery: Delivery, workflow_id: str) -> dict[str, Attribute]:
        attributes = self._message(names.PROCESS, delivery.message_id, workflow_id, _destination(delivery))
        attributes[names.RABBITMQ_ROUTING_KEY] = delivery.routing_key
        attributes[names.MESSAGING_BODY_SIZE] = len(delivery.body)
        return attributes


_FIRST: Final = frozenset({"recorded", "refused", "late", "ignored"})
"""What becomes of a message the first time it is received."""


def _last_version(one: Decided) -> int:
    """The version of a decision's last event."""
    return one.events[-1].originator_version


def _decide(request: Request) -> str:
    return f"{names.DECIDE} {type(request.trigger).__name__}"


def _is_decided(message: Outgoing) -> bool:
    """Whether a decision asked for a message: then its span is that decision's child, whoever sends it."""
    return message.exchange in {COMMANDS_EXCHANGE, EVENTS_EXCHANGE}


def _sent(delivery: Delivery) -> TraceContext | None:
    return parse_traceparent(delivery.headers.get(TRACEPARENT))


def _destination(delivery: Delivery) -> str:
    return names.destination(delivery.exchange, delivery.routing_key, delivery.queue)
