"""The lease keeper: renews, stops what was lost, and stops everything before a lease that it cannot renew runs out."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from consumers.claims import Claims
from consumers.leases import LeaseKeeper
from domain.definitions import activity
from domain.errors import StoreUnavailable
from domain.store.application import WorkflowStore
from tests.unit.consumers.stage import OWNER, DatabaseClock, Workshop, open_inbox, put


@activity(effect="pure", name="a")
async def hang(given: dict[str, Any]) -> None:
    await asyncio.Event().wait()


@pytest.fixture
def clock() -> DatabaseClock:
    return DatabaseClock()


@pytest.fixture
def store(tmp_path: Path, clock: DatabaseClock) -> Iterator[WorkflowStore]:
    opened = open_inbox(tmp_path, clock)
    yield opened
    opened.close()


Result = TypeVar("Result")


class Kept:
    """Two attempts under way, whose claims are kept."""

    def __init__(self, store: WorkflowStore, lease_seconds: float = 30.0) -> None:
        self.shop = Workshop(hang)
        self.commands = [self.shop.command("a", name) for name in ("wf_1", "wf_2")]
        for command in self.commands:
            put(store, command.workflow_id, "claimed", OWNER, lease_until=0.0)
        self.shop.runner.start(self.commands)
        self.claims = Claims(store, OWNER, lease_seconds=lease_seconds)
        self.keeper = LeaseKeeper(self.claims, self.shop.runner)

    @property
    def running(self) -> list[str]:
        return [attempt.command.workflow_id for attempt in self.shop.runner.running.values() if attempt.stop is None]

    async def end(self) -> None:
        await self.shop.runner.close(grace_seconds=0)


async def test_every_claim_is_renewed(store: WorkflowStore, clock: DatabaseClock) -> None:
    kept = Kept(store)
    await asyncio.sleep(0)
    await kept.keeper.renew()
    assert store.query("SELECT DISTINCT lease_until FROM inbox") == [(clock.at + 30,)]
    assert kept.running == ["wf_1", "wf_2"]
    await kept.end()


async def test_an_attempt_whose_claim_was_lapsed_is_stopped(store: WorkflowStore) -> None:
    kept = Kept(store)
    await asyncio.sleep(0)
    with store.transaction() as cursor:
        cursor.execute("UPDATE inbox SET state = 'lapsed' WHERE workflow_id = 'wf_2'")
    await kept.keeper.renew()
    assert kept.running == ["wf_1"]
    await kept.shop.over(kept.commands[1:])
    assert kept.shop.decisions.requests == []
    await kept.end()


async def test_an_attempt_hears_that_its_workflow_is_stopping_whoever_decided_that(store: WorkflowStore) -> None:
    kept = Kept(store)
    await asyncio.sleep(0)
    await kept.keeper.renew()
    told = {name: attempt.context for name, attempt in kept.shop.runner.running.items()}
    assert not any(context.cancel_requested for context in told.values())
    asked: list[tuple[str, bool]] = []
    request = kept.shop.runner.request_cancel

    def request_cancel(workflow_id: str, *, force: bool) -> None:
        asked.append((workflow_id, force))
        request(workflow_id, force=force)

    kept.shop.runner.request_cancel = request_cancel  # type: ignore[method-assign]
    with store.transaction() as cursor:
        cursor.execute("UPDATE inbox SET cancel = 'asked' WHERE workflow_id = 'wf_1'")
    await kept.keeper.renew()
    await kept.keeper.renew()
    assert [context.cancel_requested for context in told.values()] == [True, False]
    with store.transaction() as cursor:
        cursor.execute("UPDATE inbox SET cancel = 'forced'")
    await kept.keeper.renew()
    assert sorted(asked) == [("wf_1", False), ("wf_1", True), ("wf_2", True)]
    await kept.shop.over(kept.commands)


async def test_what_cannot_be_renewed_is_stopped_before_the_lease_ends(
    store: WorkflowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept(store)
    await asyncio.sleep(0)
    now = 1_000.0
    monkeypatch.setattr(kept.keeper, "_time", lambda: now)
    await kept.keeper.renew()

    def unavailable(_: object) -> frozenset[str]:
        raise StoreUnavailable("locked")

    monkeypatch.setattr(kept.claims, "renew", unavailable)
    now += 20.0
    await kept.keeper.renew()
    assert kept.running == ["wf_1", "wf_2"]
    now += 4.0
    await kept.keeper.renew()
    assert kept.running == []
    assert now - 1_000.0 < kept.claims.lease_seconds
    await kept.end()


async def test_what_was_given_up_lapses_though_other_attempts_go_on(
    store: WorkflowStore, clock: DatabaseClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept(store)
    await asyncio.sleep(0)
    await kept.keeper.renew()
    kept.shop.runner.lose([kept.commands[0].message_id])
    clock.at += 20
    await kept.keeper.renew()
    clock.at += 20
    assert [row.workflow_id for row in kept.claims.run_out(10)] == ["wf_1"]
    await kept.end()


async def test_a_store_that_hangs_does_not_keep_attempts_past_their_leases(store: WorkflowStore) -> None:
    hanging = asyncio.Event()

    async def aside(work: Callable[[], Result], /) -> Result:
        await hanging.wait()
        return work()

    kept = Kept(store, lease_seconds=0.05)
    keeper = LeaseKeeper(kept.claims, kept.shop.runner, aside=aside)
    await asyncio.sleep(0)
    renewing = asyncio.create_task(keeper.renew())
    async with asyncio.timeout(10):
        while kept.running:  # noqa: ASYNC110 - attempts end by the loop's clock
            await asyncio.sleep(0)
    assert not renewing.done()
    hanging.set()
    await renewing
    await kept.end()


async def test_with_nothing_under_way_nothing_is_written(store: WorkflowStore, clock: DatabaseClock) -> None:
    put(store, "wf_1", "claimed", OWNER, lease_until=5.0)
    await LeaseKeeper(Claims(store, OWNER, lease_seconds=30.0), Workshop(hang).runner).renew()
    assert store.query("SELECT lease_until FROM inbox") == [(5.0,)]


async def test_it_renews_by_itself(store: WorkflowStore, clock: DatabaseClock) -> None:
    kept = Kept(store, lease_seconds=0.03)
    task = asyncio.create_task(kept.keeper.run())
    async with asyncio.timeout(10):
        while store.query("SELECT min(lease_until) FROM inbox") == [(0.0,)]:  # noqa: ASYNC110 - the database tells nobody
            await asyncio.sleep(0)
    task.cancel()
    await kept.end()
