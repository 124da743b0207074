"""`make bench`: Handrail and its peers on the same work, in turn, in one run; then what only Handrail is asked.

    python -m tests.benchmarks.run [--quick] [--json FILE] [--only WORDS] [--folder FOLDER] [--rounds N] [--seconds N]
        [--soak N]

Prints one table of ratios with their floors and aims, and ends with 1 where a floor is missed, with 2 where something
could not be measured. `--quick` is for a short look: the floors hold for the full run. The parts on the real stack
(`stack`, `growing`, `soak`, `quiet`, `large`, `judging`) start a private PostgreSQL, and a private RabbitMQ, from the
machine's programs; `soak` takes ten minutes, or as long as `--soak` says.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.benchmarks import exporting, judging, large, readings, replaying, reporting, stack
from tests.benchmarks.figures import Report
from tests.benchmarks.programs import ProgramFailed
from tests.benchmarks.readings import Plan

FULL: Final = Plan(seconds=20.0, rounds=2, steps=10_000, times=3, waiting=100_000, blocked=1_000, rest_seconds=20.0)
QUICK: Final = Plan(
    seconds=3.0,
    rounds=1,
    steps=3_000,
    times=1,
    waiting=2_000,
    blocked=200,
    rest_seconds=5.0,
    goals=2_000,
    chains_at_rest=30,
    soak_seconds=20.0,
    workflows=20_000,
    exported=50_000,
    replayed=30_000,
    pairs=3,
)

Part = Callable[[Report, Path, Plan], None]

PARTS: Final[dict[str, Part]] = {
    "chain5": readings.chains,
    "aging": readings.aging,
    "approve": readings.approve,
    "rest": readings.rest,
    "stack": stack.stack,
    "growing": stack.growing,
    "soak": stack.soak,
    "quiet": stack.quiet,
    "large": large.large,
    "judging": judging.judging,
    "export": exporting.exporting,
    "replay": replaying.replaying,
    "report": reporting.reporting,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for; the exit code."""
    given = _parser().parse_args(arguments)
    plan = QUICK if given.quick else FULL
    plan = plan.with_options(seconds=given.seconds, rounds=given.rounds, soak_seconds=given.soak)
    report = Report(notes=_notes(quick=given.quick))
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="handrail-bench-", dir=given.folder) as folder:
        for name, part in PARTS.items():
            if given.only and name not in given.only:
                continue
            print(f"--- {name}", file=sys.stderr, flush=True)
            try:
                part(report, Path(folder), plan)
            except ProgramFailed as error:
                failed.append(name)
                print(f"{name} could not be measured: {error}", file=sys.stderr)
    if report.figures:
        print(report.table())
    for name, value in report.notes.items():
        print(f"{name}: {value}")
    if given.json is not None:
        given.json.write_text(json.dumps(report.as_json(), indent=2) + "\n", encoding="utf-8")
    for figure in report.missed:
        print(f"missed: {figure.name}", file=sys.stderr)
    return 2 if failed else 1 if report.missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short look, seconds instead of minutes")
    parser.add_argument("--json", type=Path, help="write all readings to this file")
    parser.add_argument("--only", action="append", choices=list(PARTS), help="measure this part only; repeatable")
    parser.add_argument("--folder", type=Path, help="where the databases are made; by default the system's")
    parser.add_argument("--seconds", type=float, help="seconds a reading")
    parser.add_argument("--soak", type=float, help="seconds over which the memory of serving processes is watched")
    parser.add_argument("--rounds", type=int, help="how often each is measured, in turn")
    return parser


def _notes(*, quick: bool) -> dict[str, object]:
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}",
        "load before": load,
        **({"quick": "a short look; the floors hold for the full run"} if quick else {}),
    }


if __name__ == "__main__":
    sys.exit(main())
