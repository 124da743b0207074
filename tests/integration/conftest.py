"""What integration tests share."""

from pathlib import Path

import pytest

from tests.integration.command_line import CommandLine


@pytest.fixture
def handrail(tmp_path: Path) -> CommandLine:
    """The program, in a folder of its own."""
    return CommandLine(tmp_path)
