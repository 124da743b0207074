"""chain5 on Handrail, as an application that embeds the runtime: the counterpart of the scripts in `peers/`.

    python -m tests.benchmarks.chain5 HOME [--seconds 20] [--in-flight 50] [--without-views]

Everything is on: claims and outcomes committed for every step, the gate, digests, timers, relay, metrics and, unless
they are left out, the views. So many workflows are kept in flight, each started when another ends, for the given time;
what is measured ends when all of them have ended and the views are level with the log. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from deploy import process
from deploy.opened import DATABASE_FILE
from deploy.runtime import Runtime
from domain.state import Status
from projections.schema import POSITION
from tests.benchmarks.programs import ProgramFailed
from tests.benchmarks.recipes import CHAIN, CHAIN_STEPS
from tests.benchmarks.synchronous import LEVELS

CHAINS_AT_REST = 60

Chain = Callable[[], Awaitable[None]]


async def one(runtime: Runtime) -> None:
    """Run one chain to its end."""
    workflow_id = await runtime.start("x", CHAIN, requested_by="bench")
    state = await runtime.wait(workflow_id)
    if state.status is not Status.COMPLETED:
        raise ProgramFailed(f"workflow {workflow_id} is {state.status}: {state.ended_reason}")


async def latency_seconds(chain: Chain, chains: int) -> float:
    """Median time of a chain that runs alone."""
    took: list[float] = []
    for _ in range(chains):
        began = time.perf_counter()
        await chain()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


async def keep_in_flight(chain: Chain, *, seconds: float, in_flight: int) -> int:
    """Keep so many chains under way for so long, and let them end; how many there were."""
    until = time.perf_counter() + seconds
    ended = 0

    async def again_and_again() -> None:
        nonlocal ended
        while time.perf_counter() < until:
            await chain()
            ended += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(again_and_again())
    return ended


async def measure(home: Path, *, seconds: float, in_flight: int, views: bool, at_rest: int) -> dict[str, Any]:
    """Latency at rest, then the rate under load."""
    async with Runtime(home, definitions=[CHAIN], examples=False, views=views) as runtime:
        latency = await latency_seconds(lambda: one(runtime), at_rest)
        began = time.perf_counter()
        cpu_began = time.process_time()
        ((synchronous,),) = runtime.store.query("PRAGMA synchronous")
        chains = await keep_in_flight(lambda: one(runtime), seconds=seconds, in_flight=in_flight)
    # Closing wrote the last of the views.
    took = time.perf_counter() - began
    lag = events_behind(home)
    if views and lag:
        raise ProgramFailed(f"the views are {lag} events behind the log")
    steps = chains * CHAIN_STEPS
    return {
        "peer": "handrail",
        "store": "sqlite",
        "views": views,
        "steps_per_second": round(steps / took),
        "chain_latency_ms_p50": round(latency * 1_000, 2),
        "cpu_microseconds_a_step": round((time.process_time() - cpu_began) / steps * 1e6, 1),
        "seconds": round(took, 2),
        "workflows": chains,
        "synchronous": LEVELS[synchronous],
    }


def events_behind(home: Path) -> int:
    """How many events the views are behind the log."""
    with closing(sqlite3.connect(home / DATABASE_FILE)) as database:
        (newest,) = database.execute("SELECT max(id) FROM stored_events").fetchone()
        position = database.execute("SELECT position FROM positions WHERE name = ?", (POSITION,)).fetchone()
    return int(newest - (position[0] if position else 0))


def main() -> None:
    """Measure, and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--in-flight", type=int, default=50)
    parser.add_argument("--at-rest", type=int, default=CHAINS_AT_REST)
    parser.add_argument("--without-views", action="store_true")
    given = parser.parse_args()
    measured = process.run(
        measure(
            given.home,
            seconds=given.seconds,
            in_flight=given.in_flight,
            views=not given.without_views,
            at_rest=given.at_rest,
        )
    )
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
