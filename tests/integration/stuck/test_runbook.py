"""The runbook's table of causes is the matrix that the tests bring about."""

from pathlib import Path

from projections.causes import Cause
from projections.thresholds import SHIPPED
from tests.integration.alerts.stage import STUCK, shipped
from tests.integration.stuck.matrix import BROUGHT_ABOUT, THRESHOLDS, alert_of, runbook_rows

RUNBOOK = Path(__file__).resolve().parents[3] / "deploy" / "RUNBOOK.md"


def test_the_table_of_causes_is_the_matrix() -> None:
    lines = RUNBOOK.read_text(encoding="utf-8").splitlines()
    rows = list(runbook_rows())
    assert rows[0] in lines, "\n".join(rows)
    start = lines.index(rows[0])
    assert lines[start : start + len(rows)] == rows


def test_the_matrix_has_every_cause_and_threshold() -> None:
    assert BROUGHT_ABOUT.keys() == set(Cause)
    assert set(THRESHOLDS.values()) == SHIPPED.keys()


def test_every_cause_has_its_alert() -> None:
    alerts = {rule["alert"] for group in shipped(STUCK)["groups"] for rule in group["rules"]}
    assert alerts == {alert_of(cause) for cause in Cause}
