"""`make demo-rabbitmq` shows what it says: a goal, an approval by a service in Node.js, the artifact."""

import subprocess
import sys

from tests.demo.rabbitmq import ROOT
from tests.node_programs import node


def test_the_demonstration_ends_with_the_artifact() -> None:
    assert node()
    ended = subprocess.run(
        [sys.executable, "-m", "tests.demo.rabbitmq"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    lines = ended.stdout.splitlines()
    for expected in (
        "[step] docs_collect=ok",
        "[step] policy_screen=blocked(manual approval)",
        "[resume] approval_received",
        "[step] final_decision=approved_with_controls",
        "[artifact] onboarding_decision.json",
    ):
        assert expected in lines, ended.stdout
    assert '"approvers": ["alice"]' in ended.stdout
