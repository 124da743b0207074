"""Approvals: what waits for people, for how long, and how they decide."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from deploy.grafana.boards import board
from deploy.grafana.overview import STUCK
from deploy.grafana.panels import (
    AMBER,
    GOOD_AT_ZERO,
    GREEN,
    NOBODY_PROJECTS,
    RED,
    SECONDS,
    SHARE,
    Column,
    Label,
    Query,
    about,
    bars,
    lines,
    number,
    rows,
)
from deploy.grafana.queries import age, in_range, of, quantile, summed, told

UID: Final = "handrail-approvals"
_PENDING: Final = "handrail_approvals_pending"
_OLDEST: Final = "handrail_approval_oldest_timestamp_seconds"
_WAITED: Final = "handrail_approval_wait_seconds"
_DECIDED: Final = "handrail_approvals_decided_total"
_OVERDUE: Final = 'cause="approval_overdue"'
_BUCKETS: Final = {
    "a minute": 'le=~"60([.]0)?"',
    "an hour": 'le=~"3600([.]0)?"',
    "a day": 'le=~"86400([.]0)?"',
    "a week": 'le=~"604800([.]0)?"',
}
"""Prometheus has written whole numbers both ways."""
_LONG: Final = ((None, GREEN), (86_400.0, AMBER))


def approvals() -> Dashboard:
    """What those ask who see to it that people decide."""
    return board(
        UID,
        "Handrail: approvals",
        "What waits for people, for how long, and how do they decide?",
        [
            (4, [(4, _pending()), (4, _oldest()), (4, _overdue()), (8, _decided()), (4, _half())]),
            (9, [(12, _by_definition()), (12, _over_time())]),
            (8, [(8, _decisions()), (8, _waits()), (8, _refused())]),
        ],
        since="now-7d",
    )


def _pending() -> Panel:
    return number(
        "Pending",
        about("What people have to decide. `GET /approvals` lists them.", "blocked-approval"),
        Query(summed(_PENDING, each="definition")),
        nothing=NOBODY_PROJECTS,
    )


def _oldest() -> Panel:
    return number(
        "Oldest waits",
        about("For how long the approval waits that waits the longest.", "blocked-approval"),
        Query(f"max ({age(_OLDEST, by='definition')})"),
        unit=SECONDS,
        colours=_LONG,
    )


def _overdue() -> Panel:
    return number(
        "Overdue",
        about(
            "Workflows whose approval is past its deadline, or has waited for longer than one without may.",
            "stuck-approval_overdue",
        ),
        Query(summed(STUCK, _OVERDUE, each="definition")),
        colours=GOOD_AT_ZERO,
        nothing=NOBODY_PROJECTS,
    )


def _decided() -> Panel:
    return number(
        "Decided",
        about(
            "Approvals that ended in the time shown. Expired: nobody decided before the deadline.", "blocked-approval"
        ),
        Query(in_range(_DECIDED, by="decision"), "{{decision}}"),
        decimals=0,
    )


def _half() -> Panel:
    return number(
        "Half are decided within",
        about("Of the approvals that were decided in the time shown.", "blocked-approval"),
        Query(quantile(0.5, _WAITED, over="$__range")),
        unit=SECONDS,
        nothing="none decided",
    )


def _by_definition() -> Panel:
    return rows(
        "What waits for people?",
        about(
            "By definition. Overdue are workflows past the deadline of their approval, or that have waited too long "
            "for one without. `handrail show ID` prints who may decide, until when, and the command.",
            "stuck-approval_overdue",
        ),
        [
            Label(
                "definition",
                "Definition",
                (
                    "Show this definition",
                    "/d/handrail-definition?${__url_time_range}&${job:queryparam}&var-definition=${__value.raw}",
                ),
            )
        ],
        [
            Column(f"{told(_PENDING, by='definition')} > 0", "Pending"),
            Column(age(_OLDEST, by="definition"), "Oldest waits", unit=SECONDS, colours=_LONG),
            Column(f"{told(STUCK, _OVERDUE, by='definition')} > 0", "Overdue", colours=((None, RED),)),
        ],
        nothing="nothing waits",
    )


def _over_time() -> Panel:
    return lines(
        "Pending approvals",
        about("Does it grow? Then more is asked than people decide.", "blocked-approval"),
        Query(f"{told(_PENDING, by='definition')} > 0", "{{definition}}"),
        stacked=True,
        nothing="nothing waits",
    )


def _decisions() -> Panel:
    return lines(
        "How do people decide?",
        about("How many in each quarter of an hour, or in more where a longer time is shown.", "blocked-approval"),
        Query(f"round(sum by (decision) (increase({of(_DECIDED)}[$__interval])))", "{{decision}}"),
        counted="15m",
        words=("granted", "rejected", "expired"),
    )


def _waits() -> Panel:
    decided = in_range(f"{_WAITED}_count")
    return bars(
        "How soon are approvals decided?",
        about("The share of those decided in the time shown that was decided within so long.", "blocked-approval"),
        *(
            Query(f"{in_range(f'{_WAITED}_bucket', bucket)} / ({decided} > 0)", f"within {name}")
            for name, bucket in _BUCKETS.items()
        ),
        unit=SHARE,
        most=1,
        nothing="none decided",
    )


def _refused() -> Panel:
    return bars(
        "Why were decisions refused?",
        about(
            "In the time shown: out of date (the request had changed), late, not allowed, four eyes, decided twice … "
            "An `act` is an operator's. `handrail history ID` has the sentence.",
            "blocked-approval",
        ),
        Query(f"{in_range('handrail_decisions_refused_total', by='reason')} > 0", "{{reason}}"),
        colours=((None, AMBER),),
        nothing="none",
    )
