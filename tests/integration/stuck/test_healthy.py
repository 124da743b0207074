"""A healthy run, with approvals, while processes are ended, killed and begun again: nothing is called stuck.

`make healthy` is the same with 5,000 workflows.
"""

import pytest

from tests.integration.serving.conftest import Deploy, deploy
from tests.integration.stuck.healthy import Healthy
from tests.integration.stuck.stage import modules

__all__ = ["deploy"]

WORKFLOWS = 200
RESTARTS = 5
# Claims of a process that was killed are not waited for as long as they are anywhere else.
BRIEF = {"HANDRAIL_LEASE_SECONDS": "2", "HANDRAIL_GRACE_SECONDS": "2"}


@pytest.mark.timeout(300)
async def test_nothing_is_called_stuck_while_all_goes_on(deploy: Deploy) -> None:
    report = await Healthy(deploy(modules=modules("orders"), settings=BRIEF), WORKFLOWS, RESTARTS).run()
    print(f"\n{report}")
    assert not report.problems
    assert report.approvals > 0
    assert report.ended == {"ended": 4, "killed": 1}
