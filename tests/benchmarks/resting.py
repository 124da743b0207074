"""A runtime with nothing to do, for others to watch: says `ready`, and ends when its standard input is closed.

python -m tests.benchmarks.resting HOME
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from deploy import process
from deploy.runtime import Runtime
from tests.benchmarks.recipes import CHAIN, LONG, WAITING


async def rest(home: Path) -> None:
    """Hold the home, drive everything in it, and wait."""
    async with Runtime(home, definitions=[CHAIN, LONG, WAITING], examples=False) as runtime:
        if not runtime.holder:
            raise SystemExit("another process holds the home")
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    process.run(rest(Path(sys.argv[1])))
