"""The outside ledger as a process, one for each worker of the tests."""

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.crash.outside import LIMIT_SECONDS, Outside
from tests.crash.starting import ROOT, Nursery


@pytest.fixture(scope="session")
def ledger_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a ledger; its process ends with its standard input, and is stopped by its id if it does not."""
    file = tmp_path_factory.mktemp("ledger") / "calls.jsonl"
    with subprocess.Popen(
        [sys.executable, "-m", "tests.crash.ledger", str(file)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
            process.stdin.close()
            process.wait(LIMIT_SECONDS)
        finally:
            process.kill()


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Forks commands that are imported already."""
    running = Nursery()
    try:
        yield running
    finally:
        running.close()


@pytest.fixture
def worlds(ledger_port: int, request: pytest.FixtureRequest) -> Callable[[], Outside]:
    """Makes outsides that nobody has called yet."""
    numbers = itertools.count(1)
    return lambda: Outside(ledger_port, f"{request.node.name}/{next(numbers)}")
