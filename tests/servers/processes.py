"""What the private servers share: ports that stay free, processes that end with the tests, waiting with a limit."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

KEEPER = Path(__file__).with_name("keeper.py")
LOWEST_PORT = 12_000
TRIES = 200


class ServerMissing(Exception):
    """A server's programs are not on this machine; the message says what to install."""


class ServerBroken(Exception):
    """A server did not start, or ended by itself; the message holds the end of what it said."""


def until(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Wait for a condition that nobody announces; ServerBroken says what did not come about."""
    limit = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() > limit:
            raise ServerBroken(f"{what}: not within {seconds:g} s")
        pause.wait(0.02)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nobody listens on.

    They lie below those that the system hands to outgoing connections: a server that is down for a while finds its
    port free again, and a client that dials it meanwhile can never be connected to itself.
    """
    highest = 32_000
    with contextlib.suppress(OSError):
        highest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    found: list[int] = []
    for _ in range(TRIES):
        port = random.randrange(LOWEST_PORT, max(highest, LOWEST_PORT + 1_000))
        if port not in found and is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise ServerBroken(f"no {count} free ports from {LOWEST_PORT} to {highest}")


def is_free(port: int) -> bool:
    """Nobody listens on it, or is about to."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def answers(port: int) -> bool:
    """Somebody accepts connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


def environment(folder: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """What a server finds around it: nothing of the tests' own settings, and its folder as home."""
    path = os.environ.get("PATH", os.defpath)
    return {"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", **extra}


class Ground:
    """A temporary folder and the processes that live on it; gone when left, or when the tests die, however."""

    def __init__(self, name: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"handrail-{name}-"))
        self._processes: list[subprocess.Popen[bytes]] = []
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", str(KEEPER)], stdin=subprocess.PIPE, start_new_session=True, text=True
        )
        self._tell(f"folder {self.folder}")

    def start(
        self, command: Sequence[str], *, said: Path, variables: Mapping[str, str], ending: signal.Signals
    ) -> subprocess.Popen[bytes]:
        """Start a server in a session of its own, so that Ctrl-C reaches the tests only.

        `said` is the file its words go to; `ending` is the signal it gets when the tests have died.
        """
        with said.open("ab") as words:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=dict(variables),
                start_new_session=True,
            )
        self._processes.append(process)
        self._tell(f"process {process.pid} {int(ending)}")
        return process

    def end(self, process: subprocess.Popen[bytes] | None, number: signal.Signals, seconds: float = 30.0) -> None:
        """Send a process its signal and wait for its end; one that takes too long is killed."""
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(seconds)
        if process in self._processes:
            self._processes.remove(process)

    def leave(self) -> None:
        """Kill what is left, and have the keeper remove the folder."""
        for process in list(self._processes):
            self.end(process, signal.SIGKILL)
        stdin: IO[str] | None = self._keeper.stdin
        if stdin is not None:
            stdin.close()
        self._keeper.wait(30.0)

    def _tell(self, line: str) -> None:
        stdin = self._keeper.stdin
        if stdin is None or self._keeper.poll() is not None:
            raise ServerBroken("the keeper of the test servers has ended: nothing is started that it would not end")
        stdin.write(f"{line}\n")
        stdin.flush()


def last_words(files: Iterable[Path], limit: int = 3_000) -> str:
    """The end of what a server said."""
    words = [file.read_text(encoding="utf-8", errors="replace")[-limit:] for file in files if file.is_file()]
    return "\n".join(filter(None, words)) or "it said nothing"
