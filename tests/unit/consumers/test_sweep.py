"""The sweep: lapses, expiries and commands nobody claimed become triggers, each once."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from consumers import sweep
from consumers.claims import Claims, OpenRow, Scope
from consumers.sweep import ROWS_A_SWEEP, Hearing, Reissued, Sweep
from domain.errors import FenceMissed, StoreUnavailable, WorkflowUnknown
from domain.store.application import WorkflowStore
from domain.triggers import LapseAttempt, Wake
from tests.unit.consumers.stage import (
    BEGINNING,
    LEASE_SECONDS,
    OWNER,
    DatabaseClock,
    Decisions,
    open_inbox,
    put,
)


class Swept:
    """A sweep with everything around it."""

    def __init__(self, store: WorkflowStore) -> None:
        self.decisions = Decisions()
        self.running: set[str] = set()
        self.scope: Scope = None
        self.room = 10_000
        self.issued: list[str] = []
        self.sweep = Sweep(
            claims=Claims(store, OWNER, lease_seconds=LEASE_SECONDS),
            decider=self.decisions,
            clock=lambda: BEGINNING,
            running=lambda: self.running,
            scope=lambda: self.scope,
            reissue=self.reissue,
        )

    async def reissue(self, found: Sequence[OpenRow]) -> Reissued:
        taken = [row.message_id for row in found[: self.room]]
        self.room -= len(taken)
        self.issued += taken
        return Reissued(taken)


@pytest.fixture
def clock() -> DatabaseClock:
    return DatabaseClock()


@pytest.fixture
def store(tmp_path: Path, clock: DatabaseClock) -> Iterator[WorkflowStore]:
    opened = open_inbox(tmp_path, clock)
    yield opened
    opened.close()


@pytest.fixture
def swept(store: WorkflowStore) -> Swept:
    return Swept(store)


async def test_a_claim_past_its_lease_becomes_a_lapse_with_its_row(store: WorkflowStore, swept: Swept) -> None:
    name = put(store, "wf_1", "claimed", "there-2", lease_until=0.0)
    put(store, "wf_2", "claimed", "there-2", lease_until=9e9)
    await swept.sweep.once()
    (request,) = swept.decisions.requests
    assert request.trigger == LapseAttempt(step="a", kind="run", attempt=1, owner="there-2", reason="its lease ended")
    assert (request.workflow_id, request.lapses, request.completes, request.at) == ("wf_1", name, None, BEGINNING)


async def test_what_runs_here_does_not_lapse_however_late_its_lease(store: WorkflowStore, swept: Swept) -> None:
    swept.running = {put(store, "wf_1", "claimed", OWNER, lease_until=0.0)}
    await swept.sweep.once()
    assert swept.decisions.requests == []
    swept.running = set()
    await swept.sweep.once()
    assert len(swept.decisions.requests) == 1


async def test_a_lease_that_ended_lapses_unless_it_is_renewed_meanwhile(store: WorkflowStore, swept: Swept) -> None:
    put(store, "wf_1", "claimed", "there-2", lease_until=0.0)
    await swept.sweep.once()
    assert [one.unless_renewed for one in swept.decisions.requests] == [True]
    await swept.sweep.take_over(None)
    assert [one.unless_renewed for one in swept.decisions.requests[1:]] == [False]


async def test_what_was_handed_over_lapses_when_its_time_is_up(store: WorkflowStore, swept: Swept) -> None:
    name = put(store, "wf_1", "handed_over", expires_at=BEGINNING.timestamp())
    put(store, "wf_2", "handed_over", expires_at=BEGINNING.timestamp() + 1)
    await swept.sweep.once()
    (request,) = swept.decisions.requests
    assert isinstance(request.trigger, LapseAttempt)
    assert (request.lapses, request.trigger.reason) == (name, "no outcome came in time")


async def test_an_expired_command_wakes_its_workflow_once(store: WorkflowStore, swept: Swept) -> None:
    put(store, "wf_1", expires_at=BEGINNING.timestamp(), issue_after=9e9)
    put(store, "wf_2", expires_at=(BEGINNING + timedelta(seconds=1)).timestamp(), issue_after=9e9)
    await swept.sweep.once()
    assert [(one.workflow_id, one.trigger) for one in swept.decisions.requests] == [("wf_1", Wake())]


async def test_what_nobody_claims_is_issued_again_page_by_page(store: WorkflowStore, swept: Swept) -> None:
    for number in range(ROWS_A_SWEEP + 5):
        put(store, f"wf_{number}", issue_after=1.0)
    await swept.sweep.once()
    assert len(set(swept.issued)) == len(swept.issued) == ROWS_A_SWEEP + 5
    await swept.sweep.once()
    assert len(swept.issued) == ROWS_A_SWEEP + 5


async def test_what_the_transport_has_no_room_for_stays_due(store: WorkflowStore, swept: Swept) -> None:
    for number in range(5):
        put(store, f"wf_{number}", issue_after=1.0)
    swept.room = 3
    await swept.sweep.once()
    assert len(swept.issued) == 3
    swept.room = 10
    await swept.sweep.once()
    assert len(set(swept.issued)) == 5


async def test_a_new_holder_lapses_what_others_claimed_and_issues_all_that_is_open(
    store: WorkflowStore, swept: Swept, clock: DatabaseClock
) -> None:
    put(store, "wf_1", "claimed", "there-2", lease_until=9e9)
    opened = put(store, "wf_2", issue_after=clock.at + 3_000)
    await swept.sweep.take_over(None)
    (request,) = swept.decisions.requests
    assert isinstance(request.trigger, LapseAttempt)
    assert request.trigger.reason == "its process is gone"
    assert swept.issued == [opened]


async def test_outside_its_scope_a_sweep_touches_nothing(store: WorkflowStore, swept: Swept) -> None:
    for state, owner in (("claimed", "there-2"), ("open", None)):
        put(store, f"wf_{state}", state, owner, lease_until=0.0, expires_at=0.0)
    swept.scope = {"wf_mine"}
    await swept.sweep.take_over(swept.scope)
    await swept.sweep.once()
    assert (swept.decisions.requests, swept.issued) == ([], [])


@pytest.mark.parametrize("error", [FenceMissed("was first"), WorkflowUnknown("no such")], ids=repr)
async def test_what_one_workflow_refuses_holds_up_no_other(
    store: WorkflowStore, swept: Swept, error: FenceMissed | WorkflowUnknown
) -> None:
    put(store, "wf_1", "claimed", "there-2", lease_until=0.0)
    put(store, "wf_2", "claimed", "there-2", lease_until=0.0)
    swept.decisions.errors = [error]
    await swept.sweep.once()
    assert len(swept.decisions.requests) == 2


def page_of_damaged(store: WorkflowStore, swept: Swept, kind: str) -> None:
    """More than a page of findings whose workflows cannot be decided, and a good one behind them."""
    states = {"run out": ("claimed", "there-2"), "overdue": ("handed_over", None), "expired": ("open", None)}
    names = [f"wf_damaged{number}" for number in range(ROWS_A_SWEEP + 5)]
    for instant, name in enumerate([*names, "wf_good"]):
        put(store, name, *states[kind], lease_until=float(instant), expires_at=float(instant), issue_after=9e9)
    swept.decisions.damaged = set(names)


@pytest.mark.parametrize("kind", ["run out", "overdue", "expired"])
async def test_what_cannot_be_decided_hides_nothing_behind_it(store: WorkflowStore, swept: Swept, kind: str) -> None:
    page_of_damaged(store, swept, kind)
    await swept.sweep.once()
    assert len(swept.decisions.requests) == ROWS_A_SWEEP
    await swept.sweep.once()
    assert [one.workflow_id for one in swept.decisions.requests].count("wf_good") == 1
    # Each was asked for once: the others are left alone.
    assert len(swept.decisions.requests) == ROWS_A_SWEEP + 6


async def test_what_was_left_alone_is_decided_when_its_time_is_over(
    store: WorkflowStore, swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "wf_1", "claimed", "there-2", lease_until=0.0)
    swept.decisions.damaged = {"wf_1"}
    monkeypatch.setattr(sweep, "HELD_OFF_SECONDS", 0.0)
    await swept.sweep.once()
    swept.decisions.damaged = set()
    await swept.sweep.once()
    assert len(swept.decisions.requests) == 2


async def test_so_many_are_left_alone_at_most(
    store: WorkflowStore, swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        put(store, f"wf_{number}", "claimed", "there-2", lease_until=0.0)
    swept.decisions.damaged = {"wf_0", "wf_1", "wf_2"}
    monkeypatch.setattr(sweep, "MOST_HELD_OFF", 2)
    await swept.sweep.once()
    await swept.sweep.once()
    assert len(swept.decisions.requests) == 4


async def test_trouble_with_the_store_ends_the_sweep(store: WorkflowStore, swept: Swept) -> None:
    put(store, "wf_1", "claimed", "there-2", lease_until=0.0)
    swept.decisions.errors = [StoreUnavailable("full")]
    with pytest.raises(StoreUnavailable):
        await swept.sweep.once()


# --- how often ------------------------------------------------------------------------------------------------------


async def until_true(look: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not look():  # noqa: ASYNC110 - the sweep tells nobody
            await asyncio.sleep(0)


@pytest.mark.parametrize(("state", "owner"), [("open", None), ("claimed", "there-2")])
async def test_where_nothing_is_under_way_a_sweep_rests_until_it_hears(
    store: WorkflowStore, swept: Swept, state: str, owner: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "UNHEARD_SECONDS", 1e6)
    hearing, rounds = Hearing(), 0

    async def besides() -> None:
        nonlocal rounds
        rounds += 1

    task = asyncio.create_task(swept.sweep.run(every_seconds=0.0, hearing=hearing, besides=besides))
    for _ in range(20):
        await asyncio.sleep(0)
    assert rounds == 1
    put(store, "wf_1", state, owner, lease_until=0.0, expires_at=0.0)
    hearing.heard()
    await until_true(lambda: swept.decisions.requests)
    task.cancel()


async def test_while_a_command_is_open_it_is_looked_for_without_hearing(store: WorkflowStore, swept: Swept) -> None:
    put(store, "wf_1", issue_after=9e9, expires_at=9e9)
    rounds: list[None] = []

    async def besides() -> None:
        rounds.append(None)

    task = asyncio.create_task(swept.sweep.run(every_seconds=0.0, hearing=Hearing(), besides=besides))
    await until_true(lambda: len(rounds) >= 3)
    task.cancel()


async def test_what_is_issued_ahead_of_its_time_leaves_out_what_a_limit_has_deferred(
    store: WorkflowStore, swept: Swept, clock: DatabaseClock
) -> None:
    soon = clock.at + 5
    waiting = put(store, "wf_1", issue_after=soon)
    with store.transaction() as cursor:
        cursor.execute("UPDATE inbox SET due_at = issue_after WHERE message_id = ?", (waiting,))
    dropped = put(store, "wf_2", issue_after=soon)
    await swept.sweep.issue_again(horizon_seconds=30)
    assert swept.issued == [dropped]
    clock.at = soon
    await swept.sweep.once()
    assert swept.issued[1:2] == [waiting]
