"""Activities: how long steps wait for a free consumer, how long they run, and how attempts end."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from deploy.grafana.boards import board, of_several, variable
from deploy.grafana.panels import (
    AMBER,
    GREEN,
    PER_MINUTE,
    RED,
    SECONDS,
    SHARE,
    Column,
    Label,
    Query,
    about,
    lines,
    number,
    rows,
)
from deploy.grafana.queries import WORK, in_range, of, per_minute, quantile, told
from domain.failures import FailureClass

UID: Final = "handrail-activities"
CHOSEN: Final = 'activity=~"$activity"'
WELL: Final = 'outcome=~"ok|needs_approval|denied"'
"""Outcomes that are no failure: what the activity found, and said."""
FAILED: Final = WELL.replace("=~", "!~")
OUTCOMES: Final = ("ok", "needs_approval", "denied", *(kind.value for kind in FailureClass))
_ATTEMPTS: Final = "handrail_activity_attempts_total"
_WAITED: Final = "handrail_step_schedule_to_start_seconds"
_RAN: Final = "handrail_step_execution_seconds"
_FAILING: Final = ((None, GREEN), (0.05, AMBER), (0.25, RED))


def activities() -> Dashboard:
    """What those ask who run processes of activities, and those who write them."""
    return board(
        UID,
        "Handrail: activities",
        "How long do steps wait for a free consumer, how long do they run, and how do attempts end?",
        [
            (4, [(5, _attempts()), (5, _failing()), (5, _retries()), (5, _running()), (4, _waiting())]),
            (9, [(15, _each()), (9, _queues())]),
            (8, [(8, _waits()), (8, _runs()), (8, _outcomes())]),
        ],
        of_several(
            variable("activity", "Activity type", f'label_values({_ATTEMPTS}{{job="$job"}}, activity)'),
        ),
    )


def _attempts() -> Panel:
    return number(
        "Attempts",
        about("Attempts that ended in the time shown.", "runbook"),
        Query(in_range(_ATTEMPTS, CHOSEN)),
        decimals=0,
    )


def _failing() -> Panel:
    return number(
        "Attempts that fail",
        about(
            "The share in the time shown. What is transient is tried again by itself; `handrail failures` says what "
            "they fail by.",
            "blocked-intervention",
        ),
        Query(f"1 - {in_range(_ATTEMPTS, CHOSEN, WELL)} / ({in_range(_ATTEMPTS, CHOSEN)} > 0)"),
        unit=SHARE,
        colours=_FAILING,
        decimals=1,
        nothing="no attempts",
    )


def _retries() -> Panel:
    return number(
        "Retries of all activity types",
        about("Further attempts that were decided on in the time shown.", "in-backoff"),
        Query(in_range("handrail_retries_total")),
        decimals=0,
    )


def _running() -> Panel:
    return number(
        "Attempts under way",
        about("In all processes of activities, whatever the activity type.", "runbook"),
        Query(f"sum ({of('handrail_attempts_running')})"),
        nothing="no process runs activities",
    )


def _waiting() -> Panel:
    return number(
        "Commands without room",
        about(
            "Commands that wait in a process for a place. When they stay: more processes, or --concurrency.",
            "stuck-backlog",
        ),
        Query(f"sum ({of('handrail_commands_waiting')})"),
        colours=((None, GREEN), (1, AMBER)),
        nothing="no process runs activities",
    )


def _each() -> Panel:
    return rows(
        "Which activity types are slow, or fail?",
        about(
            "In the time shown; a click shows one activity type alone. Times are those within which 95 of 100 steps "
            "began, and 95 of 100 attempts ended.",
            "blocked-intervention",
        ),
        [
            Label(
                "activity",
                "Activity type",
                (
                    "Show this one",
                    "/d/handrail-activities?${__url_time_range}&${job:queryparam}&var-activity=${__value.raw}",
                ),
            )
        ],
        [
            Column(f"{in_range(_ATTEMPTS, CHOSEN, by='activity')} > 0", "Attempts", decimals=0),
            Column(
                f"{in_range(_ATTEMPTS, CHOSEN, FAILED, by='activity')}"
                f" / ({in_range(_ATTEMPTS, CHOSEN, by='activity')} > 0)",
                "Fail",
                unit=SHARE,
                colours=_FAILING,
                decimals=1,
            ),
            Column(quantile(0.95, _WAITED, CHOSEN, by="activity", over="$__range"), "95% begin within", unit=SECONDS),
            Column(quantile(0.95, _RAN, CHOSEN, by="activity", over="$__range"), "95% run for", unit=SECONDS),
        ],
        nothing="no attempts",
    )


def _queues() -> Panel:
    return rows(
        "Are there enough consumers?",
        about(
            "Messages that nobody has taken yet, and who takes them. No consumer: start a process that serves the "
            "queue. Messages that stay: more processes.",
            "stuck-no_consumer",
        ),
        [Label("queue", "Queue")],
        [
            Column(
                told("handrail_queue_messages", WORK, by="queue"), "Messages", colours=((None, GREEN), (100, AMBER))
            ),
            Column(told("handrail_queue_consumers", WORK, by="queue"), "Consumers", colours=((None, RED), (1, GREEN))),
        ],
        nothing="the broker has not said",
    )


def _waits() -> Panel:
    return lines(
        "How long do steps wait to begin?",
        about("From being scheduled until the attempt begins. It grows where consumers are too few.", "stuck-backlog"),
        *_quantiles(_WAITED),
        unit=SECONDS,
        nothing="no attempts",
    )


def _runs() -> Panel:
    return lines(
        "How long do attempts run?",
        about("The activity's own code. A step that takes longer than its time-out is tried again.", "in-backoff"),
        *_quantiles(_RAN),
        unit=SECONDS,
        nothing="no attempts",
    )


def _quantiles(histogram: str) -> list[Query]:
    return [Query(quantile(share, histogram, CHOSEN), f"{round(share * 100)}% within") for share in (0.5, 0.95, 0.99)]


def _outcomes() -> Panel:
    return lines(
        "How do attempts end?",
        about(
            "By outcome; what is neither ok nor a person's business is the class of the failure.",
            "blocked-intervention",
        ),
        Query(f"{per_minute(_ATTEMPTS, CHOSEN, by='outcome')} > 0", "{{outcome}}"),
        unit=PER_MINUTE,
        stacked=True,
        words=OUTCOMES,
        nothing="no attempts",
    )
