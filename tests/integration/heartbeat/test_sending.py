"""When a heartbeat is sent and when not, what is noted, and what is removed: on SQLite, with a clock that is set."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.heartbeat import HEARTBEAT_DEFINITION, Pulse
from deploy.runtime import Runtime
from deploy.serving.heartbeat import FIRST_AGAIN, GOAL, PRUNED_EVERY, Heartbeat
from deploy.serving.heartbeat_fact import HeartbeatFact, Known, read_fact
from deploy.serving.pruning import KEPT, prune
from domain.builtin import HEARTBEAT
from domain.errors import BrokerUnavailable, DefinitionInvalid, FenceMissed
from domain.ids import workflow_id_from_message
from domain.ports import Cursor
from domain.topology import GOALS_EXCHANGE
from domain.transport import Outgoing, Published
from handrail import Definition, Permanent, Step, activity
from producers.relay import RELAY
from projections.heartbeat import heartbeat_completed_at
from projections.keeper import Keeper
from projections.log import LogReader
from projections.projector import catch_up
from projections.queries import count_statuses, list_workflows, tallies
from projections.rebuilding import Rebuild


async def nothing(pulse: Pulse) -> Pulse:
    return pulse


async def nonsense(_: Pulse) -> Pulse:
    raise Permanent("it is broken")


idle = activity(name="idle", effect="pure")(nothing)
broken = activity(name=HEARTBEAT, effect="pure", queue=HEARTBEAT)(nonsense)
CHAIN = Definition("chain", steps=[Step("first", idle), Step("second", idle)])
BROKEN = Definition(HEARTBEAT, version="2", steps=[Step("beat", broken)])
LOGIN = "runtime"
EVERY = timedelta(seconds=60)
BEGAN = datetime(2030, 1, 1, tzinfo=UTC)
FIRST = int((BEGAN + EVERY).timestamp())


def sent_as(number: int) -> str:
    """The message id of the first, second … that this store sends."""
    return f"heartbeat-{FIRST - 1 + number}"


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = BEGAN

    def __call__(self) -> datetime:
        return self.now


class Services:
    """The broker, and whoever takes goals in; either may be away."""

    def __init__(self, runtime: Runtime, clock: Clock) -> None:
        self.runtime = runtime
        self.clock = clock
        self.sent: list[str] = []
        self.recipe = HEARTBEAT_DEFINITION
        self.away = False
        self.taking = True

    async def publish(self, messages: Sequence[Outgoing]) -> list[Published]:
        if self.away:
            raise BrokerUnavailable("nobody answers")
        for message in messages:
            assert message.exchange == GOALS_EXCHANGE
            self.sent.append(message.message_id)
            if self.taking:
                name = workflow_id_from_message(LOGIN, message.message_id)
                await self.runtime.start(GOAL, self.recipe, workflow_id=name, requested_by=LOGIN)
                await self.runtime.wait(name, timeout=30)
        return [Published.CONFIRMED] * len(messages)

    def project(self) -> None:
        """Bring the views up to the log."""
        store = self.runtime.store
        catch_up(Keeper(store), LogReader(store.recorder, store.mapper.read))

    def heartbeat(self) -> Heartbeat:
        return Heartbeat(
            store=self.runtime.store,
            publisher=self,
            login=LOGIN,
            clock=self.clock,
            every_seconds=EVERY.total_seconds(),
        )

    async def beats(self, heartbeat: Heartbeat, times: int) -> None:
        """So many more are sent, complete, and are seen by the views."""
        for _ in range(times):
            self.clock.now += EVERY
            await heartbeat.beat()
            self.project()
        await heartbeat.beat()


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    clock = Clock()
    async with Runtime(tmp_path / "home", definitions=[CHAIN], examples=False, views=False, clock=clock) as runtime:
        runtime.definitions.add(HEARTBEAT_DEFINITION)
        yield Services(runtime, clock)


class RelayIsPast:
    """The relay has come to the end of the log."""

    def run(self, cursor: Cursor) -> None:
        cursor.execute(
            "INSERT INTO positions (name, position) SELECT ?, max(id) FROM stored_events WHERE true "
            "ON CONFLICT (name) DO UPDATE SET position = excluded.position",
            (RELAY,),
        )


async def test_one_is_sent_every_interval_once_the_one_before_has_been_seen_to_end(services: Services) -> None:
    heartbeat = services.heartbeat()
    assert await heartbeat.beat() > 0
    services.clock.now += EVERY
    await heartbeat.beat()
    assert services.sent == [sent_as(1)]
    assert heartbeat_completed_at(services.runtime.store.query) is None
    services.clock.now += EVERY
    assert await heartbeat.beat() == EVERY.total_seconds()
    assert services.sent == [sent_as(1)], "the views have not shown that it ended"
    services.project()
    await heartbeat.beat()
    assert services.sent == [sent_as(1), sent_as(2)]
    completed = (BEGAN + EVERY).timestamp()
    assert heartbeat_completed_at(services.runtime.store.query) == completed
    services.project()
    assert await heartbeat.beat() == EVERY.total_seconds()
    assert heartbeat_completed_at(services.runtime.store.query) == completed + EVERY.total_seconds()


async def test_one_that_nobody_takes_in_is_the_only_one_and_is_sent_again_now_and_then(services: Services) -> None:
    heartbeat = services.heartbeat()
    await heartbeat.beat()
    services.taking = False
    for _ in range(9):
        services.clock.now += EVERY
        await heartbeat.beat()
    assert services.sent == [sent_as(1)]
    services.clock.now += FIRST_AGAIN
    await heartbeat.beat()
    assert services.sent == [sent_as(1)] * 2
    services.clock.now += FIRST_AGAIN
    await heartbeat.beat()
    assert services.sent == [sent_as(1)] * 2, "at growing intervals"
    services.taking = True
    services.clock.now += FIRST_AGAIN
    await heartbeat.beat()
    services.project()
    await heartbeat.beat()
    assert services.sent == [*[sent_as(1)] * 3, sent_as(2)]


class Enough(Exception):
    """The test has seen what it wanted to see."""


async def test_what_the_broker_did_not_take_is_sent_when_it_is_back_under_its_number(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.serving.heartbeat.CONFIRMED_SECONDS", 0.05)
    numbers: list[int] = []

    async def pause(seconds: float) -> None:
        assert seconds == EVERY.total_seconds()
        numbers.append(read_fact(services.runtime.store).fact.number)
        services.away = len(numbers) == 1
        services.clock.now += timedelta(seconds=seconds)
        if services.sent:
            raise Enough

    heartbeat = Heartbeat(
        store=services.runtime.store,
        publisher=services,
        login=LOGIN,
        clock=services.clock,
        every_seconds=EVERY.total_seconds(),
        pause=pause,
    )
    with pytest.raises(Enough):
        await heartbeat.run()
    assert numbers == [0, FIRST, FIRST], "nothing is due; the broker is away; it is back"
    assert services.sent == [sent_as(1)]


async def test_what_cannot_be_read_ends_no_timer(services: Services, caplog: pytest.LogCaptureFixture) -> None:
    services.runtime.store.run(Garbled())
    tries: list[float] = []

    async def pause(seconds: float) -> None:
        tries.append(seconds)
        if len(tries) == 2:
            raise Enough

    heartbeat = Heartbeat(
        store=services.runtime.store,
        publisher=services,
        login=LOGIN,
        clock=services.clock,
        every_seconds=EVERY.total_seconds(),
        pause=pause,
    )
    with pytest.raises(Enough):
        await heartbeat.run()
    assert tries == [EVERY.total_seconds()] * 2
    assert "no heartbeat for now: what the store knows of heartbeats cannot be read" in caplog.text


class Garbled:
    """Somebody wrote something else there."""

    def run(self, cursor: Cursor) -> None:
        cursor.execute("INSERT INTO store_facts (name, value) VALUES ('heartbeat', 'not this')")


async def test_of_two_that_send_one_steps_down_and_goes_on_behind_the_other(services: Services) -> None:
    one, other = services.heartbeat(), services.heartbeat()
    await one.beat()
    await other.beat()
    services.clock.now += EVERY
    await one.beat()
    with pytest.raises(FenceMissed):
        await other.beat()
    services.project()
    await one.beat()
    successor = services.heartbeat()
    await successor.beat()
    services.clock.now += EVERY
    await one.beat()
    with pytest.raises(FenceMissed):
        await successor.beat()
    services.project()
    successor = services.heartbeat()
    await services.beats(successor, 1)
    assert services.sent == [sent_as(1), sent_as(2), sent_as(3)]


async def test_heartbeats_are_in_no_list_and_in_no_count(services: Services) -> None:
    heartbeat = services.heartbeat()
    await heartbeat.beat()
    await services.beats(heartbeat, 2)
    query = services.runtime.store.query
    assert query("SELECT count(*) FROM workflows") == [(2,)]
    assert list(list_workflows(query)) == []
    assert (count_statuses(query), tallies(query)) == ({}, [])


async def test_those_that_ended_a_day_ago_are_removed_whole_and_nothing_else_is(services: Services) -> None:
    runtime, store = services.runtime, services.runtime.store
    other = await runtime.start("chain", CHAIN)
    await runtime.wait(other, timeout=30)
    heartbeat = services.heartbeat()
    await heartbeat.beat()
    await services.beats(heartbeat, 3)
    fact = read_fact(store).fact
    names = [fact.workflow_id(FIRST - 1 + number) for number in (1, 2, 3)]
    later = services.clock.now + KEPT + EVERY
    heads = [(name, store.load(name).head) for name in names]

    store.run(Behind())
    assert prune(store, read_fact(store), later).fact.removed == 0, "the relay has not come past them"
    store.run(RelayIsPast())
    assert prune(store, read_fact(store), services.clock.now).fact.removed == 0, "they are not old"

    known = prune(store, read_fact(store), later)
    assert (known.fact.removed, known.fact.pruned) == (2, FIRST + 1), "the last that was sent stays"
    assert known == read_fact(store)
    assert known.fact.digest == HeartbeatFact().without(0, heads[:2]).digest
    for name in names[:2]:
        assert rows_of(services, name) == {}
    assert store.load(names[2]).status == "completed"
    assert store.load(other).status == "completed"
    assert store.query("SELECT number FROM tallies WHERE definition = ?", ("handrail-heartbeat",)) == [(1,)]
    await services.beats(services.heartbeat(), 1)
    assert services.sent[-1] == sent_as(4)


async def test_that_failures_of_removed_ones_were_counted_is_no_difference(services: Services) -> None:
    runtime, store = services.runtime, services.runtime.store
    runtime.definitions.add(BROKEN)
    services.recipe = BROKEN
    heartbeat = services.heartbeat()
    await heartbeat.beat()
    await services.beats(heartbeat, 3)
    store.run(RelayIsPast())
    assert prune(store, read_fact(store), services.clock.now + KEPT + EVERY).fact.removed == 2
    assert store.query("SELECT activity, number FROM failures") == [(HEARTBEAT, 3)]
    log = LogReader(store.recorder, store.mapper.read)
    assert Rebuild(store, log).run(mend=False, now=services.clock.now).differing == {}


async def test_an_old_one_is_removed_by_the_heartbeat_itself_in_time(services: Services) -> None:
    store = services.runtime.store
    heartbeat = services.heartbeat()
    await heartbeat.beat()
    await services.beats(heartbeat, 2)
    services.clock.now += KEPT
    store.run(RelayIsPast())
    await services.beats(heartbeat, 1)
    assert read_fact(store).fact.removed == 2
    services.clock.now += PRUNED_EVERY
    await services.beats(heartbeat, 1)
    assert services.sent == [sent_as(number) for number in (1, 2, 3, 4)]


async def test_what_only_looks_like_a_heartbeat_by_its_id_is_never_removed(services: Services) -> None:
    """A workflow of another definition under a heartbeat's id stops the removal there."""
    store = services.runtime.store
    fact = HeartbeatFact(number=3, sent_at=BEGAN, logins=((1, LOGIN),))
    name = await services.runtime.start("chain", CHAIN, workflow_id=fact.workflow_id(1))
    await services.runtime.wait(name, timeout=30)
    services.project()
    store.run(RelayIsPast())
    assert prune(store, Known(fact), BEGAN + 10 * KEPT).fact == fact
    assert store.load(name).status == "completed"


def test_the_numbers_of_a_login_stay_its_own() -> None:
    fact = HeartbeatFact(number=100, pruned=100)
    for login in ("a", "a", "b", "b", "a"):
        fact = fact.sent(login, BEGAN)
    assert fact.logins == ((101, "a"), (103, "b"), (105, "a"))
    assert fact.workflow_id(102) == workflow_id_from_message("a", "heartbeat-102")
    assert fact.workflow_id(103) == workflow_id_from_message("b", "heartbeat-103")
    assert fact.without(101, []).logins == fact.logins
    assert fact.without(102, []).logins == ((103, "b"), (105, "a"))
    assert fact.without(103, []).logins == ((103, "b"), (105, "a"))
    assert fact.without(104, []).logins == ((105, "a"),)


def test_a_store_that_forgot_begins_behind_all_that_were_sent_before() -> None:
    before = HeartbeatFact().sent("a", BEGAN).sent("a", BEGAN + EVERY)
    after = HeartbeatFact().sent("a", BEGAN + 2 * EVERY)
    assert after.number > before.number
    assert after.pruned == after.number - 1, "nobody looks for those that never were"


@pytest.mark.parametrize(
    "taken",
    [
        Definition("handrail-mine", steps=[Step("one", activity(name="one", effect="pure")(nothing))]),
        Definition("mine", steps=[Step("one", activity(name="handrail-one", effect="pure")(nothing))]),
    ],
    ids=["definition", "activity"],
)
def test_no_author_may_take_a_name_of_handrails_own(tmp_path: Path, taken: Definition) -> None:
    with pytest.raises(DefinitionInvalid, match="Handrail's own"):
        Runtime(tmp_path, definitions=[taken])


class Behind:
    """The relay is where it began."""

    def run(self, cursor: Cursor) -> None:
        cursor.execute("DELETE FROM positions WHERE name = ?", (RELAY,))


def rows_of(services: Services, workflow_id: str) -> dict[str, int]:
    """How many rows any table has that mention a workflow."""
    query = services.runtime.store.query
    found: dict[str, int] = {}
    for (table,) in query("SELECT name FROM sqlite_master WHERE type = 'table'"):
        columns = [row[1] for row in query(f"PRAGMA table_info({table})")]
        for column in columns:
            ((number,),) = query(
                f"SELECT count(*) FROM {table} WHERE CAST({column} AS TEXT) LIKE ?", (f"%{workflow_id}%",)
            )
            if number:
                found[f"{table}.{column}"] = number
    return found
