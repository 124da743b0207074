"""What is emitted beside decisions: names of the conventions, messages with their context, and no harm to the work."""

import asyncio
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes, messaging_attributes
from opentelemetry.semconv.attributes import error_attributes, server_attributes
from opentelemetry.semconv.schemas import Schemas
from opentelemetry.trace import SpanKind

from deploy.loading import load
from deploy.settings import Settings
from deploy.traces import conventions
from deploy.traces.asked import open_traces, salt_of
from deploy.traces.opening import OpenTraces
from deploy.traces.sending import TracedPublisher
from domain.errors import BrokerUnavailable, InputInvalid
from domain.messages import bodies
from domain.messages.names import TRACEPARENT, TRACESTATE, Fault
from domain.messages.writing import outgoing_goal
from domain.ports import Command, Request
from domain.store.application import WorkflowStore
from domain.store.opening import open_sqlite_store
from domain.tracing import SpanOf, parse_traceparent, span_of, trace_of
from domain.transport import Delivery, Outgoing, Published
from domain.triggers import RecordOutcome, Wake

ROOT = Path(__file__).resolve().parents[4]
HANGING = threading.Event()
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
COMMAND = Command(
    "wf_1/put/run/1", "wf_1", "put", "run", 1, 1, "put", "mail", {"secret": "word"}, "d", "1", "wf_1/put/run", AT
)


class Clock:
    """A second later whenever it is asked."""

    def __init__(self) -> None:
        self.at = AT

    def __call__(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at


class Kept:
    """Traces whose spans are kept."""

    def __init__(self, exporter: SpanExporter | None = None, *, broker: bool = True) -> None:
        self._exporter = InMemorySpanExporter()
        place = ("mq", 5672) if broker else None
        self._opened = OpenTraces(exporter or InMemorySpanExporter(), salt="salt", clock=Clock(), broker=place)
        self._opened.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.traces = self._opened.traces

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opened.close()

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    @property
    def last(self) -> ReadableSpan:
        return self.spans[-1]


class Broker:
    """Takes everything, unless it is away."""

    def __init__(self, *, away: bool = False) -> None:
        self.away = away
        self.had: list[Outgoing] = []

    async def publish(self, messages: Sequence[Outgoing]) -> list[Published]:
        if self.away:
            raise BrokerUnavailable("it is away")
        self.had += messages
        return [Published.CONFIRMED] * len(messages)


def goal(message_id: str = "one") -> Outgoing:
    return outgoing_goal(bodies.Goal(goal="greet"), message_id=message_id)


def to_queue(message_id: str) -> Outgoing:
    return Outgoing("handrail.commands", "mail", message_id, "handrail.step.run.v1", b"{}", "wf_1")


def node(span: ReadableSpan) -> tuple[int, int]:
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id


def links(span: ReadableSpan) -> list[tuple[int, int]]:
    return [(one.context.trace_id, one.context.span_id) for one in span.links]


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


# --- the conventions --------------------------------------------------------------------------------------------------


def test_every_name_that_is_not_ours_is_one_of_the_pinned_conventions() -> None:
    known = {
        value
        for module in (gen_ai_attributes, messaging_attributes, error_attributes, server_attributes)
        for name, value in vars(module).items()
        if name.isupper()
    }
    used = {value for name, value in vars(conventions).items() if name.isupper() and "." in str(value)}
    used -= {conventions.SCHEMA}
    assert {name for name in used if not name.startswith("handrail.")} <= known
    assert len(used) > 20
    assert Schemas.V1_44_0.value == conventions.SCHEMA


# --- messages ---------------------------------------------------------------------------------------------------------


async def test_a_message_of_ones_own_carries_the_span_that_sent_it() -> None:
    async with Kept() as kept:
        broker = Broker()
        assert await TracedPublisher(broker, kept.traces).publish([goal()]) == [Published.CONFIRMED]
        (sent,) = broker.had
        carried = parse_traceparent(sent.headers[TRACEPARENT])
        assert carried is not None
        assert (carried.trace_id, carried.span_id) == node(kept.last)
        assert (kept.last.name, kept.last.kind) == ("send handrail.goals:goal", SpanKind.PRODUCER)
        told = attributes(kept.last)
        assert told[conventions.MESSAGING_SYSTEM] == "rabbitmq"
        assert told[conventions.MESSAGING_MESSAGE_ID] == "one"
        assert (told[conventions.SERVER_ADDRESS], told[conventions.SERVER_PORT]) == ("mq", 5672)


async def test_a_batch_is_sent_by_one_span_with_a_link_to_each_message() -> None:
    async with Kept() as kept:
        broker = Broker()
        await TracedPublisher(broker, kept.traces).publish([to_queue("wf_1/put/run/1"), goal()])
        command, own = (parse_traceparent(one.headers[TRACEPARENT]) for one in broker.had)
        assert command is not None
        assert own is not None
        assert command[:2] == (trace_of("salt", "wf_1"), span_of("salt", "message", "wf_1/put/run/1"))
        assert [one.name for one in kept.spans] == ["create handrail.goals:goal", "send"]
        assert node(kept.spans[0]) == own[:2]
        assert (kept.last.kind, links(kept.last)) == (SpanKind.CLIENT, [command[:2], own[:2]])


async def test_a_command_that_is_sent_again_is_the_same_message() -> None:
    async with Kept() as kept:
        broker = Broker()
        for _ in range(2):
            await TracedPublisher(broker, kept.traces).publish([to_queue("wf_1/put/run/1")])
        assert broker.had[0] == broker.had[1]
        assert len({node(one) for one in kept.spans}) == 2


async def test_what_a_sender_has_said_itself_is_kept() -> None:
    async with Kept() as kept:
        broker = Broker()
        given = Outgoing("handrail.goals", "goal", "one", "t", b"{}", headers={TRACEPARENT: SENT, TRACESTATE: "a=1"})
        await TracedPublisher(broker, kept.traces).publish([given])
        assert broker.had == [given]


async def test_a_broker_that_is_away_is_told_of_and_raised() -> None:
    async with Kept() as kept:
        with pytest.raises(BrokerUnavailable):
            await TracedPublisher(Broker(away=True), kept.traces).publish([goal()])
        assert attributes(kept.last)[conventions.ERROR_TYPE] == "unavailable"


async def test_a_message_taken_in_is_linked_to_its_sender_and_a_repeat_to_the_first() -> None:
    async with Kept() as kept:
        delivery = Delivery(
            "handrail.goals",
            b"{}",
            "one",
            exchange="handrail.goals",
            routing_key="goal",
            headers={TRACEPARENT: SENT, TRACESTATE: "a=1"},
        )
        for became in ("recorded", "repeated"):
            kept.traces.received(AT, delivery, became, workflow_id="wf_1", receipt="goal:shop:one", fault="")
        first, again = kept.spans
        taken = (trace_of("salt", "wf_1"), span_of("salt", "taken", "goal:shop:one"))
        sent = parse_traceparent(SENT)
        assert sent is not None
        assert (node(first), links(first), first.kind) == (taken, [sent[:2]], SpanKind.CONSUMER)
        assert first.name == "process handrail.goals:goal:handrail.goals"
        assert first.links[0].context.trace_state.to_header() == "a=1"
        assert node(again) != taken
        assert links(again) == [sent[:2], taken]


async def test_a_message_that_nobody_can_read_has_a_span_that_says_why() -> None:
    async with Kept() as kept:
        delivery = Delivery("handrail.goals", b"{", headers={TRACEPARENT: "nonsense", TRACESTATE: 7})
        kept.traces.received(AT, delivery, "unfit", workflow_id="", receipt="", fault=Fault.NOT_JSON.value)
        assert (links(kept.last), attributes(kept.last)[conventions.ERROR_TYPE]) == ([], "not_json")


async def test_a_sampler_that_drops_a_trace_says_so_to_whoever_comes_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    async with Kept() as kept:
        broker = Broker()
        await TracedPublisher(broker, kept.traces).publish([to_queue("wf_1/put/run/1"), goal()])
        carried = [parse_traceparent(one.headers[TRACEPARENT]) for one in broker.had]
        assert [one is not None and one.sampled for one in carried] == [False, False]
        assert kept.spans == ()


# --- attempts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broker", "claimed", "above"), [(True, False, "taken"), (True, True, "message"), (False, False, "message")]
)
async def test_an_attempt_belongs_to_whatever_brought_its_command(broker: bool, claimed: bool, above: str) -> None:
    async with Kept(broker=broker) as kept:
        command = Command(**{name: getattr(COMMAND, name) for name in COMMAND.__slots__ if name != "claimed"})
        command.claimed = claimed
        outcome = RecordOutcome(
            step="put",
            kind="run",
            attempt=1,
            status="ok",
            output="secret",
            claimed_at=AT,
            started_at=AT,
            finished_at=AT + timedelta(seconds=2),
        )
        kept.traces.attempted(command, outcome, late=False)
        span = kept.last
        trace_id = trace_of("salt", "wf_1")
        assert node(span) == (trace_id, span_of("salt", "attempt", "wf_1/put/run/1"))
        assert span.parent is not None
        kind: SpanOf = "taken" if above == "taken" else "message"
        assert (span.parent.trace_id, span.parent.span_id) == (trace_id, span_of("salt", kind, "wf_1/put/run/1"))
        assert links(span) == [(trace_id, span_of("salt", "message", "wf_1/put/run/1"))]
        assert (span.end_time or 0) - (span.start_time or 0) == 2_000_000_000
        told = attributes(span)
        assert told[conventions.GEN_AI_OPERATION_NAME] == "execute_tool"
        assert told[conventions.GEN_AI_TOOL_CALL_ID] == "wf_1/put/run/1"
        assert not [value for value in told.values() if "secret" in str(value)], "no payload leaves by a span"


# --- no harm ----------------------------------------------------------------------------------------------------------


class Failing(SpanExporter):
    """Raises at everything."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        raise RuntimeError("it is broken")

    def shutdown(self) -> None:
        raise RuntimeError("it is broken")


class Hanging(SpanExporter):
    """Never comes back."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        HANGING.wait()


async def test_what_cannot_be_told_is_logged_once_and_never_raised(caplog: pytest.LogCaptureFixture) -> None:
    async with Kept() as kept:
        naive = datetime(2026, 3, 1, 12, 0)  # noqa: DTZ001 - no instant: it cannot be told
        request = Request("wf_1", Wake(), AT, "timer", "engine")
        with caplog.at_level(logging.WARNING, "handrail.deploy"):
            for _ in range(3):
                kept.traces.failed(naive, [request], RuntimeError("x"))
                kept.traces.claimed(naive, [COMMAND])
        assert kept.spans == ()
        assert [one.getMessage().partition(":")[0] for one in caplog.records] == ["traces are incomplete"]


async def test_an_exporter_that_hangs_does_not_keep_the_process_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.traces.opening.CLOSE_SECONDS", 0.05)
    HANGING.clear()
    try:
        async with asyncio.timeout(10):
            async with Kept(Hanging()):
                pass
    finally:
        HANGING.set()


# --- whether they are asked for ---------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[WorkflowStore]:
    opened = open_sqlite_store(tmp_path / "handrail.db", definitions=load((), examples=False))
    yield opened
    opened.close()


def test_a_store_keeps_its_salt_and_has_its_own(store: WorkflowStore, tmp_path: Path) -> None:
    other = open_sqlite_store(tmp_path / "other.db", definitions=load((), examples=False))
    assert salt_of(store) == salt_of(store)
    assert salt_of(store) != salt_of(other)
    other.close()


def test_without_the_setting_there_are_none(store: WorkflowStore) -> None:
    assert open_traces(Settings(), store, Clock()) is None
    assert not store.query("SELECT 1 FROM store_facts WHERE name = 'trace_salt'")


def test_without_the_setting_nothing_of_opentelemetry_is_imported() -> None:
    program = (
        "import asyncio, sys, deploy.client, deploy.runtime, deploy.serving.process, deploy.cli.main\n"
        "async def work():\n"
        "    async with deploy.runtime.Runtime(sys.argv[1], views=False): pass\n"
        "asyncio.run(work())\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    with tempfile.TemporaryDirectory() as home:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("HANDRAIL_", "OTEL_"))}
        ran = subprocess.run(
            [sys.executable, "-c", program, home],
            cwd=ROOT,
            env={**environment, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
    assert ran.stdout == "[]\n"


def test_what_is_not_installed_is_named_with_the_way_out(store: WorkflowStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deploy.traces.opening", None)
    with pytest.raises(InputInvalid, match=r"install handrail\[traces\]"):
        open_traces(Settings(traces="otlp"), store, Clock())


def test_a_variable_that_does_not_fit_is_an_error_of_one_line(
    store: WorkflowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    with pytest.raises(InputInvalid, match="OTEL_… variable does not fit") as raised:
        open_traces(Settings(traces="console"), store, Clock())
    assert "\n" not in str(raised.value)


async def test_the_console_gets_a_line_a_span_and_stdout_none(
    store: WorkflowStore, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = open_traces(Settings(traces="console"), store, Clock())
    assert opened is not None
    opened.traces.claimed(AT, [COMMAND])
    await opened.close()
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert json.loads(line)["name"] == "claim mail"
    assert said.out == ""
