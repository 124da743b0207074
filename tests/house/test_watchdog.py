"""A test that hangs ends the run, wherever it hangs: nobody waits for a run that will not end."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

HANGING = """
import threading
import pytest

@pytest.fixture
def hanging():
    yield
    threading.Event().wait()

@pytest.mark.timeout(1)
def test_hangs(hanging):
    {call}
"""


@pytest.mark.parametrize("call", ["assert False", "threading.Event().wait()"])
def test_a_teardown_that_hangs_after_a_failure_ends_the_run(tmp_path: Path, call: str) -> None:
    (tmp_path / "test_hanging.py").write_text(HANGING.format(call=call), encoding="ascii")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.watchdog", "-p", "no:cacheprovider", str(tmp_path)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode != 0
    assert "Timeout (0:00:02)!" in ran.stderr
    assert "in hanging" in ran.stderr
