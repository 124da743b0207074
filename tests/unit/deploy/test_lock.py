"""The lock on a home: one has it, and whoever dies no longer does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.lock import HomeLock, holder_of, is_held
from domain.errors import StoreUnavailable

HOLD = """
import sys
from pathlib import Path
from deploy.lock import HomeLock
lock = HomeLock(Path(sys.argv[1]))
print(lock.try_acquire(), flush=True)
sys.stdin.read()
"""


def test_of_two_one_holds_it_until_it_lets_go(tmp_path: Path) -> None:
    first, second = HomeLock(tmp_path), HomeLock(tmp_path)
    assert not is_held(tmp_path)
    assert (first.try_acquire(), second.try_acquire(), first.try_acquire()) == (True, False, True)
    assert holder_of(tmp_path) == os.getpid()
    assert is_held(tmp_path)
    first.release()
    assert not is_held(tmp_path)
    assert (first.held, second.try_acquire()) == (False, True)
    second.release()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        mine = HomeLock(tmp_path)
        assert not mine.try_acquire()
        assert holder_of(tmp_path) == other.pid
        other.kill()
        other.wait(timeout=10)
    assert mine.try_acquire()
    mine.release()


def test_a_home_that_is_not_there_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="its lock cannot be taken") as error:
        HomeLock(tmp_path / "none").try_acquire()
    assert "\n" not in str(error.value)
    assert holder_of(tmp_path / "none") is None
