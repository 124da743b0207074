"""Starts the real command line without importing it anew each time: a process that has imported all of it, and forks.

What runs in the child is what `python -m deploy.cli.main` runs, from its first line on, in a process of its own with an
environment of its own; only the quarter of a second is saved that the imports take, which is most of a short command.

One request a line on standard input, one answer a line on standard output: `start` answers with the process id, `wait`
with the exit code (negative: the signal that ended it; none: it took too long and was killed). It ends with its input.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import sys
from typing import Any

LOADED_BY_COMMANDS = (
    "deploy.cli.act",
    "deploy.cli.forking",
    "deploy.cli.given",
    "deploy.cli.resuming",
    "deploy.cli.serve_command",
    "deploy.cli.session",
    "deploy.cli.signalling",
    "deploy.examples.vendor_onboarding.definition",
    "deploy.runtime",
    "deploy.serving.process",
    "tests.crash.workloads",
    "uvloop",
)
"""What the commands import when they are called. A name that is wrong here ends the nursery at once."""


def serve() -> None:
    """Answer requests until there are no more."""
    for name in LOADED_BY_COMMANDS:
        importlib.import_module(name)
    main = importlib.import_module("deploy.cli.main").main
    # What is here stays shared with the children: their collector has no reason to touch it.
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "start":
            process_id = os.fork()
            if process_id == 0:
                become(request)
                sys.exit(main())
            answer: int | None = process_id
        else:
            answer = wait(request["process_id"], request["limit_seconds"])
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()


def become(request: dict[str, Any]) -> None:
    """Take on arguments, environment, and files for what is read and written."""
    for descriptor, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, request["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, request["errors"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        opened = os.open(path, flags, 0o644)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["handrail", *request["arguments"]]


def wait(process_id: int, limit_seconds: float) -> int | None:
    """The child's exit code; None where it did not end in time and was killed."""
    descriptor = os.pidfd_open(process_id)
    try:
        ended, _, _ = select.select([descriptor], [], [], limit_seconds)
    finally:
        os.close(descriptor)
    if not ended:
        os.kill(process_id, signal.SIGKILL)
    _, status = os.waitpid(process_id, 0)
    return os.waitstatus_to_exitcode(status) if ended else None


if __name__ == "__main__":
    serve()
