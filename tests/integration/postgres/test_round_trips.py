"""How often a turn waits for the server, and that what it does not ask for is not missed."""

from collections.abc import Callable, Iterator

import pytest

from domain.ports import Cursor
from domain.store import recorder_postgres, wire_postgres
from domain.store.connection_postgres import StoreServer
from domain.store.opening import open_postgres_store
from domain.store.recorder_postgres import PostgresStoreRecorder
from domain.triggers import PauseWorkflow
from tests.contracts.stage import Stage
from tests.servers.postgres import Database

Opened = Callable[[], Stage]


@pytest.fixture
def opened(database: Database) -> Iterator[Opened]:
    stages: list[Stage] = []

    def open_one() -> Stage:
        stages.append(Stage(lambda **more: open_postgres_store(database.url, create=True, **more)))
        return stages[-1]

    yield open_one
    for stage in stages:
        stage.store.close()


def recorder_of(stage: Stage) -> PostgresStoreRecorder:
    assert isinstance(stage.store.recorder, PostgresStoreRecorder)
    return stage.store.recorder


@pytest.fixture
def quiet(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A process that listens to others, and has heard of nobody for a while."""
    monkeypatch.setattr(recorder_postgres, "QUIET_SECONDS", 0.0)
    stage = opened()
    recorder_of(stage).hear_others(listening=True)
    return stage


def test_a_turn_that_goes_on_waits_twice(quiet: Stage) -> None:
    """Once for its statements, once for the commit: neither for the newest position, nor for the time."""
    commands = [*quiet.begin("wf_1"), *quiet.begin("wf_2")]
    server = recorder_of(quiet).datastore
    before = server.round_trips
    quiet.go_on(commands)
    assert server.round_trips - before == 2


def test_whoever_does_not_listen_asks(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_postgres, "QUIET_SECONDS", 0.0)
    stage, other = opened(), opened()
    recorder = recorder_of(stage)
    for listening in (True, False):
        recorder.hear_others(listening=listening)
        before = recorder.version_to_decide_on()
        other.begin(f"wf_{listening}")
        assert (recorder.version_to_decide_on() == before) == listening


def test_whoever_has_just_heard_of_others_asks(opened: Opened) -> None:
    stage, other = opened(), opened()
    recorder = recorder_of(stage)
    recorder.hear_others(listening=True)
    before = recorder.version_to_decide_on()
    other.begin("wf_1")
    assert recorder.version_to_decide_on() != before


def test_what_was_heard_long_ago_is_asked_about_by_the_next_turn(quiet: Stage, opened: Opened) -> None:
    """A workflow that somebody else moved is not decided on as it was, also where the decision writes nothing."""
    recorder = recorder_of(quiet)
    before = recorder.version_to_decide_on()
    assert recorder.version_to_decide_on() == before
    opened().begin("wf_1")
    recorder.hear_others(listening=True)
    assert recorder.version_to_decide_on() != before


def test_what_was_decided_before_others_were_heard_is_decided_again(quiet: Stage, opened: Opened) -> None:
    other = opened()
    commands = quiet.begin("wf_1")
    other.go_on(commands)
    (decided,) = quiet.done(quiet.ask("wf_1", PauseWorkflow(by="ann", reason="to see")))
    assert decided.state.version == len(quiet.checked("wf_1"))
    names = quiet.names("wf_1")
    assert names.index("StepSucceeded") < names.index("WorkflowPaused")


def test_a_change_by_itself_waits_once_however_seldom_it_is_made(quiet: Stage) -> None:
    quiet.begin("wf_1")
    recorder = recorder_of(quiet)
    statement = "UPDATE inbox SET lease_until = ? WHERE message_id = ? RETURNING lease_until"
    before = recorder.datastore.round_trips
    assert recorder.change(statement, lambda now: (now, "nobody")) == []
    assert recorder.datastore.round_trips - before == 1


class Looked:
    """Runs along: what the time is, and what the server says that it is a moment later."""

    def __init__(self, server: StoreServer) -> None:
        self.server = server
        self.seen = self.later = 0.0
        self.asked = 0

    def run(self, cursor: Cursor) -> None:
        before = self.exchanges()
        self.seen = cursor.now()
        self.asked = self.exchanges() - before
        ((self.later,),) = cursor.query("SELECT extract(epoch FROM clock_timestamp())::float8")

    def exchanges(self) -> int:
        """So far, over the connection that this thread is in a transaction on."""
        wire = self.server._current
        assert wire is not None
        return wire.round_trips


@pytest.mark.parametrize(("kept_seconds", "asked"), [(10.0, 0), (0.0, 1)])
def test_the_clock_that_was_seen_is_never_ahead_of_the_servers(
    quiet: Stage, kept_seconds: float, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet.begin("wf_1")
    monkeypatch.setattr(wire_postgres, "CLOCK_KEPT_SECONDS", kept_seconds)
    looked = Looked(recorder_of(quiet).datastore)
    quiet.store.recorder.insert_rows((), along=[looked])
    assert looked.asked == asked
    assert looked.later - 10 < looked.seen <= looked.later
