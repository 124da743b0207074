"""A million workflows in the views: what a scrape says and costs then, what the projector holds, and how it keeps up.

Two workflows are run, and their rows multiplied under other ids and fifty definitions' names: the log knows nothing of
the copies. Steps are copied of the waiting ones only: no figure here depends on the others'. Then real processes serve
beside these rows.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from prometheus_client.parser import text_string_to_metric_families

from deploy import process
from projections.schema import POSITION, STEP_COLUMNS, WAIT_COLUMNS, WORKFLOW_COLUMNS
from tests.benchmarks.figures import Figure, Report
from tests.benchmarks.readings import IN_FLIGHT, OURS, Plan, keep
from tests.benchmarks.recipes import CHAIN, CHAIN_STEPS, WAITING
from tests.benchmarks.sending import COMPLETED, open_sender
from tests.benchmarks.stand import Stand, resident_mebibytes, rest_for
from tests.integration.serving.deployment import Deployment, Served, until

DEFINITIONS: Final = 50
WAITING_SHARE: Final = 0.05
SCRAPES: Final = 20
OTHERS: Final = ("goals", "approvals", "signals", "control", "outcomes", "relay", "timer", "activities")
"""All roles that a chain needs, without the projector."""
LAG: Final = ("handrail_follower_lag_seconds", "follower", "views")

_HEAD: Final = "SELECT coalesce(max(id), 0) FROM stored_events"
_REACHED: Final = "SELECT coalesce(max(position), 0) FROM positions WHERE name = %s"
_LEVEL_SECONDS: Final = 300.0
_LOOK_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Scrape:
    """One answer of /metrics: how long it took, and each sample of it by name and labels."""

    seconds: float
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]

    def of(self, name: str, label: str, value: str) -> float:
        """The sample with this name and label; 0 where there is none."""
        return self.samples.get((name, frozenset({(label, value)})), 0.0)


def large(report: Report, folder: Path, plan: Plan) -> None:
    """Scrapes, memory, lag under load and the rate of projecting, with so many workflows in the views."""
    with Stand(folder) as stand, stand.deployed(OTHERS) as deployment:
        projector = deployment.serve("projector")
        made = process.run(_templates(deployment))
        _level(deployment)
        projector.terminate()
        deployment.processes.remove(projector)
        _multiply(deployment, plan.workflows, *made)

        _figures_of_rate(report, stand, deployment, plan)
        projector = _projecting(deployment)
        _figures_of_scrapes(report, deployment, projector)
        _figures_under_load(report, deployment, projector, plan)


# --- seeding --------------------------------------------------------------------------------------------------------


async def _templates(deployment: Deployment) -> tuple[str, str]:
    """A chain that completed, and a workflow that waits for a person: their ids."""
    async with open_sender(deployment) as sender:
        await sender.chains_at_rest(1)
        with psycopg.connect(deployment.database.admin_url, autocommit=True) as rows:
            (completed,) = until(lambda: rows.execute(_OF_DEFINITION, (CHAIN.name, "completed")).fetchone(), "no chain")
            await sender.send(1, WAITING.name)
            (blocked,) = until(lambda: rows.execute(_OF_DEFINITION, (WAITING.name, "blocked")).fetchone(), "none waits")
    return completed, blocked


_OF_DEFINITION: Final = "SELECT workflow_id FROM workflows WHERE definition = %s AND status = %s"


def _multiply(deployment: Deployment, workflows: int, completed: str, blocked: str) -> None:
    """Make so many rows of these two's: most completed, a share of them waiting for a person, spread over an hour."""
    waiting = int(workflows * WAITING_SHARE)
    with psycopg.connect(deployment.database.admin_url, autocommit=True) as rows:
        _copy(rows, "workflows", WORKFLOW_COLUMNS, completed, "ended", workflows - waiting)
        for table, columns in (("workflows", WORKFLOW_COLUMNS), ("steps", STEP_COLUMNS), ("waits", WAIT_COLUMNS)):
            _copy(rows, table, columns, blocked, "waits", waiting)
        rows.execute("DELETE FROM tallies")
        rows.execute(
            "INSERT INTO tallies (definition, status, cause, number) SELECT definition, status,"
            " coalesce(stuck_cause, ''), count(*) FROM workflows GROUP BY 1, 2, 3"
        )
        rows.execute("ANALYZE")


def _copy(
    rows: psycopg.Connection[tuple[object, ...]],
    table: str,
    columns: tuple[str, ...],
    template: str,
    name: str,
    number: int,
) -> None:
    changed = {
        "workflow_id": f"'{name}-' || copy",
        "definition": f"'definition ' || copy %% {DEFINITIONS}",
        "since_minute": "since_minute - copy %% 60",
        "look_at": "NULL",  # judged they were at the beginning: what is measured is the keeping, not the first look
    }
    values = ", ".join(changed.get(column, f"t.{column}") for column in columns)
    rows.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {table} t, generate_series(1, %s) copy"
        " WHERE t.workflow_id = %s",
        (number, template),
    )


# --- readings -------------------------------------------------------------------------------------------------------


def _figures_of_rate(report: Report, stand: Stand, deployment: Deployment, plan: Plan) -> None:
    """A backlog made without a projector, and how quickly one has it in the views."""
    process.run(_load(deployment, plan.seconds))
    projector = _projecting(deployment)
    began, before = time.perf_counter(), stand.burnt([projector])
    head, reached = _positions(deployment)
    backlog = head - reached
    _level(deployment)
    took = time.perf_counter() - began
    burnt = stand.burnt([projector]) - before
    costs = burnt.a_piece(backlog)
    keep(report, OURS, "views of a backlog", {"events_per_second": round(backlog / took), "events": backlog, **costs})
    by_database = burnt.database > burnt.serving
    parts = (
        f"{backlog} events in {took:.1f} s; CPU an event {costs['cpu_us_serving']} µs here and"
        f" {costs['cpu_us_database']} µs in the database: {'the database' if by_database else 'folding'} is its limit"
    )
    report.figures.append(Figure("large, events projected a second", backlog / took, 5_000.0, parts=parts))
    projector.terminate()
    deployment.processes.remove(projector)


def _projecting(deployment: Deployment) -> Served:
    """A projector whose rows move; one that has nothing to do is ready."""
    head, reached = _positions(deployment)
    projector = deployment.serve("projector", ready=head == reached)
    until(lambda: head == reached or _positions(deployment)[1] > reached, "the projector does not move")
    return projector


def _figures_of_scrapes(report: Report, deployment: Deployment, projector: Served) -> None:
    """How much a scrape says, and how long it takes."""
    until(lambda: ("handrail_workflows", "definition 7") in _shown(scrape(projector)), "the views are not shown")
    scrapes = [scrape(projector) for _ in range(SCRAPES)]
    slowest = max(one.seconds for one in scrapes)
    own = [key for key in scrapes[-1].samples if key[0].startswith("handrail_")]
    worker = scrape(next(one for one in deployment.processes if one is not projector))
    by_activity: dict[str, int] = {}
    for _, labels in worker.samples:
        activity = dict(labels).get("activity")
        if activity is not None:
            by_activity[activity] = by_activity.get(activity, 0) + 1
    keep(report, OURS, "a scrape", {"series": len(own), "slowest_ms": slowest * 1_000, **by_activity})
    title = f"large, {DEFINITIONS} definitions"
    report.figures += [
        Figure(f"{title}: series of the projector", len(own), 2_000, better="lower"),
        Figure(f"{title}: series of an activity type", max(by_activity.values()), 45, better="lower"),
        Figure(f"{title}: the slowest of {SCRAPES} scrapes", slowest * 1_000, 200, better="lower", unit=" ms"),
    ]


def _figures_under_load(report: Report, deployment: Deployment, projector: Served, plan: Plan) -> None:
    """The lag that the projector's own /metrics shows at the rate of chain5, and what it holds then."""
    lags: list[float] = []
    asked = float("-inf")

    def look(seconds: float) -> None:
        nonlocal asked
        if seconds - asked >= 1.0:
            asked = seconds
            lags.append(scrape(projector).of(*LAG))

    chains, took = process.run(_load(deployment, plan.seconds, each_look=look))
    _level(deployment)
    held = resident_mebibytes(projector.process.pid)
    rate = round(chains * CHAIN_STEPS / took)
    keep(report, OURS, "large, under load", {"steps_per_second": rate, "lag_seconds": max(lags), "mebibytes": held})
    title = f"large, {plan.workflows} workflows"
    parts = f"of {len(lags)} looks, at {rate} steps/s"
    report.figures += [
        Figure(f"{title}: most lag of the views", max(lags), 2.0, better="lower", unit=" s", parts=parts),
        Figure(f"{title}: memory of the projector", held, 200.0, better="lower", unit=" MB"),
    ]


async def _load(deployment: Deployment, seconds: float, **options: object) -> tuple[int, float]:
    async with open_sender(deployment) as sender:
        await sender.look(COMPLETED)
        return await sender.keep_in_flight(seconds=seconds, in_flight=IN_FLIGHT, **options)  # type: ignore[arg-type]


def scrape(served: Served) -> Scrape:
    """Ask a process for its metrics."""
    began = time.perf_counter()
    with urllib.request.urlopen(f"{served.address}/metrics", timeout=30) as answer:  # noqa: S310 - our own address
        text = answer.read().decode()
    return Scrape(time.perf_counter() - began, dict(_samples(text)))


def _samples(text: str) -> Iterator[tuple[tuple[str, frozenset[tuple[str, str]]], float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield (sample.name, frozenset(sample.labels.items())), sample.value


def _shown(found: Scrape) -> set[tuple[str, str]]:
    return {(name, dict(labels).get("definition", "")) for name, labels in found.samples}


def _positions(deployment: Deployment) -> tuple[int, int]:
    """The newest event's, and the views'."""
    with psycopg.connect(deployment.database.admin_url, autocommit=True) as rows:
        (head,) = rows.execute(_HEAD).fetchone() or (0,)
        (reached,) = rows.execute(_REACHED, (POSITION,)).fetchone() or (0,)
    return int(head), int(reached)


def _level(deployment: Deployment) -> None:
    """Return when the views are level with the log."""
    began = time.perf_counter()
    while len(set(_positions(deployment))) > 1:
        if time.perf_counter() - began > _LEVEL_SECONDS:
            raise AssertionError("the views do not come level with the log")
        rest_for(_LOOK_SECONDS)
