"""The OS lock on a home: of the processes that use it, one holds it; that one claims, runs and relays.

The kernel releases the lock when its process dies, however it dies. It is an optimisation in as far as correctness
rests on claims, versions and compare-and-set; but it is what tells a new holder that all former ones are dead.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from domain.errors import StoreUnavailable

LOCK_FILE: Final = "lock"


class HomeLock:
    """The lock on one home, as one runtime tries to hold it. Two runtimes of one process are two, too."""

    def __init__(self, home: Path) -> None:
        """Not held yet."""
        self._path = home / LOCK_FILE
        self._file: int | None = None
        self.held = False

    def try_acquire(self) -> bool:
        """Take the lock if nobody has it; whether it is held now. Raises StoreUnavailable where it cannot be tried."""
        if self.held:
            return True
        try:
            if self._file is None:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.truncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            return False
        except OSError as error:
            raise StoreUnavailable(
                f"home {self._path.parent}: its lock cannot be taken ({error.strerror}); "
                "make the folder writable, or use another --home"
            ) from error
        self.held = True
        return True

    def release(self) -> None:
        """Let others have it."""
        if self._file is not None:
            os.close(self._file)
        self._file, self.held = None, False


def is_held(home: Path) -> bool:
    """Whether a process holds the home now. One that tries for it at the same moment may have to try once more."""
    try:
        with (home / LOCK_FILE).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # nobody has held it yet
    return False


def holder_of(home: Path) -> int | None:
    """Process id of whoever held the lock last, as it wrote it; None where nobody did."""
    try:
        return int((home / LOCK_FILE).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
