"""Signals: other services' messages for the workflows that wait for them, whichever of the two comes first.

A wait for a signal writes a row of `subscriptions` in its own transaction. A signal is kept in `signals` before anyone
is looked for, so that a wait which begins meanwhile finds it; it is taken out in the transaction of the decision that
took it, and that a workflow took it is remembered, so that no workflow takes a signal twice. A subscription whose wait
is over is found out when a signal comes for it, and goes then.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from domain.chain import digest_of
from domain.errors import FenceMissed, InputInvalid, Refused, WorkflowUnknown
from domain.events import WaitSatisfied, WaitStarted
from domain.ids import check_name
from domain.payloads import check_payload
from domain.ports import Along, Aside, Clock, Cursor, Decided, Decider, Request, Transactions
from domain.store.aside import inline
from domain.store.covers import texts_of
from domain.triggers import DeliverSignal

SIGNALS_SCHEMA: Final[tuple[str, ...]] = (
    """CREATE TABLE IF NOT EXISTS subscriptions (
        workflow_id TEXT NOT NULL,
        step TEXT NOT NULL,
        name TEXT NOT NULL,
        correlation TEXT NOT NULL,
        PRIMARY KEY (workflow_id, step)
    )""",
    "CREATE INDEX IF NOT EXISTS subscriptions_signal ON subscriptions (name, correlation)",
    """CREATE TABLE IF NOT EXISTS signals (
        message_id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        correlation TEXT NOT NULL,
        payload TEXT NOT NULL,
        sender TEXT NOT NULL,
        kept_at DOUBLE PRECISION NOT NULL,
        expires_at DOUBLE PRECISION NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS signals_wanted ON signals (name, correlation, kept_at)",
    "CREATE INDEX IF NOT EXISTS signals_expiring ON signals (expires_at)",
    """CREATE TABLE IF NOT EXISTS signals_taken (
        message_id TEXT NOT NULL,
        workflow_id TEXT NOT NULL,
        PRIMARY KEY (message_id, workflow_id)
    )""",
)

KEPT_FOR: Final = timedelta(days=7)
"""How long a signal is kept that nobody waits for."""
MOST_KEPT: Final = 10_000
"""How many signals are kept at most."""
CORRELATION_CHARACTERS: Final = 200
DELIVERIES_A_SWEEP: Final = 500

_KIND: Final = "signal"


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal: who sent it, under which message id, for which correlation key."""

    message_id: str
    name: str
    correlation: str
    payload: Any
    sender: str


Subscription = tuple[str, str, str, str]
"""Workflow, step, name and correlation."""


@dataclass(slots=True)
class SignalsTurn:
    """The signals' statements of one turn: waits that begin, signals taken (by whom), waits found to be over."""

    subscribed: list[Subscription] = field(default_factory=list)
    taken: list[tuple[str, str]] = field(default_factory=list)
    over: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.subscribed or self.taken or self.over)

    def run(self, cursor: Cursor) -> None:
        """Run them; raises FenceMissed where a workflow had a signal before."""
        for pair in self.taken:
            inserted = cursor.execute(
                "INSERT INTO signals_taken (message_id, workflow_id) VALUES (?, ?) ON CONFLICT DO NOTHING", pair
            )
            if inserted != 1:
                raise FenceMissed(f"workflow {pair[1]} had the signal {pair[0]} before")
        if self.taken:
            cursor.executemany("DELETE FROM signals WHERE message_id = ?", [pair[:1] for pair in self.taken])
        if self.over:
            cursor.executemany(
                "DELETE FROM subscriptions WHERE workflow_id = ? AND name = ? AND correlation = ?", self.over
            )
        # Last: the wait that a signal ends may be followed, in the same decision, by one for the same signal.
        if self.subscribed:
            cursor.executemany(
                "INSERT INTO subscriptions (workflow_id, step, name, correlation) VALUES (?, ?, ?, ?) ON CONFLICT "
                "(workflow_id, step) DO UPDATE SET name = excluded.name, correlation = excluded.correlation",
                self.subscribed,
            )


class SignalsCompanion:
    """Keeps the tables true to the events of each turn."""

    def along(self, turn: Sequence[Decided]) -> Sequence[Along]:
        """The statements of a turn."""
        statements = SignalsTurn()
        for decided in turn:
            workflow_id, trigger = decided.request.workflow_id, decided.request.trigger
            for recorded in decided.events:
                event = recorded.event
                if type(event) is WaitStarted and event.reason == "signal":
                    row = workflow_id, event.step, event.name or "", event.correlation or ""
                    statements.subscribed.append(row)
            if type(trigger) is DeliverSignal:
                # Whatever waited for it in this workflow has it now, or waits no longer.
                statements.over.append((workflow_id, trigger.name, trigger.correlation))
                if _took(decided):
                    statements.taken.append((decided.request.cause, workflow_id))
        return () if statements.empty else (statements,)

    def committed(self, turn: Sequence[Decided]) -> None:
        """Nothing to hand on: the relay sees the waits in the log."""


Receive = Callable[[Cursor, str, str, str], bool]
"""Cursor, message id, kind and digest of a message: writes its receipt within the transaction."""


class Signals:
    """Brings signals and waits together."""

    def __init__(
        self, store: Transactions, decider: Decider, clock: Clock, receive: Receive, *, aside: Aside = inline
    ) -> None:
        """`receive` writes a message's receipt, and says whether the message is new; `aside` asks the store."""
        self._receive = receive
        self._aside = aside
        self._store = store
        self._decider = decider
        self._clock = clock

    async def receive(self, signal: Signal) -> list[str]:
        """Deliver a signal to every workflow that waits for it, or keep it for the one that will.

        The ids of the workflows that took it; none for a repeat. Raises InputInvalid, Refused where too many are kept
        or the message id stands for another signal, StoreUnavailable.
        """
        check_name(signal.name, "signal")
        if not 0 < len(signal.correlation) <= CORRELATION_CHARACTERS:
            raise InputInvalid(f"signal {signal.name!r}: a correlation has 1 to {CORRELATION_CHARACTERS} characters")
        check_payload(signal.payload, f"payload of signal {signal.name!r}")
        if not await self._aside(lambda: self._keep(signal)):
            return []
        rows = await self._query(
            "SELECT DISTINCT workflow_id FROM subscriptions WHERE name = ? AND correlation = ?",
            (signal.name, signal.correlation),
        )
        return await self._deliver(signal, [row[0] for row in rows])

    async def wanted(self, workflow_id: str, wait: WaitStarted) -> None:
        """A wait began: deliver the oldest signal that is kept for it."""
        rows = await self._query(
            "SELECT message_id, payload, sender FROM signals "
            "WHERE name = ? AND correlation = ? AND expires_at > ? ORDER BY kept_at LIMIT 1",
            (wait.name, wait.correlation, self._clock().timestamp()),
        )
        for message_id, payload, sender in rows:
            shown = texts_of(self._store).show(payload)
            signal = Signal(message_id, wait.name or "", wait.correlation or "", json.loads(shown), sender)
            await self._deliver(signal, [workflow_id])

    async def deliver_kept(self, only: Collection[str] | None) -> list[str]:
        """Deliver what is kept for waits that have long begun; the workflows of `only` (None: all) that took it.

        A process that received a signal may have died before it delivered it.
        """
        rows = await self._query(
            "SELECT signals.message_id, signals.name, signals.correlation, payload, sender, workflow_id "
            "FROM signals JOIN subscriptions "
            "ON subscriptions.name = signals.name AND subscriptions.correlation = signals.correlation "
            "WHERE expires_at > ? ORDER BY kept_at LIMIT ?",
            (self._clock().timestamp(), DELIVERIES_A_SWEEP),
        )
        oldest: dict[tuple[str, str, str], Signal] = {}
        for *parts, payload, sender, workflow_id in rows:
            if only is None or workflow_id in only:
                shown = texts_of(self._store).show(payload)
                signal = Signal(parts[0], parts[1], parts[2], json.loads(shown), sender)
                oldest.setdefault((workflow_id, signal.name, signal.correlation), signal)
        took: list[str] = []
        for (workflow_id, _, _), signal in oldest.items():
            took += await self._deliver(signal, [workflow_id])
        return took

    async def _query(self, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        return await self._aside(lambda: self._read(statement, parameters))

    def _read(self, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._store.query(statement, parameters)

    def _keep(self, signal: Signal) -> bool:
        """Keep a signal, with the receipt that makes a repeat one; whether it is new."""
        now = self._clock().timestamp()
        digest = digest_of([signal.name, signal.correlation, signal.payload])
        with self._store.transaction() as cursor:
            if not self._receive(cursor, signal.message_id, _KIND, digest):
                return False
            cursor.execute("DELETE FROM signals WHERE expires_at <= ?", (now,))
            cursor.execute(
                "INSERT INTO signals (message_id, name, correlation, payload, sender, kept_at, expires_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    signal.message_id,
                    signal.name,
                    signal.correlation,
                    texts_of(self._store).hide(json.dumps(signal.payload)),
                    signal.sender,
                    now,
                    now + KEPT_FOR.total_seconds(),
                ),
            )
            ((kept,),) = cursor.query("SELECT count(*) FROM signals")
            if kept > MOST_KEPT:
                raise Refused(
                    f"{MOST_KEPT} signals are kept that nobody waits for; send this one when it is waited for"
                )
        return True

    async def _deliver(self, signal: Signal, workflow_ids: Sequence[str]) -> list[str]:
        at = self._clock()
        trigger = DeliverSignal(name=signal.name, correlation=signal.correlation, payload=signal.payload)
        requests = [Request(workflow_id, trigger, at, signal.message_id, signal.sender) for workflow_id in workflow_ids]
        answers = await asyncio.gather(*map(self._decider.decide, requests), return_exceptions=True)
        took: list[str] = []
        for request, answer in zip(requests, answers, strict=True):
            if isinstance(answer, BaseException):
                # FenceMissed: it came to this workflow by another way, just now.
                if not isinstance(answer, WorkflowUnknown | FenceMissed):
                    raise answer
            elif _took(answer):
                took.append(request.workflow_id)
        return took


def _took(decided: Decided) -> bool:
    """Whether a workflow waited for the signal, and has it now."""
    return any(
        type(recorded.event) is WaitSatisfied and recorded.event.reason == "signal" for recorded in decided.events
    )
