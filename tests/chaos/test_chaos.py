"""Some hundreds of workflows under every kind of fault, on the tests' own RabbitMQ and PostgreSQL.

`make chaos` is the same with 20,030 workflows and 30 faults of each kind. A failure names its seed:
HANDRAIL_CHAOS_SEED repeats the plan.
"""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.driver import Run, run
from tests.chaos.stage import staged_on
from tests.crash.report import SEEDS
from tests.servers.postgres import OwnCluster
from tests.servers.rabbitmq import OwnBroker

WORKFLOWS = 300
SEED = int(os.environ.get("HANDRAIL_CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))


@pytest.mark.timeout(600)
async def test_nothing_is_lost_repeated_or_stuck_whatever_dies(
    own_rabbitmq: OwnBroker,
    own_postgres: OwnCluster,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    plan = Run(
        workflows=WORKFLOWS, seed=SEED, hits_needed=1, most_open=100, most_seconds=240, hurried=True, layout="apart"
    )
    with staged_on(own_rabbitmq, own_postgres, tmp_path) as stage:
        report = await run(plan, stage, tmp_path)
    record_property(SEEDS, SEED)
    assert not report.problems, f"HANDRAIL_CHAOS_SEED={SEED}, logs in {tmp_path}\n{report.text()}"
