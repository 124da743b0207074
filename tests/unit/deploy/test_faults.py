"""Arming a fault point by the environment."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.faults import parse
from domain.errors import InputInvalid

REACH = """
from deploy.faults import arm_from_environment
from domain.faultpoints import reached
arm_from_environment()
for number in range(1, 4):
    reached("commit.after")
    reached("claim.before")
    print(number, flush=True)
"""


def run(**variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HANDRAIL_")}
    return subprocess.run(
        [sys.executable, "-c", REACH],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_without_variables_nothing_happens() -> None:
    ended = run()
    assert (ended.returncode, ended.stdout) == (0, "1\n2\n3\n")


def test_the_armed_point_kills_at_its_hit_and_says_so_first(tmp_path: Path) -> None:
    ended = run(HANDRAIL_FAULT_POINT="commit.after:2", HANDRAIL_FAULT_LOG=str(tmp_path / "fired"))
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, "1\n")
    assert (tmp_path / "fired").read_text().startswith("commit.after:2 ")


def test_hits_are_counted_for_who_asks(tmp_path: Path) -> None:
    ended = run(HANDRAIL_FAULT_COUNT=str(tmp_path / "count"))
    assert ended.returncode == 0
    assert (tmp_path / "count").read_text() == '{"commit.after": 3, "claim.before": 3}'


def test_a_point_that_does_not_exist_is_refused() -> None:
    assert (
        "InputInvalid: HANDRAIL_FAULT_POINT=nowhere:1 is not NAME:HIT" in run(HANDRAIL_FAULT_POINT="nowhere:1").stderr
    )


@pytest.mark.parametrize(
    ("given", "expected"), [("effect.before", ("effect.before", 1)), ("claim.after:7", ("claim.after", 7))]
)
def test_parse(given: str, expected: tuple[str, int]) -> None:
    assert parse(given) == expected


@pytest.mark.parametrize("given", ["effect.before:0", "effect.before:x", ":1", "effect"])
def test_nonsense_is_refused(given: str) -> None:
    with pytest.raises(InputInvalid, match="names are"):
        parse(given)
