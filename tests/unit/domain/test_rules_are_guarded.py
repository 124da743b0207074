"""Each rule is guarded: where it is taken out of a copy of the source, the test that tells it fails."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

import pytest

from tests.unit.domain.guards import GUARDS, Guard

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[2]
TAKEN_ALONG: Final = ("tests/__init__.py", "tests/unit/__init__.py")
LEAST: Final = 25

each_rule = pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.rule.replace(" ", "-"))


class Runs(Protocol):
    """Runs tests on a copy; pytest's exit code."""

    def __call__(self, root: Path, tests: str) -> int: ...


@pytest.fixture(scope="module")
def run() -> Iterator[Runs]:
    server = subprocess.Popen(
        [sys.executable, str(HERE / "mutants.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    requests, answers = server.stdin, server.stdout

    def ask(root: Path, tests: str) -> int:
        requests.write(json.dumps([str(root), tests]) + "\n")
        requests.flush()
        return int(answers.readline())

    yield ask
    requests.close()
    server.wait(timeout=30)
    answers.close()


def copy_of_the_tree(root: Path) -> Path:
    shutil.copytree(ROOT / "domain", root / "domain", ignore=shutil.ignore_patterns("store"))
    shutil.copytree(HERE, root / "tests/unit/domain", ignore=shutil.ignore_patterns("__pycache__"))
    for name in TAKEN_ALONG:
        shutil.copy2(ROOT / name, root / name)
    return root


@each_rule
def test_without_the_rule_its_test_fails(guard: Guard, run: Runs, tmp_path: Path) -> None:
    root = copy_of_the_tree(tmp_path)
    source = root / guard.file
    text = source.read_text(encoding="utf-8")
    assert text.count(guard.text) == 1, f"{guard.file} does not hold the line of this rule (once): {guard.text!r}"
    source.write_text(text.replace(guard.text, guard.without), encoding="utf-8")
    code = run(root, guard.test)
    output = (root / "output.txt").read_text(encoding="utf-8")
    assert code == pytest.ExitCode.TESTS_FAILED, f"exit code {code} instead of 1:\n{output[-2_000:]}"
    assert "FAILED" in output, "the test itself fails, not its collection"


def test_with_all_rules_in_place_the_same_run_passes(run: Runs, tmp_path: Path) -> None:
    root = copy_of_the_tree(tmp_path)
    assert run(root, GUARDS[0].test) == pytest.ExitCode.OK, (root / "output.txt").read_text(encoding="utf-8")


def test_enough_rules_are_guarded() -> None:
    assert len({guard.rule for guard in GUARDS}) == len(GUARDS) >= LEAST
