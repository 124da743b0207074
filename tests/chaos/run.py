"""`make chaos`: thousands of workflows under faults on servers of their own, and the table of what came of it.

`python -m tests.chaos.run [--workflows N] [--seed S] [--hits N] [--minutes N] [--layout all|apart] [--out FOLDER]`.
The same seed makes the same plan of faults and the same goals. Ends with 1 where anything is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import random
import signal
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.chaos.driver import Run, run
from tests.chaos.stage import staged

WORKFLOWS: Final = 20_030
"""The number that DBOS published for its own chaos tests."""
HITS: Final = 30
MOST_OPEN: Final = 400
MINUTES: Final = 90.0


def main() -> int:
    """Run, print, and say by the exit code whether anything is wrong."""
    given = arguments()
    # Asked to end, it ends what it started, as on Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1_000_000)
    folder = Path(given.out) if given.out else Path(tempfile.mkdtemp(prefix="handrail-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"seed {seed}; everything that is said goes to {folder}", flush=True)
    plan = Run(
        workflows=given.workflows,
        seed=seed,
        hits_needed=given.hits,
        most_open=given.open,
        most_seconds=given.minutes * 60.0,
        hurried=given.hurried,
        layout=given.layout,
        told=lambda words: print(words, file=sys.stderr, flush=True),
    )
    # What the harness's own connections say while their broker is away is read only when something is wrong.
    logging.basicConfig(filename=folder / "harness.log", level=logging.INFO)
    with staged(folder) as stage:
        report = asyncio.run(run(plan, stage, folder))
    (folder / "figures.json").write_text(report.as_json(), encoding="utf-8")
    (folder / "figures.txt").write_text(f"{report.text()}\n", encoding="utf-8")
    with contextlib.suppress(BrokenPipeError):
        print(report.text(), flush=True)
    return 1 if report.problems else 0


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="make chaos ARGS=", description="Workflows under faults on the real stack.")
    parser.add_argument("--workflows", type=int, default=WORKFLOWS, help="how many goals (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="repeats a plan; by chance where it is left out")
    parser.add_argument("--hits", type=int, default=HITS, help="faults of each kind that must hit something in flight")
    parser.add_argument("--open", type=int, default=MOST_OPEN, help="workflows open at once (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="the longest that the load may last")
    parser.add_argument("--layout", choices=("all", "apart"), default="all", help="who serves: see driver.roles")
    parser.add_argument("--hurried", action="store_true", help="shorter pauses between faults")
    parser.add_argument("--out", help="folder for logs and figures (default: a temporary one, which is kept)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
