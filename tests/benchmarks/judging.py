"""How quickly those who are due are judged: rounds over many commands that nobody claims, on PostgreSQL.

The rows are made as the projector writes them, each with its command in the inbox; the log knows nothing of them. What
is measured is a round with all that it asks and writes, and how long the keeping of the views waits for it at most.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import psycopg

from deploy.loading import LoadedDefinitions
from deploy.opened import SCHEMA
from deploy.stuck_facts import StoreFacts
from domain.store.application import WorkflowStore
from domain.store.aside import StoreThreads
from domain.store.opening import open_postgres_store
from projections.causes import Cause
from projections.judging import Judging
from projections.keeper import Keeper
from projections.log import LogReader
from projections.projector import Projector
from projections.rows import Hold, WorkflowRow
from projections.schema import POSITION
from projections.sql import ViewsAlong
from projections.stuck import QueueFacts
from projections.thresholds import Thresholds
from projections.totals import Totals
from tests.benchmarks.figures import Figure, Report
from tests.benchmarks.readings import OURS, Plan, keep
from tests.chaos.moments import called_within
from tests.servers.postgres import Database, own_cluster

DUE: Final = 50_000
SECONDS_AT_MOST: Final = 30.0
"""How late a cause may be told."""
WAIT_AT_MOST: Final = 2.0
"""How far the views may be behind."""

_QUEUE: Final = "default"
_WRITTEN_AT_ONCE: Final = 1_000
_GLANCE_SECONDS: Final = 0.01
_COMMAND: Final = (
    "INSERT INTO inbox (message_id, kind, workflow_id, version, digest, state, issue_after, issued_at, expires_at, "
    "queue) SELECT workflow_id || '/lift/run/1', 'run', workflow_id, 3, '', 'open', 9e9, 0, 9e9, %s FROM workflows"
)


@dataclass(frozen=True, slots=True)
class Round:
    """What came of one: how many were judged, how many of them are stuck, and how long the views waited at most."""

    judged: int
    stuck: int
    seconds: float
    longest_wait: float


def judging(report: Report, _: Path, plan: Plan) -> None:
    """The first round over what is due, and the next: by then all of it is known to be stuck."""
    due = min(plan.workflows, DUE)
    cluster = own_cluster()
    try:
        rounds = measured(cluster.new_database(), due)
    finally:
        cluster.leave()
    for what, found in zip(("first", "again"), rounds, strict=True):
        rate = found.judged / found.seconds
        keep(report, OURS, f"judged {what}", {"rows_per_second": round(rate), "longest_wait": found.longest_wait})
        parts = f"{found.judged} judged in {found.seconds:.1f} s, {found.stuck} of them stuck"
        floor = due / SECONDS_AT_MOST
        report.figures += [
            Figure(f"judging, {what}: rows a second", rate, floor, 10_000.0, parts=parts),
            Figure(
                f"judging, {what}: longest wait of the views",
                found.longest_wait,
                WAIT_AT_MOST,
                better="lower",
                unit=" s",
            ),
        ]


def measured(database: Database, due: int) -> list[Round]:
    """Two rounds over so many rows in an empty database."""
    with _store(database.url) as store:
        _fill(store, due)
        with psycopg.connect(database.admin_url, autocommit=True) as rows:
            rows.execute(_COMMAND, (_QUEUE,))
            rows.execute("ANALYZE")
        return asyncio.run(_rounds(store))


@contextmanager
def _store(url: str) -> Iterator[WorkflowStore]:
    store = open_postgres_store(url, definitions=LoadedDefinitions(), schema=SCHEMA, create=True)
    try:
        yield store
    finally:
        store.close()


def _fill(store: WorkflowStore, due: int) -> None:
    """Rows of workflows that each wait for one command, begun half an hour ago."""
    since = datetime.now(UTC) - timedelta(minutes=30)
    names = [f"wf_{number:08}" for number in range(due)]
    for start in range(0, due, _WRITTEN_AT_ONCE):
        rows = [_row(name, since) for name in names[start : start + _WRITTEN_AT_ONCE]]
        store.run(ViewsAlong(rows))
    with store.recorder.transaction() as cursor:
        cursor.execute("INSERT INTO positions (name, position) VALUES (?, 1)", (POSITION,))


def _row(name: str, since: datetime) -> WorkflowRow:
    row = WorkflowRow(name, 4, "orders", "1", "orders", "alice", started_at=since, changed_at=since, step_count=1)
    row.standing.planning = False
    row.standing.live["lift"] = Hold(since, since + timedelta(days=1), f"{name}/lift/run/1", "lift", _QUEUE)
    row.look_at = since
    return row


async def _rounds(store: WorkflowStore) -> list[Round]:
    threads = StoreThreads()
    totals = Totals()
    keeper = Keeper(store, totals=totals)
    follower = store.follow(0)
    projector = Projector(keeper, follower, LogReader(store.recorder, store.mapper.read), aside=threads.rooms)
    clock = _Clock()
    judging = Judging(
        keeper,
        between=projector.between,
        facts_of=StoreFacts(store, _queues, threads.rooms),
        thresholds=Thresholds(),
        now=clock,
        aside=threads.rooms,
    )
    try:
        await threads.rooms(keeper.begin)
        found = []
        for _ in range(2):
            found.append(await _round(judging, projector, totals))
            clock.ahead += timedelta(minutes=1)
        return found
    finally:
        follower.close()
        threads.close()


async def _round(judging: Judging, projector: Projector, totals: Totals) -> Round:
    waits, over = [0.0], asyncio.Event()

    async def glance() -> None:
        """Wait for one's turn as the keeping of the views does."""
        while not await called_within(over, _GLANCE_SECONDS):
            began = time.perf_counter()
            await projector.between(_nothing)
            waits.append(time.perf_counter() - began)

    glancing = asyncio.ensure_future(glance())
    began = time.perf_counter()
    judged = 0
    while some := await judging.round():
        judged += some
    seconds = time.perf_counter() - began
    over.set()
    await glancing
    stuck = sum(number for (_, _, cause), number in totals.tallies.items() if cause == Cause.BACKLOG.value)
    return Round(judged, stuck, seconds, max(waits))


class _Clock:
    """The time, further on with each round."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


def _queues(names: Collection[str]) -> Mapping[str, QueueFacts]:
    return {name: QueueFacts(consumers=1, messages=1) for name in names}


async def _nothing() -> None:
    """Have one's turn."""
