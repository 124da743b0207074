"""The inbox: one row a message id, true together with the events; it decides whether a message still means something.

Commands: `open` (written by the transaction that schedules) → `claimed` (owner, lease) → `done`, or `revoked`, or
`lapsed`. A claim holds until somebody lapses it, however late its lease: the row, not the clock, says whose an outcome
is. A command for a consumer in another language goes `open` → `handed_over` (once the broker has it) → `done`, or
`lapsed` at its schedule-to-finish time-out. Other messages: `done`, inserted with the decision on them; that row is
what makes a repeat a repeat.

`InboxCompanion` writes a turn's changes in the turn's own transaction, each with the number of rows it must hit:
whatever was changed by somebody else meanwhile rolls the whole turn back. Where the deciding process runs attempts
itself, the scheduling transaction inserts the row already claimed, which saves a transaction a step; not for `once`,
whose claim must not be older than the will to run it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from domain.errors import FenceMissed, WorkflowConflict
from domain.events import STORED, StepScheduled, StoppingBegan
from domain.messages import command_of
from domain.ports import Along, Command, Cursor, Decided, Queries
from domain.state import UNDO, State

INBOX_SCHEMA: Final[tuple[str, ...]] = (
    """CREATE TABLE IF NOT EXISTS inbox (
        message_id TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        workflow_id TEXT NOT NULL,
        version BIGINT,
        digest TEXT,
        state TEXT NOT NULL,
        owner TEXT,
        lease_until DOUBLE PRECISION,
        issue_after DOUBLE PRECISION,
        issued BIGINT NOT NULL DEFAULT 0,
        issued_at DOUBLE PRECISION,
        expires_at DOUBLE PRECISION,
        queue TEXT,
        sender TEXT,
        cancel TEXT,
        limited TEXT,
        due_at DOUBLE PRECISION
    )""",
    "CREATE INDEX IF NOT EXISTS inbox_claimed ON inbox (lease_until) WHERE state = 'claimed'",
    "CREATE INDEX IF NOT EXISTS inbox_open ON inbox (issue_after) WHERE state = 'open'",
    "CREATE INDEX IF NOT EXISTS inbox_expiring ON inbox (expires_at) WHERE state = 'open'",
    "CREATE INDEX IF NOT EXISTS inbox_handed_over ON inbox (expires_at) WHERE state = 'handed_over'",
    "CREATE INDEX IF NOT EXISTS inbox_limited ON inbox (limited) WHERE state = 'claimed' AND limited IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS inbox_deferred ON inbox (limited, due_at) WHERE state = 'open' AND due_at IS NOT NULL",
)
"""`version` is that of the StepScheduled event; `digest`, of a command that was written `open`, is that of what its
consumer is to be told; `issue_after`, `lease_until` and `due_at` are instants of the database's clock, `expires_at` is
one of the engine's; `sender` is the process that promised to publish it straight after the commit, so that no relay
need; `issued` counts how often an open command was issued again since a consumer last said that it waits there,
`issued_at` is when it was for the first time, as far as that tells its place in a queue; `cancel` tells the claim's
owner that the workflow is stopping (`asked`, or `forced`: after the grace); `limited` names the limit over all
processes that a claimed or deferred command counts under, `due_at` is when a deferred one is promised to run."""

REISSUE_AFTER_SECONDS: Final = 30.0
"""How long an open command waits for its claim before it is issued again; after half as long again once more, and then
after twice as long with every time."""
PROMISE_SECONDS: Final = 10.0
"""The same where a process promised to send it itself: a promise is kept or given back within what publishing may take,
so one that is neither died with its process."""

MOST_NOTED: Final = 20_000
"""Commands whose fate is kept for a relay in the same process at most; it asks about the others."""

_INSERT: Final = (
    "INSERT INTO inbox (message_id, kind, workflow_id, version, digest, state, "
    "owner, lease_until, issue_after, issued_at, expires_at, queue, sender) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

ASKED: Final = "asked"
FORCED: Final = "forced"
"""What a claim's owner is told of a workflow that is stopping: only a failure of another branch leaves attempts their
time, whatever else stops it ends them after the grace."""

_REVOKING: Final = frozenset(kind for kind in STORED.values() if "revoked" in kind.model_fields)
"""The events that revoke commands. Asking each event for the field would cost more than all else that is done here."""

_SIZES: Final = (1, 4, 16, 64, 256)
_RECEIPT: Final = "(?, ?, ?, ?, 'done')"
_RECEIPTS_AT_ONCE: Final = 64
"""Four values each: within SQLite's oldest limit of 999 variables."""


def in_chunks(message_ids: Iterable[str]) -> Iterable[tuple[list[str], str]]:
    """Ids for `IN (…)`, with the placeholders; filled up to a few sizes, so that few statements are prepared."""
    ids = sorted(set(message_ids))
    for start in range(0, len(ids), _SIZES[-1]):
        chunk = ids[start : start + _SIZES[-1]]
        size = next(size for size in _SIZES if size >= len(chunk))
        yield chunk + [chunk[-1]] * (size - len(chunk)), ", ".join("?" * size)


def command_digest(command: Command) -> str:
    """Digest of all that a command tells its consumer: what was scheduled, whatever carried it since.

    Not canonical JSON, which costs ten times as much: both ends are Python, and its JSON comes back as it was.
    """
    told = (
        command.message_id,
        command.workflow_id,
        command.generation,
        command.activity,
        command.input,
        command.definition,
        command.definition_version,
        command.idempotency_key,
        command.expires_at.timestamp(),
        command.requested_by,
    )
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), default=dict)
    return hashlib.sha256(text.encode()).hexdigest()


def receive(cursor: Cursor, message_id: str, kind: str, digest: str) -> bool:
    """Write the receipt of a message that is no command; whether it is new.

    Raises WorkflowConflict where the message id stands for another body.
    """
    inserted = cursor.execute(
        "INSERT INTO inbox (message_id, kind, workflow_id, digest, state) VALUES (?, ?, '', ?, 'done') "
        "ON CONFLICT (message_id) DO NOTHING",
        (message_id, kind, digest),
    )
    if inserted == 1:
        return True
    rows = cursor.query("SELECT kind, digest FROM inbox WHERE message_id = ?", (message_id,))
    if rows != [(kind, digest)]:
        raise WorkflowConflict(f"message {message_id} was received before with another body; give it an id of its own")
    return False


class Rooms(Protocol):
    """The room for further attempts in this process, counted down as a turn plans them."""

    def take_for(self, state: State, activity: str) -> bool:
        """Plan an attempt for a workflow; False where it cannot begin at once."""
        ...


class Starter(Protocol):
    """Who runs attempts in this process."""

    def rooms(self) -> Rooms:
        """The room there is now."""
        ...

    def start(self, commands: Sequence[Command]) -> None:
        """Begin an attempt for each of these commands, whose claims are durable."""
        ...


class Straight(Protocol):
    """Who publishes commands of this process straight after the commit that scheduled them."""

    @property
    def room(self) -> int:
        """How many it takes now; none where it could not be relied on to send them soon."""
        ...

    def put(self, commands: Sequence[Command]) -> None:
        """Send these, whose rows promise it."""
        ...


@dataclass(slots=True)
class Inserted:
    """A row to insert; without a `digest` it is claimed, with `promised` this process sends the command itself."""

    scheduled: StepScheduled
    workflow_id: str
    version: int
    digest: str | None
    promised: bool = False


class InboxTurn:
    """The inbox's statements of one turn."""

    __slots__ = (
        "_lease_seconds",
        "_owner",
        "asked",
        "completed",
        "forced",
        "inserted",
        "lapsed",
        "receipts",
        "revoked",
        "run_out",
    )

    def __init__(self, owner: str, lease_seconds: float) -> None:
        """Collect for this owner."""
        self._owner = owner
        self._lease_seconds = lease_seconds
        self.inserted: list[Inserted] = []
        self.completed: list[str] = []
        self.lapsed: list[str] = []
        self.run_out: list[str] = []
        self.revoked: list[str] = []
        self.asked: list[str] = []
        self.forced: list[str] = []
        self.receipts: list[tuple[str, str, str, str]] = []

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.inserted or self.completed or self.lapsed or self.run_out or self._follows)

    @property
    def _follows(self) -> bool:
        return bool(self.revoked or self.asked or self.forced or self.receipts)

    def run(self, cursor: Cursor) -> None:
        """Run them; raises FenceMissed, naming the rows that were not as expected."""
        now = cursor.now()
        # A row may be revoked by a later decision of the same turn, so inserts come first.
        if self.inserted:
            cursor.executemany(_INSERT, [self._row(one, now) for one in self.inserted])
        if self.completed:
            _move(
                cursor,
                "state = 'done', lease_until = NULL",
                "(state = 'claimed' AND owner = ? OR state = 'handed_over')",
                (self._owner,),
                self.completed,
                "was not, or no longer, claimed by this process",
            )
        if self.lapsed:
            held = "state IN ('claimed', 'handed_over')"
            _move(cursor, "state = 'lapsed'", held, (), self.lapsed, "was not claimed any more")
        if self.run_out:
            held = "(state = 'claimed' AND lease_until <= ? OR state = 'handed_over')"
            _move(cursor, "state = 'lapsed'", held, (now,), self.run_out, "was renewed, or is not claimed any more")
        if self.revoked:
            _move(cursor, "state = 'revoked'", "state = 'open'", (), self.revoked, "was claimed meanwhile")
        for message_ids, how in ((self.asked, ASKED), (self.forced, FORCED)):
            for chunk, places in in_chunks(message_ids):
                cursor.execute(
                    f"UPDATE inbox SET cancel = ? WHERE message_id IN ({places}) AND state = 'claimed'",  # noqa: S608
                    (how, *chunk),
                )
        if self.receipts:
            _receive_all(cursor, self.receipts)

    def _row(self, one: Inserted, now: float) -> tuple[Any, ...]:
        scheduled = one.scheduled
        claimed = one.digest is None
        return (
            scheduled.message_id,
            scheduled.kind,
            one.workflow_id,
            one.version,
            one.digest,
            "claimed" if claimed else "open",
            self._owner if claimed else None,
            now + self._lease_seconds if claimed else None,
            now + (PROMISE_SECONDS if one.promised else REISSUE_AFTER_SECONDS),
            None if claimed else now,
            scheduled.expires_at.timestamp(),
            scheduled.queue,
            self._owner if one.promised else None,
        )


def _move(
    cursor: Cursor, change: str, where: str, parameters: tuple[Any, ...], message_ids: list[str], fault: str
) -> None:
    moved: set[str] = set()
    for chunk, places in in_chunks(message_ids):
        statement = f"UPDATE inbox SET {change} WHERE message_id IN ({places}) AND {where} RETURNING message_id"  # noqa: S608 - fixed parts
        moved.update(row[0] for row in cursor.query(statement, (*chunk, *parameters)))
    if len(moved) != len(message_ids):
        missed = sorted(set(message_ids) - moved)
        raise FenceMissed(f"command {missed[0]} {fault}", message_ids=missed)


def _receive_all(cursor: Cursor, receipts: Sequence[tuple[str, str, str, str]]) -> None:
    """Write receipts, many with one statement; raises FenceMissed for those that were there."""
    written: set[str] = set()
    for start in range(0, len(receipts), _RECEIPTS_AT_ONCE):
        chunk = receipts[start : start + _RECEIPTS_AT_ONCE]
        size = next(size for size in _SIZES if size >= len(chunk))
        # Filled up to a few sizes, as above: the same row once more changes nothing.
        filled = [*chunk, *[chunk[-1]] * (size - len(chunk))]
        rows = cursor.query(
            "INSERT INTO inbox (message_id, kind, workflow_id, digest, state) "  # noqa: S608 - fixed parts
            f"VALUES {', '.join([_RECEIPT] * size)} "
            "ON CONFLICT (message_id) DO NOTHING RETURNING message_id",
            [value for row in filled for value in row],
        )
        written.update(row[0] for row in rows)
    if len(written) != len(receipts):
        missed = sorted({row[0] for row in receipts} - written) or [receipts[-1][0]]
        raise FenceMissed(f"message {missed[0]} was decided on before", message_ids=missed)


class InboxCompanion:
    """Keeps the inbox true to the events of each turn, and hands on what may start once the turn is in the store.

    `starter` is None in a process that runs nothing; then every command is written `open`, for whoever does. What is
    open is sent by `straight`, as far as there is one and it has room, and by the relay otherwise.
    """

    def __init__(self, owner: str, *, lease_seconds: float) -> None:
        """Write claims for this owner."""
        self.owner = owner
        self.starter: Starter | None = None
        self.straight: Straight | None = None
        self._lease_seconds = lease_seconds
        self._claimed: set[str] = set()
        self._promised: list[Command] = []
        self._inserted: Sequence[Inserted] = ()
        self.to_send: dict[str, bool] | None = None
        """Of commands that were scheduled here, whether the relay is to send them; for a relay in this process.

        The relay takes out what it comes to, and asks the store about what is not here. None where there is no such
        relay: nobody would ever take them out.
        """

    def along(self, turn: Sequence[Decided]) -> Sequence[Along]:
        """The statements of a turn."""
        statements = InboxTurn(self.owner, self._lease_seconds)
        self._claimed, self._promised, self._inserted = set(), [], statements.inserted
        room = self.straight.room if self.straight is not None else 0
        rooms = self.starter.rooms() if self.starter is not None else None
        for decided in turn:
            if decided.error is not None:
                continue
            request = decided.request
            for recorded in decided.events:
                event = recorded.event
                if type(event) is StepScheduled:
                    claimed = (
                        rooms is not None and event.effect != "once" and rooms.take_for(decided.state, event.activity)
                    )
                    row = Inserted(event, request.workflow_id, recorded.originator_version, None)
                    if claimed:
                        self._claimed.add(event.message_id)
                    else:
                        command = command_of(event, request.workflow_id, decided.state, scheduled_at=recorded.timestamp)
                        row.digest = command_digest(command)
                        row.promised = len(self._promised) < room
                        if row.promised:
                            self._promised.append(command)
                    statements.inserted.append(row)
                elif type(event) in _REVOKING:
                    statements.revoked.extend(event.revoked)  # type: ignore[attr-defined]  # these have it
                    if type(event) is StoppingBegan:
                        told = statements.asked if event.why == "failed" else statements.forced
                        told += [name for name, holder in decided.state.live.items() if holder != UNDO]
            if request.completes is not None:
                statements.completed.append(request.completes)
            if request.lapses is not None:
                (statements.run_out if request.unless_renewed else statements.lapsed).append(request.lapses)
            if request.receipt is not None:
                receipt = request.receipt
                statements.receipts.append((receipt.message_id, receipt.kind, request.workflow_id, receipt.digest))
        return () if statements.empty else (statements,)

    def committed(self, turn: Sequence[Decided]) -> None:
        """Start what the turn's own transaction claimed, and send what it promised to."""
        to_send = self.to_send
        if to_send is not None and len(to_send) < MOST_NOTED:
            for row in self._inserted:
                to_send[row.scheduled.message_id] = row.digest is not None and not row.promised
        if self._promised and self.straight is not None:
            promised, self._promised = self._promised, []
            self.straight.put(promised)
        if not self._claimed or self.starter is None:
            return
        claimed, self._claimed = self._claimed, set()
        self.starter.start(
            [
                command_of(
                    recorded.event,
                    decided.state.workflow_id,
                    decided.state,
                    claimed=True,
                    scheduled_at=recorded.timestamp,
                )
                for decided in turn
                for recorded in decided.events
                if type(recorded.event) is StepScheduled and recorded.event.message_id in claimed
            ]
        )

    def open_among(self, cursor: Cursor, message_ids: Sequence[str]) -> frozenset[str]:
        """Those of the message ids whose row is `open`."""
        return _among(cursor, message_ids, "state = 'open'")

    def unsent_among(self, store: Queries, message_ids: Sequence[str]) -> frozenset[str]:
        """Those of the message ids whose row is `open`, and which no process has promised to send itself."""
        return _among(store, message_ids, "state = 'open' AND sender IS NULL")


def _among(store: Queries, message_ids: Sequence[str], where: str) -> frozenset[str]:
    found: set[str] = set()
    for chunk, places in in_chunks(message_ids):
        statement = f"SELECT message_id FROM inbox WHERE message_id IN ({places}) AND {where}"  # noqa: S608 - fixed parts
        found.update(row[0] for row in store.query(statement, chunk))
    return frozenset(found)
