"""One workflow definition: how its workflows stand, how they end, and what holds them."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from deploy.grafana.boards import board, variable
from deploy.grafana.overview import HELD, STUCK, WORKFLOWS, stuck_by_cause
from deploy.grafana.panels import (
    AMBER,
    GOOD_AT_ZERO,
    GREEN,
    NOBODY_PROJECTS,
    PER_MINUTE,
    RED,
    SECONDS,
    SHARE,
    Query,
    about,
    bars,
    lines,
    number,
)
from deploy.grafana.queries import OPEN, age, in_range, of, per_minute, summed, told

UID: Final = "handrail-definition"
ONE: Final = 'definition="$definition"'
_ENDED: Final = "handrail_workflows_ended_total"


def definition() -> Dashboard:
    """What its authors and its operators ask about one definition."""
    return board(
        UID,
        "Handrail: one definition",
        "How do the workflows of one definition stand, how do they end, and what holds them?",
        [
            (4, [(4, panel) for panel in (_open_now(), _stuck(), _held(), _pending(), _oldest_approval(), _well())]),
            (9, [(12, _open()), (12, stuck_by_cause(ONE))]),
            (8, [(12, _begun_and_ended()), (6, _now()), (6, _ends())]),
        ],
        variable("definition", "Definition", 'label_values(handrail_workflows{job="$job"}, definition)'),
    )


def _open_now() -> Panel:
    return number(
        "Open workflows",
        about("Workflows that have not ended. `handrail list --definition NAME` shows where each stands.", "runbook"),
        Query(summed(WORKFLOWS, ONE, OPEN, each="status")),
        nothing=NOBODY_PROJECTS,
    )


def _stuck() -> Panel:
    return number(
        "Stuck workflows",
        about("Those that do not go on by themselves. `handrail stuck` names them.", "what-workflows-are-stuck-by"),
        Query(summed(STUCK, ONE, each="cause")),
        colours=GOOD_AT_ZERO,
        nothing=NOBODY_PROJECTS,
    )


def _held() -> Panel:
    return number(
        "Held longest",
        about(
            "For how long the open workflow has not moved that has not moved for the longest. It may be within its "
            "time: a person's, or a wait of its own.",
            "what-workflows-are-stuck-by",
        ),
        Query(age(HELD, ONE)),
        unit=SECONDS,
        nothing="nothing is open",
    )


def _pending() -> Panel:
    return number(
        "Approvals pending",
        about("What people have to decide.", "blocked-approval"),
        Query(told("handrail_approvals_pending", ONE)),
        nothing=NOBODY_PROJECTS,
        leads_to="/d/handrail-approvals?${__url_time_range}&${job:queryparam}",
    )


def _oldest_approval() -> Panel:
    return number(
        "Oldest approval waits",
        about("For how long the approval waits that waits the longest.", "blocked-approval"),
        Query(age("handrail_approval_oldest_timestamp_seconds", ONE)),
        unit=SECONDS,
        colours=((None, GREEN), (86_400.0, AMBER)),
    )


def _well() -> Panel:
    completed = in_range(_ENDED, ONE, 'status="completed"')
    return number(
        "Completed, of those that ended",
        about(
            "The share in the time shown. The others failed, were cancelled or were undone: `handrail failures` says "
            "by what.",
            "blocked-intervention",
        ),
        Query(f"{completed} / ({in_range(_ENDED, ONE)} > 0)"),
        unit=SHARE,
        colours=((None, RED), (0.5, AMBER), (0.9, GREEN)),
        decimals=1,
        nothing="none ended",
    )


def _open() -> Panel:
    return lines(
        "Open workflows by status",
        about("Blocked ones wait for a person, a time, a signal or another workflow.", "runbook"),
        Query(f"{told(WORKFLOWS, ONE, OPEN, by='status')} > 0", "{{status}}"),
        stacked=True,
        words=("executing", "blocked", "paused", "compensating"),
        nothing="nothing is open",
    )


def _begun_and_ended() -> Panel:
    return lines(
        "Workflows begun and ended",
        about("What comes in, and what is done with it.", "runbook"),
        Query(per_minute("handrail_workflows_started_total", ONE), "begun"),
        Query(per_minute(_ENDED, ONE, by="status"), "{{status}}"),
        unit=PER_MINUTE,
        words=("begun", "completed", "failed", "cancelled", "compensated"),
    )


def _now() -> Panel:
    return bars(
        "All workflows by status",
        about("All that are in the store now, also those that ended long ago.", "runbook"),
        Query(f"{told(WORKFLOWS, ONE, by='status')} > 0", "{{status}}"),
    )


def _ends() -> Panel:
    return bars(
        "How did they end?",
        about("Workflows that ended in the time shown.", "blocked-intervention"),
        Query(f"sum by (status) (increase({of(_ENDED, ONE)}[$__range]))", "{{status}}"),
    )
