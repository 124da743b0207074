"""The import contracts of pyproject.toml bite.

A small house in which everything is fine passes them, and each planted import breaks the contract it is planted for.
That our own house keeps them is checked by `make lint`; this is the proof that the check would notice.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("handrail", "domain", "producers", "consumers", "projections", "deploy", "tests")

# A small house with one legal import along every arrow.
FILES = {
    "handrail/__init__.py": "import deploy.runtime\n",
    "domain/nodes/planner.py": "import datetime\n",
    "domain/store/log.py": "import asyncio\nimport domain.nodes.planner\n",
    "producers/link.py": "import aio_pika\n",
    "producers/publisher.py": "import aio_pika\nimport domain.store.log\n",
    "producers/relay.py": "import asyncio\n",
    "consumers/amqp.py": "import aio_pika\n",
    "projections/metrics.py": "import prometheus_client\n",
    "deploy/traces/spans.py": "import opentelemetry\n",
    "deploy/grafana/panels.py": "import grafana_foundation_sdk\n",
    "deploy/runtime.py": "import consumers.amqp\nimport producers.relay\nimport projections.metrics\n",
    "deploy/examples/onboarding.py": "import handrail\n",
    "tests/test_all.py": "import deploy.runtime\nimport handrail\n",
}

# The contract's id, and an import (in a file) that it forbids.
PLANTED = [
    ("arrows", "domain/nodes/planner.py", "import producers.relay"),
    ("arrows", "producers/relay.py", "import consumers.amqp"),
    ("arrows", "projections/views.py", "import deploy.runtime"),
    ("arrows", "deploy/settings.py", "import tests.test_all"),
    ("face", "deploy/settings.py", "import handrail"),
    ("face", "consumers/turn.py", "import handrail"),
    ("face_reach", "handrail/testing.py", "import consumers.amqp"),
    ("store_door", "domain/nodes/planner.py", "from domain.store import log"),
    ("store_door", "domain/workflow.py", "import domain.store.log"),
    ("pure_domain", "domain/nodes/planner.py", "import asyncio"),
    ("pure_domain", "domain/retry.py", "from random import random"),
    ("pure_domain", "domain/__init__.py", "import logging"),
    ("amqp_adapters", "consumers/turn.py", "import aio_pika"),
    ("amqp_adapters", "deploy/runtime.py", "from aio_pika import connect"),
    ("postgres_files", "consumers/turn.py", "import psycopg"),
    ("postgres_files", "domain/store/log.py", "from psycopg import connect"),
    ("metrics_files", "consumers/turn.py", "import prometheus_client"),
    ("traces_files", "consumers/turn.py", "import opentelemetry"),
    ("traces_files", "deploy/settings.py", "from opentelemetry import trace"),
    ("grafana_builders", "deploy/settings.py", "from grafana_foundation_sdk.builders import stat"),
    ("dashboards", "deploy/runtime.py", "import deploy.grafana.panels"),
]


def contracts() -> dict[str, str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {contract["id"]: contract["name"] for contract in settings["tool"]["importlinter"]["contracts"]}


def broken_in(house: Path, extra: tuple[str, str] | None = None) -> set[str]:
    """Build the small house, with one more import in it, and name the contracts that break."""
    files = dict(FILES)
    if extra:
        files[extra[0]] = files.get(extra[0], "") + extra[1] + "\n"
    for name, text in files.items():
        (house / name).parent.mkdir(parents=True, exist_ok=True)
        (house / name).write_text(text, encoding="utf-8")
    for folder in [house / package for package in PACKAGES]:
        for inner in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
            (inner / "__init__.py").touch()
    linter = Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run(
        [linter, "--config", ROOT / "pyproject.toml", "--no-cache"],
        cwd=house,
        capture_output=True,
        text=True,
        check=False,
    )
    # The linter wraps its lines, also where there is no space.
    printed = "".join(ran.stdout.split())
    broken = {key for key, name in contracts().items() if f"{name}BROKEN".replace(" ", "") in printed}
    assert (ran.returncode == 0) == (not broken), ran.stdout + ran.stderr
    return broken


def test_a_house_in_which_everything_is_fine_passes(tmp_path: Path) -> None:
    assert broken_in(tmp_path) == set()


@pytest.mark.parametrize(("contract", "file", "line"), PLANTED)
def test_a_planted_import_breaks_its_contract(contract: str, file: str, line: str, tmp_path: Path) -> None:
    assert contract in broken_in(tmp_path, (file, line))


def test_every_contract_has_a_planted_import() -> None:
    assert {contract for contract, _, _ in PLANTED} == contracts().keys()
