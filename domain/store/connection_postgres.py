"""A PostgreSQL database as the store uses it: connections, checked and used in transactions whose errors are ours.

Every commit of this process passes through `StoreServer.transaction`, so this is where the fault points around a commit
are, and where a failed transaction is rolled back. A connection that was lost, or that may not be what it was, is
dropped; the next to ask gets a new one. Threads each have a connection for as long as they are in a transaction.

A server whose settings would lose what it said was stored is refused when a connection is opened: so also after a
failover to another one.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import psycopg
from eventsourcing.postgres import PostgresDatastore
from psycopg import conninfo

from domain.addresses import taken_apart, without_password
from domain.errors import InputInvalid, StoreAway, StoreError, StoreUnavailable
from domain.faultpoints import reached
from domain.store.batches_postgres import is_insert, several
from domain.store.trouble_postgres import DRIVERS, LOCK_TIMEOUT_SECONDS, STATEMENT_TIMEOUT_SECONDS, spends, trouble
from domain.store.wire_postgres import ANSWER_SECONDS, Answer, Gathered, Wire

OLDEST_SERVER: Final = 130_000
CONNECTIONS_AT_MOST: Final = 8
"""Connections that one store has open at most: for turns, for the other rooms, for what is asked beside them."""

CONNECT_TIMEOUT_SECONDS: Final = 5
IDLE_IN_TRANSACTION_SECONDS: Final = 10
"""How long a process that was stopped in the middle of a transaction, or whose machine has gone, may hold up all that
add to the log: a transaction of ours waits for nothing but the database."""
_UNANSWERED_MILLISECONDS: Final = 15_000
_EXAMPLE: Final = "postgresql://user@host:port/database"

CLOCK: Final = "SELECT extract(epoch FROM clock_timestamp())::float8"
_ABOUT: Final = (
    "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'), current_setting('fsync'), "
    "current_setting('full_page_writes'), current_setting('synchronous_commit'), "
    "current_setting('transaction_read_only')"
)
_BEGIN_READING: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class Statements:
    """The cursor of the ports, within a transaction. What needs no answer goes out with what does."""

    __slots__ = ("_clock", "_instead", "_wire")

    def __init__(self, wire: Wire, server: StoreServer, clock: Gathered | None = None) -> None:
        """Over this connection; `clock` is a statement of this transaction that asks what time it is."""
        self._wire = wire
        self._clock = clock
        self._instead = server.clock

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Run one statement; the number of rows it changed."""
        return self._wire.ask(statement, parameters).changed

    def executemany(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each row of parameters."""
        typed = not is_insert(statement)
        for each, parameters in several(statement, rows):
            self._wire.gather(each, parameters, typed=typed)

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one SELECT (or … RETURNING); its rows."""
        return self._wire.ask(statement, parameters).rows

    def now(self) -> float:
        """The server's clock: seconds since 1970 in UTC."""
        if self._instead is not None:
            return self._instead()
        if self._clock is None:
            # What one process makes due now, another may look for at once: the connections' own clocks differ a little.
            return float(self._wire.ask(CLOCK).rows[0][0])
        if not self._clock.answer.rows:
            seen = self._wire.clock()
            if seen is not None:
                return seen
            self._wire.exchange()
        return float(self._clock.answer.rows[0][0])


class StoreServer(PostgresDatastore):
    """The library's datastore, on connections of ours."""

    def __init__(self, url: str, *, connections: int = CONNECTIONS_AT_MOST) -> None:
        """Remember where; nothing is opened yet. Raises StoreUnavailable where `url` is none."""
        self.place, self.settings = server_settings(url)
        # The library's own pool is made, and stays closed.
        super().__init__(dbname="", host="", port="", user="", password="", originator_id_type="text")
        self.commits_begun = 0
        self.answer_seconds = ANSWER_SECONDS
        self.clock: Callable[[], float] | None = None
        """Stands for the server's clock, where a test sets it."""
        self.troubled: Callable[[StoreError], None] = _nobody
        """Hears of every error that a transaction or a statement ends in."""
        self._free: list[Wire] = []
        self._guard = threading.Lock()
        self._slots = threading.BoundedSemaphore(connections)
        self._connections = connections
        self._within = threading.local()
        self._processes: set[int] = set()
        self._ended = False

    def register_type_adapters(self) -> None:
        """Nothing: the composite types of the library's own statements are not used."""

    @property
    def round_trips(self) -> int:
        """Exchanges with the server so far, over the connections that rest."""
        return sum(wire.round_trips for wire in self._free)

    def is_ours(self, process: int) -> bool:
        """Whether the server's process of this number serves one of our connections."""
        return process in self._processes

    # --- transactions -----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def writing(self, *, point: str = "commit") -> Iterator[Wire]:
        """A transaction; `point` is the family of fault points reached before and after its commit.

        Whatever is raised inside rolls everything back.
        """
        if self._current is not None:
            raise StoreError("a transaction was begun within a transaction; use the cursor that it gave")
        with self._used() as wire:
            wire.gather("BEGIN")
            yield wire
            reached(f"{point}.before")
            self.commits_begun += 1
            wire.ask("COMMIT")
        reached(f"{point}.after")

    def change(self, statement: str, parameters: Callable[[float], Sequence[Any]], *, point: str) -> Answer:
        """One statement that writes, which the server takes for a transaction; `parameters` are made of its clock."""
        if self._current is not None:
            raise StoreError("a transaction was begun within a transaction; use the cursor that it gave")
        with self._used() as wire:
            made = parameters(self._clock_of(wire))
            reached(f"{point}.before")
            self.commits_begun += 1
            answer = wire.ask(statement, made)
        reached(f"{point}.after")
        return answer

    @contextlib.contextmanager
    def viewing(self) -> Iterator[Wire]:
        """A consistent view for reading; within a transaction of the same thread, what that one sees."""
        current = self._current
        if current is not None:
            with self._spoken():
                yield current
            return
        with self._used() as wire:
            wire.gather(_BEGIN_READING)
            yield wire
            wire.forget()
            if wire.in_transaction:
                wire.send("ROLLBACK")

    def ask(self, statement: str, parameters: Sequence[Any] = ()) -> Answer:
        """One statement in a transaction of its own, or in the one that this thread is in."""
        current = self._current
        if current is not None:
            with self._spoken():
                return current.ask(statement, parameters)
        with self._used() as wire:
            return wire.ask(statement, parameters)

    def close(self) -> None:
        """Close the connections for good; one in use, when it is given back."""
        super().close()
        if getattr(self, "_guard", None) is None:  # __del__ of one whose making failed
            return
        with self._guard:
            self._ended = True
        self.close_idle()

    def close_idle(self) -> None:
        """Close the connections that nobody uses; whoever asks next gets a new one."""
        with self._guard:
            free, self._free = self._free, []
        for wire in free:
            self._drop(wire)

    def _clock_of(self, wire: Wire) -> float:
        """The server's clock as this connection has seen it lately."""
        if self.clock is not None:
            return self.clock()
        seen = wire.clock()
        if seen is None:
            clock = wire.gather(CLOCK)
            wire.exchange()
            wire.see_clock(clock)
            seen = float(clock.answer.rows[0][0])
        return seen

    # --- connections ------------------------------------------------------------------------------------------------

    @property
    def _current(self) -> Wire | None:
        return getattr(self._within, "wire", None)

    @contextlib.contextmanager
    def _spoken(self) -> Iterator[None]:
        """Errors of the driver become ours."""
        try:
            yield
        except DRIVERS as error:
            raise trouble(error, self.place) from error

    @contextlib.contextmanager
    def _used(self) -> Iterator[Wire]:
        """A connection for this thread alone; rolled back or dropped where something is raised."""
        try:
            with self._spoken():
                wire = self._take()
                self._within.wire = wire
                try:
                    yield wire
                except BaseException as error:
                    self._within.wire = None
                    self._give_back(wire, sound=_rolled_back(wire, error))
                    raise
                self._within.wire = None
                self._give_back(wire, sound=True)
        except StoreError as error:
            self.troubled(error)
            raise

    def _take(self) -> Wire:
        if not self._slots.acquire(timeout=CONNECT_TIMEOUT_SECONDS):
            raise StoreUnavailable(
                f"store {self.place}: all {self._connections} connections of this process are busy; try again later"
            )
        try:
            while True:
                wire = self._next_free()
                if wire is None:
                    return self._open()
                if wire.usable:
                    return wire
                self._drop(wire)
        except BaseException:
            self._slots.release()
            raise

    def _next_free(self) -> Wire | None:
        with self._guard:
            if self._ended:
                raise StoreUnavailable(f"store {self.place} was closed; open it again")
            return self._free.pop() if self._free else None

    def _give_back(self, wire: Wire, *, sound: bool) -> None:
        try:
            with self._guard:
                keep = sound and not self._ended
                if keep:
                    self._free.append(wire)
            if not keep:
                self._drop(wire)
        finally:
            self._slots.release()

    def _drop(self, wire: Wire) -> None:
        self._processes.discard(wire.process)
        wire.close()

    def _open(self) -> Wire:
        wire = Wire(self.connect(), answer_seconds=self.answer_seconds)
        self._processes.add(wire.process)
        return wire

    def connect(self) -> psycopg.Connection[Any]:
        """A connection of its own, opened and checked. Raises StoreUnavailable, saying what to change."""
        with self._spoken():
            connection = psycopg.connect(**self.settings, autocommit=True)
            try:
                self._check(connection)
            except BaseException:
                connection.close()
                raise
            return connection

    def _check(self, connection: psycopg.Connection[Any]) -> None:
        about = connection.execute(_ABOUT).fetchone()
        if about is None:
            raise StoreUnavailable(f"store {self.place} does not say what it is; look into the server's log")
        server = About(*about)
        check_server(server, self.place)
        if server.synchronous_commit not in {"on", "remote_apply"}:
            connection.execute("SET synchronous_commit = on")


class About(NamedTuple):
    """What a server says of itself."""

    version: int
    encoding: str
    fsync: str
    full_page_writes: str
    synchronous_commit: str
    read_only: str


def check_server(server: About, place: str) -> None:
    """Refuse a server that would lose what it said was stored; raises StoreUnavailable, saying what to change.

    One that is read-only is StoreAway: a failover passes through that state, and ends it without anybody's help.
    """
    if server.version < OLDEST_SERVER:
        raise StoreUnavailable(
            f"store {place} is on PostgreSQL {server.version // 10_000}; "
            f"Handrail needs {OLDEST_SERVER // 10_000} or newer: upgrade the server"
        )
    if server.encoding != "UTF8":
        raise StoreUnavailable(
            f"store {place} is a database in {server.encoding}; create one with ENCODING 'UTF8' TEMPLATE template0"
        )
    for setting, value in (("fsync", server.fsync), ("full_page_writes", server.full_page_writes)):
        if value != "on":
            raise StoreUnavailable(
                f"store {place} runs with {setting}={value}, which loses events in a crash of the server; "
                f"set {setting}=on in postgresql.conf and reload"
            )
    if server.synchronous_commit == "off":
        raise StoreUnavailable(
            f"store {place} runs with synchronous_commit=off, which loses events that were said to be stored; "
            "take the setting out of postgresql.conf, of ALTER DATABASE and of ALTER ROLE"
        )
    if server.read_only != "off":
        raise StoreAway(f"store {place} is read-only: a standby, or being switched over; connect to the primary")


def _nobody(_: StoreError) -> None:
    """Nobody counts them."""


def _rolled_back(wire: Wire, error: BaseException) -> bool:
    """Undo what was begun; whether the connection may be used again."""
    wire.forget()
    if isinstance(error, psycopg.Error) and spends(error):
        return False
    try:
        if wire.usable and wire.in_transaction:
            wire.ask("ROLLBACK")
        return wire.usable and not wire.in_transaction
    except psycopg.Error:
        return False


def server_settings(url: str) -> tuple[str, dict[str, Any]]:
    """Where the store is, without its password, and what to connect with."""
    try:
        parts = taken_apart(url, "the store's address", _EXAMPLE)
    except InputInvalid as error:
        raise StoreUnavailable(str(error)) from None
    # libpq's words of the form name=value would be shown whole.
    if not parts.scheme.startswith("postgres"):
        raise StoreUnavailable(f"the store's address is no address: write it as {_EXAMPLE}")
    shown = without_password(parts)
    try:
        settings: dict[str, Any] = dict(conninfo.conninfo_to_dict(url))
    except psycopg.Error:  # its words would repeat the address, with the password in it
        raise StoreUnavailable(
            f"store {shown} is no address; write it as {_EXAMPLE}, with special characters as %-codes"
        ) from None
    options = (
        f"-c statement_timeout={STATEMENT_TIMEOUT_SECONDS}s -c lock_timeout={LOCK_TIMEOUT_SECONDS}s "
        f"-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_SECONDS}s "
        # Every hot statement is found by an index. Plans are kept, and one that was made while a table was small would
        # read through the whole of it later.
        "-c enable_seqscan=off -c jit=off"
    )
    settings["options"] = f"{options} {settings.get('options', '')}".strip()
    ours: dict[str, Any] = {
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": _UNANSWERED_MILLISECONDS,
        "application_name": "handrail",
        "target_session_attrs": "read-write",
    }
    # A database in another encoding is refused by name, which takes a connection first.
    return shown, {**ours, **settings, "client_encoding": "UTF8"}
