"""The first look: is anything stuck, why, and does everything that work stands on go on?"""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from deploy.grafana.boards import board
from deploy.grafana.panels import (
    AMBER,
    GOOD_AT_ZERO,
    GREEN,
    LOOK_ABOVE_ZERO,
    NOBODY_PROJECTS,
    PER_MINUTE,
    RED,
    SECONDS,
    Column,
    Label,
    Query,
    about,
    lines,
    number,
    rows,
)
from deploy.grafana.queries import DEAD, OPEN, age, of, per_minute, summed, told

UID: Final = "handrail-overview"
STUCK: Final = "handrail_workflows_stuck"
HELD: Final = "handrail_oldest_progress_timestamp_seconds"
WORKFLOWS: Final = "handrail_workflows"
ROLES: Final = {role: f'role="{role}"' for role in ("relay", "timer", "projector")}
HEARTBEAT: Final = age("handrail_heartbeat_last_completed_timestamp_seconds")
HEARTBEAT_LATE: Final = ((None, GREEN), (180.0, AMBER), (600.0, RED))
"""One comes a minute; `HandrailHeartbeatLate` fires from ten on."""
BEHIND: Final = ((None, GREEN), (5.0, AMBER), (30.0, RED))
"""From 30 s on what the views say is called old (`projections/thresholds.py`)."""
LED: Final = {"0": ("nobody", RED), "1": ("led", GREEN)}

_DEFINITION: Final = "/d/handrail-definition?${__url_time_range}&${job:queryparam}&var-definition="


def overview() -> Dashboard:
    """What is looked at first, and may be left open on a screen."""
    return board(
        UID,
        "Handrail: overview",
        "Is anything stuck, why, and since when? Does everything that work stands on go on?",
        [
            (
                4,
                [
                    (3, _stuck()),
                    (3, _pending()),
                    (3, _oldest_approval()),
                    (3, _dead_letters()),
                    (3, heartbeat()),
                    (3, _views_behind()),
                    (3, _roles()),
                    (3, _not_ready()),
                ],
            ),
            (9, [(12, _why_stuck()), (12, stuck_by_cause())]),
            (8, [(8, _begun_and_ended()), (8, _open()), (8, _going_wrong())]),
        ],
    )


def stuck_by_cause(*labels: str) -> Panel:
    """Of all workflows, or of those with these labels."""
    return lines(
        "Stuck workflows by cause",
        about(
            "When it began, and whether it grows. A person's wait within its deadline is not stuck.",
            "what-workflows-are-stuck-by",
        ),
        Query(f"{summed(STUCK, *labels, by='cause', each='definition, cause')} > 0", "{{cause}}"),
        stacked=True,
        nothing="nothing is stuck",
    )


def heartbeat() -> Panel:
    """How long ago a workflow last went the whole path."""
    return number(
        "Last heartbeat",
        about(
            "How long ago a workflow last went the whole path, from its goal to the views. One comes a minute.",
            "alert-handrailheartbeatlate",
        ),
        Query(HEARTBEAT),
        unit=SECONDS,
        colours=HEARTBEAT_LATE,
        nothing="never",
    )


def _stuck() -> Panel:
    return number(
        "Stuck workflows",
        about(
            "Workflows that do not go on by themselves. The table below says why; `handrail stuck` names them, each "
            "with the command that helps.",
            "what-workflows-are-stuck-by",
        ),
        Query(f"sum ({told(STUCK, by='definition, cause')})"),
        colours=GOOD_AT_ZERO,
        nothing=NOBODY_PROJECTS,
    )


def _pending() -> Panel:
    return number(
        "Approvals pending",
        about("What people have to decide. `GET /approvals` lists them.", "blocked-approval"),
        Query(summed("handrail_approvals_pending", each="definition")),
        nothing=NOBODY_PROJECTS,
        leads_to="/d/handrail-approvals?${__url_time_range}&${job:queryparam}",
    )


def _oldest_approval() -> Panel:
    return number(
        "Oldest approval waits",
        about("For how long the approval waits that waits the longest.", "blocked-approval"),
        Query(f"max ({age('handrail_approval_oldest_timestamp_seconds', by='definition')})"),
        unit=SECONDS,
        colours=((None, GREEN), (86_400.0, AMBER)),
        leads_to="/d/handrail-approvals?${__url_time_range}&${job:queryparam}",
    )


def _dead_letters() -> Panel:
    return number(
        "Dead letters",
        about(
            "Messages that could not be accepted. `handrail dead list` groups them by fault; mend that, then "
            "`handrail dead replay`.",
            "dead-letters",
        ),
        Query(summed("handrail_queue_messages", DEAD, each="queue")),
        colours=LOOK_ABOVE_ZERO,
        nothing="not known",
        leads_to="/d/handrail-infrastructure?${__url_time_range}&${job:queryparam}",
    )


def _views_behind() -> Panel:
    return number(
        "Views behind the log",
        about(
            "How old what the views say may be, and with it every number of workflows here.",
            "the-views-behind-wrong-or-without-a-workflow",
        ),
        Query(told("handrail_follower_lag_seconds", 'follower="views"')),
        unit=SECONDS,
        colours=BEHIND,
        nothing="not known",
        leads_to="/d/handrail-infrastructure?${__url_time_range}&${job:queryparam}",
    )


def _roles() -> Panel:
    return number(
        "Roles led",
        about(
            "Relay, timer and projector are each led by one process; the others stand by. Nobody: no process plays "
            "the role, or none gets its lock.",
            "alert-handrailnoleader",
        ),
        *(Query(f"sum ({of('handrail_leader', led)}) or vector(0)", role) for role, led in ROLES.items()),
        colours=((None, RED), (1, GREEN), (2, AMBER)),
        mapped=LED,
    )


def _not_ready() -> Panel:
    return number(
        "Processes not ready",
        about(
            "Processes that Prometheus cannot reach, or that say on `/readyz` that a part cannot work.",
            "alert-handrailnotready",
        ),
        Query(f"count ({of('up')}) - (sum ({of('handrail_ready')}) or vector(0))"),
        colours=GOOD_AT_ZERO,
        nothing="none known",
        leads_to="/d/handrail-infrastructure?${__url_time_range}&${job:queryparam}",
    )


def _why_stuck() -> Panel:
    number_of = f"{told(STUCK, by='definition, cause')} > 0"
    held = age(HELD, by="definition")
    return rows(
        "What is stuck, and why?",
        about(
            "By definition and cause. A click on a cause leads to what helps. Held longest is the open workflow of the "
            "definition that has not moved for the longest, stuck or within its time. `handrail stuck` names each.",
            "what-workflows-are-stuck-by",
        ),
        [
            Label("definition", "Definition", ("Show this definition", f"{_DEFINITION}${{__value.raw}}")),
            Label("cause", "Cause", ("Runbook", "${runbook}#stuck-${__value.raw}")),
        ],
        [
            Column(number_of, "Stuck", colours=((None, RED),)),
            Column(f"({number_of}) * 0 + on (definition) group_left () ({held})", "Held longest", unit=SECONDS),
        ],
        nothing="nothing is stuck",
    )


def _begun_and_ended() -> Panel:
    return lines(
        "Workflows begun and ended",
        about("What comes in, and what is done with it. More begun than ended: see what is open.", "runbook"),
        Query(per_minute("handrail_workflows_started_total"), "begun"),
        Query(per_minute("handrail_workflows_ended_total", by="status"), "{{status}}"),
        unit=PER_MINUTE,
        words=("begun", "completed", "failed", "cancelled", "compensated"),
    )


def _open() -> Panel:
    return lines(
        "Open workflows by status",
        about("What is under way. Blocked ones wait for a person, a time, a signal or another workflow.", "runbook"),
        Query(f"{summed(WORKFLOWS, OPEN, by='status', each='definition, status')} > 0", "{{status}}"),
        stacked=True,
        words=("executing", "blocked", "paused", "compensating"),
        nothing="nothing is open",
    )


def _going_wrong() -> Panel:
    return lines(
        "What goes wrong?",
        about(
            "Retries help themselves. For failed steps `handrail failures` says what they fail by; for errors of store "
            "and broker see `/readyz` and the log.",
            "blocked-intervention",
        ),
        Query(per_minute("handrail_retries_total"), "retries"),
        Query(
            per_minute("handrail_steps_ended_total", 'outcome=~"failed|timed_out"', by="outcome"), "steps {{outcome}}"
        ),
        Query(per_minute("handrail_compensations_total", 'outcome="failed"'), "compensations failed"),
        Query(per_minute("handrail_commands_dead_lettered_total"), "commands dead-lettered"),
        Query(per_minute("handrail_store_errors_total", 'kind=~"away|other"'), "store errors"),
        Query(per_minute("handrail_broker_errors_total"), "broker errors"),
        unit=PER_MINUTE,
    )
