"""Statements to PostgreSQL and back over one connection, as few round trips as can be.

Statements are gathered, and go out together when somebody needs an answer: libpq's pipeline mode, used directly. The
driver's own cursors cost several times as much a statement, and wait for as long as the other end likes; here every
answer has a time limit, so that a server which hangs, or a network that swallows, ends in an error.

Each statement is prepared once a connection. Texts travel without a type: the server takes them for what they are
compared with or put into. So do all values of the rows of an INSERT, which then stays one statement whichever of its
values are missing; other numbers say what they are, or `? + 1` would make an integer of an instant.
"""

from __future__ import annotations

import select
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import errors, pq
from psycopg.adapt import Transformer

ANSWER_SECONDS: Final = 20.0
"""How long an answer may take. The server gives up a statement sooner; longer takes only one that cannot be reached."""

CLOCK_KEPT_SECONDS: Final = 10.0
"""How long a look at the server's clock is relied on, by the clock of this machine that nobody sets."""

STATEMENTS_PREPARED: Final = 500
_STATEMENTS_TRANSLATED: Final = 2_048

_TEXT: Final = pq.Format.TEXT
_BINARY: Final = pq.Format.BINARY
_TYPES: Final[dict[type, int]] = {int: 20, float: 701}  # int8 and float8
_FINE: Final = frozenset({pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK, pq.ExecStatus.EMPTY_QUERY})


class Answer(NamedTuple):
    """What one statement gave: the rows, and how many it changed."""

    rows: list[tuple[Any, ...]]
    changed: int


NOTHING: Final = Answer([], 0)


class Gathered:
    """A statement that goes out with the next exchange; its answer is there afterwards."""

    __slots__ = ("answer", "answered_at", "parameters", "statement", "typed")

    def __init__(self, statement: str, parameters: Sequence[Any], *, typed: bool) -> None:
        """Not sent yet."""
        self.statement = statement
        self.parameters = parameters
        self.typed = typed
        self.answer: Answer = NOTHING
        self.answered_at = 0.0
        """When the answer was read, by the monotonic clock."""


Known = tuple[str, tuple[int, ...] | None]
"""A statement and the types of its parameters, where they have any."""

Sent = tuple[Gathered | None, Known]
"""A command whose result is awaited: whose it is, or None for one that makes the statement known to the server."""


class Wire:
    """One connection. Used by one thread at a time."""

    def __init__(self, connection: psycopg.Connection[Any], *, answer_seconds: float = ANSWER_SECONDS) -> None:
        """Take a connection over, one that was just opened and is in no transaction."""
        self.process = connection.info.backend_pid
        self.round_trips = 0
        self._clock_ahead: float | None = None
        self._clock_seen_at = 0.0
        self._connection = connection
        self._server = connection.pgconn
        self._answer_seconds = answer_seconds
        self._transformer = Transformer(connection)
        self._prepared: dict[Known, bytes] = {}
        self._names = 0
        self._gathered: list[Gathered] = []
        self._owed: list[Sent] = []
        self._poll = select.poll()
        self._socket = self._server.socket
        self._server.nonblocking = 1
        self._server.enter_pipeline_mode()

    @property
    def usable(self) -> bool:
        """Whether the connection is there still and in step, as far as can be told without asking."""
        try:
            self._settle()
            if self._server.status != pq.ConnStatus.OK:
                return False
            # An idle server says nothing, unless it says farewell.
            self._poll.register(self._socket, select.POLLIN)
            if self._poll.poll(0):
                self._server.consume_input()
                return self._server.status == pq.ConnStatus.OK and not self._poll.poll(0)
        except psycopg.Error:
            return False
        return True

    @property
    def in_transaction(self) -> bool:
        """Whether the server has a transaction open, a failed one included."""
        return self._server.transaction_status != pq.TransactionStatus.IDLE

    def gather(self, statement: str, parameters: Sequence[Any] = (), *, typed: bool = True) -> Gathered:
        """Have a statement run with the next that is answered; not `typed` where every value goes into a column."""
        gathered = Gathered(statement, parameters, typed=typed)
        self._gathered.append(gathered)
        return gathered

    def forget(self) -> None:
        """Drop what was gathered and never sent."""
        self._gathered.clear()

    def ask(self, statement: str, parameters: Sequence[Any] = ()) -> Answer:
        """Run what was gathered, and this; the answer to this. Raises psycopg.Error, the first there was."""
        asked = self.gather(statement, parameters)
        self.exchange()
        return asked.answer

    def exchange(self) -> None:
        """Run what was gathered, in one round trip. Raises psycopg.Error, the first there was."""
        self._settle()
        if self._gathered:
            self._send_off()
            self._settle()

    def send(self, statement: str) -> None:
        """Have a statement run whose answer nobody waits for; it is looked at when the connection is used again."""
        self._settle()
        self.gather(statement)
        self._send_off()

    def see_clock(self, clock: Gathered) -> None:
        """Remember what the server's clock said in an answer: that it was so late, when the answer was read, or later.

        Of several looks the one that makes it latest is the truest: answers take their time.
        """
        ahead = float(clock.answer.rows[0][0]) - clock.answered_at
        fresh = clock.answered_at - self._clock_seen_at <= CLOCK_KEPT_SECONDS
        if self._clock_ahead is None or not fresh or ahead > self._clock_ahead:
            self._clock_ahead, self._clock_seen_at = ahead, clock.answered_at

    def clock(self) -> float | None:
        """What the server's clock says now, as far as this connection has seen it lately; rather early than late."""
        now = time.monotonic()
        if self._clock_ahead is None or now - self._clock_seen_at > CLOCK_KEPT_SECONDS:
            return None
        return now + self._clock_ahead

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    # --- below ------------------------------------------------------------------------------------------------------

    def _send_off(self) -> None:
        gathered, self._gathered = self._gathered, []
        # Encoded before anything is sent: a value that does not fit leaves the connection as it was.
        encoded = [(one, *_encode(one.parameters)) for one in gathered]
        self.round_trips += 1
        for one, values, formats in encoded:
            self._send(one, values, formats)
        self._server.pipeline_sync()
        self._flush(time.monotonic() + self._answer_seconds)

    def _send(self, one: Gathered, values: list[bytes | None], formats: list[int] | None) -> None:
        types = _types(one.parameters) if one.typed else None
        known = one.statement, types
        name = self._prepared.get(known)
        if name is None:
            if len(self._prepared) >= STATEMENTS_PREPARED:
                self._server.send_query_params(translated(one.statement), values, types, formats, _BINARY)
                self._owed.append((one, known))
                return
            self._names += 1
            name = self._prepared[known] = b"h%d" % self._names
            self._server.send_prepare(name, translated(one.statement), types)
            self._owed.append((None, known))
        self._server.send_query_prepared(name, values, formats, _BINARY)
        self._owed.append((one, known))

    def _settle(self) -> None:
        """Take in the answers that are owed; raises the first error among them."""
        if not self._owed:
            return
        deadline = time.monotonic() + self._answer_seconds
        failed: psycopg.Error | None = None
        for one, known in self._owed:
            result = self._result(deadline)
            if result.status in _FINE:
                if one is not None:
                    one.answer = self._answer(result)
                    one.answered_at = time.monotonic()
                continue
            if one is None:
                self._prepared.pop(known, None)
            if failed is None and result.status != pq.ExecStatus.PIPELINE_ABORTED:
                failed = _error_of(result)
            if self._server.status != pq.ConnStatus.OK:
                break
        if failed is None or self._server.status == pq.ConnStatus.OK:
            self._synchronised(deadline)
            self._owed.clear()  # whoever fails before this point leaves a connection that is out of step
        if failed is not None:
            raise failed

    def _answer(self, result: pq.abc.PGresult) -> Answer:
        changed = result.command_tuples or 0
        if result.status != pq.ExecStatus.TUPLES_OK or not result.ntuples:
            return Answer([], changed)
        self._transformer.set_pgresult(result)
        return Answer(self._transformer.load_rows(0, result.ntuples, tuple), changed)

    def _result(self, deadline: float) -> pq.abc.PGresult:
        """The last result of the next command."""
        found: pq.abc.PGresult | None = None
        while (result := self._next(deadline)) is not None:
            found = result
        if found is None:
            raise errors.OperationalError("the server gave no answer to a statement")
        return found

    def _synchronised(self, deadline: float) -> None:
        result = self._next(deadline)
        if result is None or result.status != pq.ExecStatus.PIPELINE_SYNC:
            raise errors.OperationalError("the connection is out of step")

    def _next(self, deadline: float) -> pq.abc.PGresult | None:
        while self._server.is_busy():
            self._wait(select.POLLIN, deadline)
            self._server.consume_input()
        return self._server.get_result()

    def _flush(self, deadline: float) -> None:
        """Send all; what comes in meanwhile is taken in, or both ends would wait for one another."""
        while self._server.flush():
            if self._wait(select.POLLIN | select.POLLOUT, deadline) & select.POLLIN:
                self._server.consume_input()

    def _wait(self, what: int, deadline: float) -> int:
        self._poll.register(self._socket, what)
        found = self._poll.poll(max(0.0, deadline - time.monotonic()) * 1_000)
        if not found:
            raise errors.OperationalError(f"no answer within {self._answer_seconds:g} s")
        return found[0][1]


@lru_cache(maxsize=_STATEMENTS_TRANSLATED)
def translated(statement: str) -> bytes:
    """A statement with `$1`, `$2` … for each `?` outside of quotes."""
    parts = statement.split("'")
    number = 0
    for place in range(0, len(parts), 2):
        pieces = parts[place].split("?")
        text = pieces[0]
        for piece in pieces[1:]:
            number += 1
            text += f"${number}{piece}"
        parts[place] = text
    return "'".join(parts).encode()


def _types(parameters: Sequence[Any]) -> tuple[int, ...] | None:
    """The types of numbers; None where there are none."""
    types = tuple([_TYPES.get(type(value), 0) for value in parameters])
    return types if any(types) else None


def _encode(parameters: Sequence[Any]) -> tuple[list[bytes | None], list[int] | None]:
    """Values as the server reads them. Raises psycopg.DataError for one that no column holds."""
    values: list[bytes | None] = []
    formats: list[int] | None = None
    for number, value in enumerate(parameters):
        kind = type(value)
        if kind is str:
            if "\0" in value:
                raise errors.DataError("a text with a NUL character")
            try:
                values.append(value.encode())
            except UnicodeEncodeError as error:
                raise errors.DataError("a text that is not Unicode") from error
        elif value is None:
            values.append(None)
        elif kind is int or kind is float:
            values.append(repr(value).encode())
        elif kind is bytes:
            if formats is None:
                formats = [_TEXT] * len(parameters)
            formats[number] = _BINARY
            values.append(value)
        elif kind is bool:
            values.append(b"t" if value else b"f")
        elif isinstance(value, str):
            values.append(str.__str__(value).encode())
        else:
            raise errors.DataError(f"a value of type {kind.__name__}")
    return values, formats


def _error_of(result: pq.abc.PGresult) -> psycopg.Error:
    """The driver's error for a result that is one."""
    state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode("ascii", "replace")
    words = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or result.error_message
    try:
        kind = errors.lookup(state)
    except KeyError:
        kind = errors.OperationalError
    return kind(words.decode("utf-8", "replace"))
