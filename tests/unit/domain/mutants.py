"""Runs tests on changed copies of the tree, forking from a process that has imported everything but the domain.

Reads a line of JSON for each run, `[root, tests]`, and answers with a line: pytest's exit code. The output of a run is
left in `root/output.txt`. A run that did not test the copy answers 99.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import hypothesis
import pydantic
import pytest
import rfc8785

IMPORTED = (hypothesis, pydantic, rfc8785)
"""What takes long to import and is the same for every copy."""

NOT_THE_COPY = 99


def run(root: Path, tests: str) -> int:
    """Run the tests whose names hold these words, in this very process."""
    sys.stdout.flush()
    os.chdir(root)
    sys.path[0] = str(root)  # in place of the folder of this script
    sys.dont_write_bytecode = True
    with (root / "output.txt").open("w", encoding="utf-8") as output:
        os.dup2(output.fileno(), sys.stdout.fileno())
        os.dup2(output.fileno(), sys.stderr.fileno())
        file, _, name = tests.partition("::")
        where = f"tests/unit/domain/test_{file}.py"
        options = [
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:asyncio",
            "-p",
            "no:xdist",
            "-c",
            os.devnull,
            "--rootdir",
            str(root),
        ]
        code = int(pytest.main([*options, where, "-k", f"test_{name}"]))
    domain = sys.modules.get("domain")
    return code if domain is not None and str(domain.__file__).startswith(str(root)) else NOT_THE_COPY


def main() -> None:
    """Serve until the input ends."""
    for line in sys.stdin:
        root, tests = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(run(Path(root), tests))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
