"""A home full of workflows that wait for approval: made here, through the engine, for others to measure.

    python -m tests.benchmarks.waiting HOME COUNT

Every workflow is started, runs its first step and is decided on like any other until it asks for an approval; then the
views are brought level with the log. Prints one JSON line with the id of one that waits.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import Any, Final

from deploy import process
from deploy.runtime import Runtime
from domain.state import Status
from tests.benchmarks.chain5 import events_behind
from tests.benchmarks.programs import ProgramFailed
from tests.benchmarks.recipes import WAITING

_AT_ONCE: Final = 256


async def fill(home: Path, count: int) -> dict[str, Any]:
    """Start so many workflows and see each of them block; the id of the one in the middle."""
    began = time.perf_counter()
    ids: list[str] = []
    left = iter(range(count))

    async with Runtime(home, definitions=[WAITING], examples=False) as runtime:

        async def start_and_see() -> None:
            for _ in left:
                workflow_id = await runtime.start("x", WAITING, requested_by="bench")
                state = await runtime.wait(workflow_id)
                if state.status is not Status.BLOCKED:
                    raise ProgramFailed(f"workflow {workflow_id} is {state.status}, not blocked")
                ids.append(workflow_id)

        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(start_and_see())
    if behind := events_behind(home):
        raise ProgramFailed(f"the views are {behind} events behind the log")
    return {
        "waiting": len(ids),
        "one": ids[len(ids) // 2] if ids else "",
        "seconds": round(time.perf_counter() - began, 1),
    }


def main() -> None:
    """Fill the home, and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("count", type=int)
    given = parser.parse_args()
    print(json.dumps(process.run(fill(given.home, given.count))))


if __name__ == "__main__":
    main()
