"""Node for the tests: found, with the packages that `make test` installs, or a failure that says what is missing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = ROOT / ".node" / "node_modules"


def node() -> str:
    """The program; fails the test where it, or a package, is not there."""
    found = shutil.which("node")
    if found is None:
        pytest.fail("Node 20 or newer is not installed: on Debian, apt-get install nodejs npm; then `make test` again")
    if not all((MODULES / name).is_dir() for name in ("amqplib", "@asyncapi/parser", "playwright-core")):
        pytest.fail("the packages in tests/node/package.json are not installed: `make test` does it, with npm")
    return found


def chromium() -> str:
    """The browser; fails the test where there is none."""
    given = os.environ.get("HANDRAIL_TEST_CHROMIUM")
    found = given or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.fail(
            "Chromium is not installed: on Debian, apt-get install chromium; or name one in HANDRAIL_TEST_CHROMIUM"
        )
    return found


def node_environment(**more: str) -> dict[str, str]:
    """The environment in which Node finds these packages."""
    return {**os.environ, "NODE_PATH": str(MODULES), **more}
