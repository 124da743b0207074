"""What a step costs in an old workflow: the last 1,000 steps of one of 10,000 against its first 1,000.

    python -m tests.benchmarks.aging HOME [--steps 10000] [--times 3]

One chain, planned in rounds, by a planner activity that is asked again each time. Each step comes after the one before
it, so every step is a decision and a commit of its own. Prints one JSON line; the ratio is the median of several
workflows, each measured against itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
from pathlib import Path
from typing import Any, Final

from deploy import process
from deploy.runtime import Runtime
from domain.state import Status
from tests.benchmarks.programs import ProgramFailed
from tests.benchmarks.recipes import ASKED_AT, LONG, ROUND_STEPS

WINDOW_STEPS: Final = 1_000
_WARM_UP_STEPS: Final = 2 * ROUND_STEPS


async def run_one(runtime: Runtime, steps: int) -> list[float]:
    """Run one long chain: the instants at which its planner was asked, one a round and one for the end."""
    ASKED_AT.clear()
    workflow_id = await runtime.start("grow old", LONG, {"steps": steps}, requested_by="bench")
    state = await runtime.wait(workflow_id)
    if state.status is not Status.COMPLETED:
        raise ProgramFailed(f"workflow {workflow_id} is {state.status}: {state.ended_reason}")
    return list(ASKED_AT)


async def measure(home: Path, *, steps: int, times: int) -> dict[str, Any]:
    """Several workflows, one after the other."""
    rounds = min(WINDOW_STEPS, steps // 2) // ROUND_STEPS
    first, last = [], []
    async with Runtime(home, definitions=[LONG], examples=False) as runtime:
        await run_one(runtime, _WARM_UP_STEPS)
        for _ in range(times):
            asked_at = await run_one(runtime, steps)
            first.append(asked_at[rounds] - asked_at[0])
            last.append(asked_at[-1] - asked_at[-1 - rounds])
            await asyncio.sleep(0)
    ratios = [young_old[1] / young_old[0] for young_old in zip(first, last, strict=True)]
    window = rounds * ROUND_STEPS
    return {
        "steps": steps,
        "window": window,
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "first_ms_a_step": round(statistics.median(first) / window * 1_000, 3),
        "last_ms_a_step": round(statistics.median(last) / window * 1_000, 3),
    }


def main() -> None:
    """Measure, and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=3)
    given = parser.parse_args()
    print(json.dumps(process.run(measure(given.home, steps=given.steps, times=given.times))))


if __name__ == "__main__":
    main()
