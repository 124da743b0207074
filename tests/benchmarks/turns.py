"""What a turn costs, without the rooms around it: deciding, and loading with saving, in microseconds a step.

    python -m tests.benchmarks.turns [--in-flight 50] [--seconds 5] [--cold] [--postgres postgresql://…]

Chains of five steps whose attempts end at once, claimed by the transaction that schedules them, with the real inbox;
one turn decides whatever has ended. With `--in-flight 1` it is the latency of a single commit; with `--cold` no
workflow is held in memory, and each turn folds its own from the store. On PostgreSQL, in an empty database, it also
says how many round trips to the server a turn takes.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from domain.store.application import WorkflowStore
from domain.store.opening import open_postgres_store, open_sqlite_store
from domain.store.shelf import WORKFLOWS_HELD
from tests.contracts.stage import Loaded, OpenStore, Stage, chain

STEPS = 5


class Stopwatch:
    """Adds up the time that calls of a method take."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds = 0.0
        self._clock = clock

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*given: Any, **named: Any) -> Any:
            began = self._clock()
            try:
                return call(*given, **named)
            finally:
                self.seconds += self._clock() - began

        return timed


def measured(opened: OpenStore, in_flight: int, seconds: float) -> dict[str, float]:
    """Keep so many chains under way for so long."""
    stage = Stage(opened)
    definitions = stage.store.deciding.definitions
    if isinstance(definitions, Loaded):
        definitions.known["chain"] = chain("chain", STEPS)
    whole, deciding, burnt = Stopwatch(), Stopwatch(), Stopwatch(time.process_time)
    decide = burnt.around(whole.around(stage.store.decide_turn))
    watched: Any = stage.store.deciding
    watched._decide = deciding.around(watched._decide)
    turns: list[float] = []
    steps = begun = ended = 0
    gc.collect()
    gc.freeze()
    until = time.perf_counter() + seconds
    requests = []
    while True:
        if time.perf_counter() < until:
            new = in_flight - (begun - ended)
            requests += [stage.start(f"wf_{begun + number:06d}") for number in range(new)]
            begun += new
        if not requests:
            break
        before = whole.seconds
        turn = decide(requests)
        turns.append(whole.seconds - before)
        ended += sum(decided.state.ended is not None for decided in turn)
        commands = stage.begun.taken()
        steps += len(commands)
        requests = [stage.outcome(command) for command in commands]
    events = stage.store.newest()
    recorder: Any = stage.store.recorder
    round_trips = getattr(recorder.datastore, "round_trips", 0)
    stage.store.close()
    return {
        "in_flight": in_flight,
        "steps": steps,
        "events_a_step": round(events / steps, 2),
        "steps_per_second": round(steps / whole.seconds),
        "microseconds_a_step": round(whole.seconds / steps * 1e6, 1),
        "cpu_microseconds_a_step": round(burnt.seconds / steps * 1e6, 1),
        "load_and_decide_microseconds": round(deciding.seconds / steps * 1e6, 1),
        "save_microseconds": round((whole.seconds - deciding.seconds) / steps * 1e6, 1),
        "round_trips_a_turn": round(round_trips / len(turns), 1),
        "turn_ms_p50": round(statistics.median(turns) * 1e3, 3),
        "turn_ms_p99": round(statistics.quantiles(turns, n=100)[98] * 1e3, 3),
    }


def main() -> None:
    """Measure once, in a folder that is thrown away, and print one JSON line."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--in-flight", type=int, default=50)
    options.add_argument("--seconds", type=float, default=5.0)
    options.add_argument("--cold", action="store_true")
    options.add_argument("--postgres", metavar="URL")
    given = options.parse_args()
    held = 0 if given.cold else WORKFLOWS_HELD
    with tempfile.TemporaryDirectory() as folder:

        def opened(**more: Any) -> WorkflowStore:
            if given.postgres:
                return open_postgres_store(given.postgres, create=True, workflows_held=held, **more)
            return open_sqlite_store(Path(folder) / "store.sqlite", workflows_held=held, **more)

        print(json.dumps(measured(opened, given.in_flight, given.seconds)))


if __name__ == "__main__":
    main()
