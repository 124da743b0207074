"""What integration tests share."""

from pathlib import Path

import pytest

from tests.integration.command_line import CommandLine
from tests.wire import watching_the_wire


@pytest.fixture
def handrail(tmp_path: Path) -> CommandLine:
    """The program, in a folder of its own."""
    return CommandLine(tmp_path)


@pytest.fixture(autouse=True)
def the_contract_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test's own process publishes is held to the contract that other services are given."""
    watching_the_wire(monkeypatch)
