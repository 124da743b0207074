"""Ends servers when whoever started them has gone, however: stopped, interrupted or killed.

Run as a program of its own. It reads lines, `process ID SIGNAL` and `folder PATH`, for as long as its standard input
is open, which the system closes with the one who started it. Then it sends each process its signal, kills those that
do not end, and removes the folders. A process is held by descriptor: an id that was used again is not hit.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys

PATIENCE_SECONDS = 5.0


def main() -> None:
    """Read until the end, then clean up."""
    held: list[tuple[int, int]] = []
    folders: list[str] = []
    for line in sys.stdin:
        verb, _, rest = line.strip().partition(" ")
        if verb == "folder":
            folders.append(rest)
        elif verb == "process":
            process_id, _, number = rest.partition(" ")
            with contextlib.suppress(ProcessLookupError):
                held.append((os.pidfd_open(int(process_id)), int(number)))
    for descriptor, number in held:
        send(descriptor, number)
    for descriptor, _ in held:
        ended, _, _ = select.select([descriptor], [], [], PATIENCE_SECONDS)
        if not ended:
            send(descriptor, signal.SIGKILL)
            select.select([descriptor], [], [], PATIENCE_SECONDS)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def send(descriptor: int, number: int) -> None:
    """Send a signal to a process that may have ended."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(descriptor, number)


if __name__ == "__main__":
    main()
