"""Add golden histories: `python -m tests.replay.add` plays every workload that has no file yet, and writes one.

A file that is there is never written again: it is what a version of Handrail once recorded, and every later version
must read it. Where deciding changed on purpose, raise ENGINE in `domain/recorded.py`, give the workload a new name in
`workloads.py` and add the new history beside the old one.
"""

from __future__ import annotations

import sys

from domain.recorded import ENGINE
from tests.replay.broken import BROKEN
from tests.replay.files import BROKEN_FOLDER, FOLDER, write
from tests.replay.workloads import WORKLOADS


def main() -> int:
    """Write what is missing."""
    for name, play in WORKLOADS.items():
        path = FOLDER / f"{name}.jsonl"
        if path.exists():
            print(f"{path.name} is there and stays as it is")
            continue
        scenario = play()
        about = {
            "about": (play.__doc__ or "").strip(),
            "engine": ENGINE,
            "status": scenario.state.status.value,
            "head": scenario.state.head,
        }
        write(path, about, scenario.history)
        print(f"{path.name} written: {len(scenario.history)} events, {about['status']}")
    for name, make in BROKEN.items():
        path = BROKEN_FOLDER / f"{name}.jsonl"
        if not path.exists():
            broken = make()
            write(path, {"about": (make.__doc__ or "").strip(), **broken.about}, broken.events)
            print(f"{path.name} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
