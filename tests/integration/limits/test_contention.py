"""Claimants of several processes at once: a limit holds whoever comes first, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from consumers.claims import Claims
from consumers.inbox import INBOX_SCHEMA
from consumers.limits import LIMITS_SCHEMA, Limited, Outcomes
from domain.limits import Breaker, Limits, Rate
from domain.store.application import WorkflowStore
from domain.store.opening import open_postgres_store, open_sqlite_store
from domain.triggers import RecordOutcome
from tests.unit.consumers.stage import Loaded, put

SCHEMA = (*INBOX_SCHEMA, *LIMITS_SCHEMA)
CLAIMANTS = 4
COMMANDS = 120

OpenOnce = Callable[[], WorkflowStore]


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenOnce]:
    """Opens the test's store once more, as another process would."""
    with ExitStack() as stores:
        url = request.getfixturevalue("database").url if request.param == "postgresql" else ""

        def once() -> WorkflowStore:
            if url:
                store = open_postgres_store(url, definitions=Loaded(), schema=SCHEMA, create=True)
            else:
                store = open_sqlite_store(tmp_path / "store.db", definitions=Loaded(), schema=SCHEMA)
            stores.callback(store.close)
            return store

        yield once


def all_at_once(work: Sequence[Callable[[], None]]) -> None:
    """Do all of it in threads, and raise what one of them raised."""
    faults: list[BaseException] = []

    def guarded(one: Callable[[], None]) -> None:
        try:
            one()
        except BaseException as fault:  # noqa: BLE001 - raised again below
            faults.append(fault)

    threads = [threading.Thread(target=guarded, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    if faults:
        raise faults[0]


class Claimant:
    """One process that claims, looks, and finishes, until nothing is left."""

    def __init__(self, store: WorkflowStore, owner: str, limits: Limits, names: Sequence[str]) -> None:
        self.store = store
        self.claims = Claims(store, owner, lease_seconds=30)
        self.limits = limits
        self.names = names
        self.seen: list[int] = []
        self.claimed: list[str] = []

    def work(self) -> None:
        left = list(self.names)
        while left:
            taken = self.claims.take(left[:8], limited=[Limited(self.limits, left[:8])])
            ((count,),) = self.store.query("SELECT count(*) FROM inbox WHERE state = 'claimed'")
            self.seen.append(count)
            self.claimed += taken.claimed
            self.finish(taken.claimed)
            left = [name for name in left if name in self.open()]

    def finish(self, names: set[str]) -> None:
        outcomes = Outcomes()
        outcomes.add(self.limits, RecordOutcome(step="a", kind="run", attempt=1, status="ok"))
        with self.store.transaction() as cursor:
            # The order of a turn that records outcomes: limits first, then rows of the inbox.
            outcomes.run(cursor)
            for name in names:
                cursor.execute("UPDATE inbox SET state = 'done' WHERE message_id = ?", (name,))

    def open(self) -> set[str]:
        return {row[0] for row in self.store.query("SELECT message_id FROM inbox WHERE state = 'open'")}


def test_several_processes_never_run_more_at_once_and_never_lock_one_another_out(opened: OpenOnce) -> None:
    limits = Limits(name="bank", at_once=3, breaker=Breaker())
    first = opened()
    names = [put(first, f"wf_{number:03d}") for number in range(COMMANDS)]
    claimants = [Claimant(opened(), f"there-{number}", limits, names) for number in range(CLAIMANTS)]
    all_at_once([one.work for one in claimants])
    assert max(count for one in claimants for count in one.seen) <= 3
    claimed = [name for one in claimants for name in one.claimed]
    assert sorted(claimed) == names


@pytest.mark.parametrize(
    ("limits", "admitted"),
    [
        (Limits(name="bank", rate=Rate(times=7, per=timedelta(minutes=10))), 7),
        (Limits(name="bank", at_once=3), 3),
        (Limits(name="bank", breaker=Breaker(over=1)), 1),
    ],
    ids=["rate", "at once", "breaker"],
)
def test_of_several_processes_that_come_together_as_many_are_admitted_as_of_one(
    opened: OpenOnce, limits: Limits, admitted: int
) -> None:
    first = opened()
    names = [put(first, f"wf_{number:03d}") for number in range(40)]
    with first.transaction() as cursor:
        # A breaker whose time is over: one attempt is to show whether the trouble is, too.
        cursor.execute("INSERT INTO activity_limits VALUES ('bank', '[]', 0, 0, 1.0, 1.0)")
    stores = [opened() for _ in range(CLAIMANTS)]
    together = threading.Barrier(CLAIMANTS)
    claimed: list[str] = []

    def claim(store: WorkflowStore, number: int) -> None:
        claims = Claims(store, f"there-{number}", lease_seconds=30)
        mine = names[number::CLAIMANTS]
        claims.known(mine)
        together.wait(30)
        claimed.extend(claims.take(mine, limited=[Limited(limits, mine)]).claimed)

    all_at_once([lambda store=store, number=number: claim(store, number) for number, store in enumerate(stores)])  # type: ignore[misc]
    assert len(claimed) == admitted
    ((promised, different),) = first.query("SELECT count(due_at), count(DISTINCT due_at) FROM inbox")
    assert (promised, different) == (40 - admitted, 40 - admitted)
