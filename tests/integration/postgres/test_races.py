"""Races on PostgreSQL, forced: each of these tests fails when the guard that it is named after is taken out."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from domain.errors import StoreError, StoreUnavailable
from domain.ports import Cursor
from domain.store.opening import open_postgres_store
from domain.store.recorder_postgres import INSERTS
from domain.store.wire_postgres import Wire
from tests.contracts.log_contract import positions
from tests.contracts.recorder_contract import recorded
from tests.contracts.stage import Stage
from tests.servers.postgres import Database, OwnCluster
from tests.servers.processes import until
from tests.servers.proxy import Proxy

LIMIT = 30.0


class Held:
    """Runs along, and holds the transaction open after its events were inserted."""

    def __init__(self) -> None:
        self.inserted, self.go_on = threading.Event(), threading.Event()

    def run(self, cursor: Cursor) -> None:
        cursor.query("SELECT 1")
        self.inserted.set()
        self.go_on.wait(LIMIT)


class Stages:
    """The processes of one test, each with connections of its own."""

    def __init__(self) -> None:
        self.open: list[Stage] = []

    def on(self, url: str, **options: Any) -> Stage:
        stage = Stage(lambda **more: open_postgres_store(url, create=True, **more), **options)
        self.open.append(stage)
        return stage


@pytest.fixture
def stages() -> Iterator[Stages]:
    stages = Stages()
    yield stages
    for stage in stages.open:
        stage.store.close()


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def swallow(wire: Wire) -> None:
    """Read, instead of its owner, what came in over a connection before it was reset."""
    with socket.socket(fileno=os.dup(wire._socket)) as other:
        other.settimeout(LIMIT)
        with contextlib.suppress(ConnectionResetError):
            while other.recv(65_536):
                pass
        other.setblocking(False)


def asked(url: str, statement: str) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(statement.encode()).fetchone()
        return row[0] if row else None


def test_a_follower_skips_nothing_that_is_committed_late(database: Database, stages: Stages) -> None:
    """The first to insert commits last. Unless the second waits for it, a follower would pass its events over."""
    patient = f"{database.url}?options=-clock_timeout%3D30s"
    first, second, reader = (stages.on(patient).store for _ in range(3))
    follower = reader.follow(0)
    held = Held()
    slow = in_thread(lambda: first.save(recorded("a", 1), along=[held]))
    assert held.inserted.wait(LIMIT)
    quick = in_thread(lambda: second.save(recorded("b", 1)))
    waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    until(lambda: not quick.is_alive() or asked(database.url, waits) == 1, "the second waits, or is done")
    seen = positions(follower.take())
    held.go_on.set()
    slow.join(LIMIT)
    quick.join(LIMIT)
    follower.look_again()
    seen += positions(follower.take())
    assert seen == positions(reader.select(0, 10))
    assert len(seen) == 2


def test_an_insert_does_not_wait_for_a_vacuum(database: Database, stages: Stages) -> None:
    store = stages.on(f"{database.url}?options=-clock_timeout%3D500ms").store
    with psycopg.connect(database.url) as connection:
        # What VACUUM holds while it runs; the library's LOCK TABLE … IN EXCLUSIVE MODE would wait for it.
        connection.execute("LOCK TABLE stored_events IN SHARE UPDATE EXCLUSIVE MODE")
        store.save(recorded("a", 1))
    assert store.newest() == 1


def test_a_lock_that_does_not_come_is_trouble_and_the_turn_is_decided_later(database: Database, stages: Stages) -> None:
    stage = stages.on(f"{database.url}?options=-clock_timeout%3D200ms")
    (command,) = stage.begin("wf_1")
    with psycopg.connect(database.url) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (INSERTS,))
        with pytest.raises(StoreUnavailable, match="locked by another process"):
            stage.decide(stage.outcome(command))
    assert stage.names("wf_1").count("StepSucceeded") == 0
    stage.finish(stage.go_on([command]))
    assert stage.names("wf_1").count("StepSucceeded") == 3


def test_a_commit_whose_answer_was_lost_is_found_and_not_repeated(
    database: Database, stages: Stages, proxies: Callable[[int], Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = proxies(urlsplit(database.url).port or 5432)
    stage = stages.on(proxy.through(database.url))
    (command,) = stage.begin("wf_1")
    newest = stage.store.newest()
    send_off = Wire._send_off

    def lost(wire: Wire) -> None:
        commits = any(one.statement == "COMMIT" for one in wire._gathered)
        send_off(wire)
        if commits:
            monkeypatch.undo()
            committed = f"SELECT count(*) FROM stored_events WHERE id > {newest}"
            until(lambda: asked(database.url, committed) > 0, "the server has committed")
            assert proxy.reset()
            swallow(wire)

    monkeypatch.setattr(Wire, "_send_off", lost)
    (decided,) = stage.done(stage.outcome(command))
    assert decided.request.completes == command.message_id
    assert stage.names("wf_1").count("StepSucceeded") == 1
    assert stage.row_states()[command.message_id] == "done"
    stage.finish(stage.begun.taken())
    assert stage.names("wf_1")[-1] == "WorkflowCompleted"


def test_a_connection_that_was_lost_before_the_commit_left_nothing(
    database: Database, stages: Stages, proxies: Callable[[int], Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = proxies(urlsplit(database.url).port or 5432)
    stage = stages.on(proxy.through(database.url))
    (command,) = stage.begin("wf_1")
    send_off = Wire._send_off

    def lost(wire: Wire) -> None:
        if any(one.statement == "COMMIT" for one in wire._gathered):
            monkeypatch.undo()
            proxy.reset()
        send_off(wire)

    monkeypatch.setattr(Wire, "_send_off", lost)
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        stage.decide(stage.outcome(command))
    assert stage.names("wf_1").count("StepSucceeded") == 0
    stage.done(stage.outcome(command))
    assert stage.names("wf_1").count("StepSucceeded") == 1


def test_of_two_processes_with_a_workflow_in_memory_the_second_decides_on_the_newest(
    database: Database, stages: Stages
) -> None:
    one, other = stages.on(database.url), stages.on(database.url)
    (command,) = one.begin("wf_1")
    (following,) = other.go_on([command])
    assert following.step == "s1"
    (last,) = one.go_on([following])
    (decided,) = other.done(other.outcome(last))
    assert decided.state.ended is not None
    assert one.names("wf_1").count("StepSucceeded") == 3


def test_a_database_that_was_stopped_is_found_again(own_database: Database, stages: Stages) -> None:
    stage = stages.on(own_database.url)
    (command,) = stage.begin("wf_1")
    cluster = own_database.cluster
    assert isinstance(cluster, OwnCluster)
    cluster.stop()
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=r"cannot be reached|was stopped"):
            stage.decide(stage.outcome(command))
    cluster.start()
    stage.finish(stage.go_on([command]))
    assert stage.names("wf_1")[-1] == "WorkflowCompleted"


def test_a_database_that_restarts_between_two_turns_is_not_noticed(own_database: Database, stages: Stages) -> None:
    stage = stages.on(own_database.url)
    (command,) = stage.begin("wf_1")
    cluster = own_database.cluster
    assert isinstance(cluster, OwnCluster)
    cluster.restart("fast")
    stage.finish(stage.go_on([command]))
    assert stage.names("wf_1")[-1] == "WorkflowCompleted"


def test_a_database_that_hangs_is_trouble_after_a_while(own_database: Database, stages: Stages) -> None:
    stage = stages.on(own_database.url)
    server: Any = stage.store.recorder
    server.datastore.answer_seconds = 0.3
    server.datastore.close_idle()
    (command,) = stage.begin("wf_1")
    cluster = own_database.cluster
    assert isinstance(cluster, OwnCluster)
    cluster.suspend()
    try:
        with pytest.raises(StoreUnavailable, match="no answer within"):
            stage.decide(stage.outcome(command))
    finally:
        cluster.resume()
    stage.finish(stage.go_on([command]))
    assert stage.names("wf_1")[-1] == "WorkflowCompleted"


def test_what_is_switched_over_under_a_connection_is_left(database: Database, stages: Stages) -> None:
    store = stages.on(database.url).store
    store.recorder.query("SELECT set_config('default_transaction_read_only', 'on', false)")
    with pytest.raises(StoreUnavailable, match="read-only"):
        store.save(recorded("a", 1))
    store.save(recorded("a", 1))
    assert store.newest() > 0


def test_a_text_with_a_nul_is_refused_alone(database: Database, stages: Stages) -> None:
    store = stages.on(database.url).store
    with pytest.raises(StoreError, match="NUL") as caught:
        store.query("SELECT ?", ("a\0b",))
    assert type(caught.value) is StoreError
    store.save(recorded("a", 1))
