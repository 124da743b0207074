"""A healthy run, with approvals, while processes are ended, killed and begun again: nothing is called stuck.

`make healthy` is the same with 5,000 workflows and the thresholds that are shipped. Here these are shorter than what
some steps, and some people, take: what judges one of those wrongly tells it.
"""

import json
from datetime import timedelta

import pytest

from projections.judging import JUDGE_SECONDS
from projections.stuck import LOOKS_APART_SECONDS
from projections.thresholds import SHIPPED
from tests.integration.serving.conftest import Deploy, deploy
from tests.integration.stuck.healthy import Healthy
from tests.integration.stuck.stage import modules

__all__ = ["deploy"]

WORKFLOWS = 200
RESTARTS = 5
THRESHOLD_SECONDS = 8.0
LAG_SECONDS = 15.0
LASTING_SECONDS = THRESHOLD_SECONDS + LOOKS_APART_SECONDS + JUDGE_SECONDS + 3.0
"""Longer than any threshold, and than it then takes at most until it is looked."""
THRESHOLDS = {**{str(name): THRESHOLD_SECONDS for name in SHIPPED}, "lag": LAG_SECONDS}
# Who is ended waits for what takes long. Claims of a process that was killed are not waited for as long as they are
# anywhere else.
BRIEF = {"HANDRAIL_LEASE_SECONDS": "2", "HANDRAIL_GRACE_SECONDS": "60", "HANDRAIL_STUCK": json.dumps(THRESHOLDS)}


@pytest.mark.timeout(300)
async def test_nothing_is_called_stuck_while_all_goes_on(deploy: Deploy) -> None:
    deployment = deploy(modules=modules("orders"), settings=BRIEF)
    lag = timedelta(seconds=LAG_SECONDS)
    run = Healthy(deployment, WORKFLOWS, RESTARTS, lasting_seconds=LASTING_SECONDS, most_lag=lag)
    report = await run.run()
    print(f"\n{report}")
    assert not report.problems
    assert report.approvals > 0
    assert report.ended == {"ended": 4, "killed": 1}
