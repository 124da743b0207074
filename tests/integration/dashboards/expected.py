"""What each panel shows of the run in `run.py`: every query of it, every series, and which value.

By dashboard and panel, a mapping for each query in the order in which the panel asks them: from the values of a series'
labels (in the order of their names) to what its value must be. No other series may be there. Where nothing happened,
that is said: `nothing`.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from tests.integration.dashboards.run import Series


@dataclass(frozen=True)
class Value:
    """What a value must be: from `least` to `most`; `times` a minute where it is a rate over the whole run."""

    least: float
    most: float
    is_per_minute: bool = False

    def fits(self, value: float, seconds: float) -> bool:
        """Whether it is that, in a run of so many seconds."""
        counted = value * seconds / 60 if self.is_per_minute else value
        return self.least <= counted <= self.most

    def __str__(self) -> str:
        shown = f"{self.least:g}" if self.least == self.most else f"{self.least:g} to {self.most:g}"
        return f"{shown}, as a rate a minute" if self.is_per_minute else shown


def just(number: float) -> Value:
    return Value(number, number)


def counted(number: float) -> Value:
    """So often, as Prometheus extends what it saw to the ends of the time that it was asked about."""
    return Value(number * 0.98, number * 1.15)


def rate(number: float) -> Value:
    """A rate a minute, of what happened so often."""
    return Value(number * 0.98, number * 1.15, is_per_minute=True)


def between(least: float, most: float) -> Value:
    return Value(least, most)


def some_rate(least: float) -> Value:
    """A rate a minute, of what happened at least so often."""
    return Value(least, 100_000, is_per_minute=True)


def share(number: float) -> Value:
    return between(number - 0.001, number + 0.001)


nothing: Final = just(0)
no_rate: Final = rate(0)
of_the_run: Final = between(0.001, 300)
"""Seconds: since something of the run."""
recent: Final = between(0, 60)
quick: Final = between(0.0001, 30)
"""How long something took that takes milliseconds, on a machine that may be busy."""

PYTHON, VERSION = platform.python_version(), version("handrail")
WORKFLOWS: Final = 25
STUCK: Final = {
    "approval_overdue, raise a limit": 1,
    "command_parked, fax a letter": 1,
    "compensation_failed, close an account": 1,
    "intervention_needed, onboard a vendor": 2,
    "no_consumer, print a letter": 2,
    "outcome_unknown, transfer money": 1,
}
ATTEMPTS: Final = {
    "assess": 4, "call_carrier": 6, "check_stock": 4, "close": 2, "look_up": 11, "pay": 6, "release": 2, "reopen": 2,
    "reserve": 2, "transfer": 1,
}  # fmt: skip
FAILED: Final = {"call_carrier": 4, "check_stock": 4, "look_up": 1, "reopen": 2, "transfer": 1}

Panels = Mapping[str, Sequence[Mapping[str, Value]]]

EXPECTED: Final[Mapping[str, Panels]] = {
    "handrail-overview": {
        "Stuck workflows": [{"": just(sum(STUCK.values()))}],
        "Approvals pending": [{"": just(2)}],
        "Oldest approval waits": [{"": of_the_run}],
        "Dead letters": [{"": just(1)}],
        "Last heartbeat": [{"": recent}],
        "Views behind the log": [{"": recent}],
        "Roles led": [{"": just(1)}] * 3,
        "Processes not ready": [{"": just(1)}],
        "What is stuck, and why?": [
            {name: just(number) for name, number in STUCK.items()},
            {name: between(1, 400) for name in STUCK},
        ],
        "Stuck workflows by cause": [{name.partition(",")[0]: just(number) for name, number in STUCK.items()}],
        "Workflows begun and ended": [
            {"": rate(WORKFLOWS)},
            {"completed": rate(10), "compensated": rate(2), "failed": rate(2), "cancelled": no_rate},
        ],
        "Open workflows by status": [{"blocked": just(7), "compensating": just(1), "executing": just(3)}],
        "What goes wrong?": [
            {"": rate(5)},
            {"failed": rate(8), "timed_out": no_rate},
            {"": rate(2)},
            {"": rate(1)},
            {"": no_rate},
            {"": some_rate(1)},
        ],
    },
    "handrail-definition": {
        "Open workflows": [{"": just(3)}],
        "Stuck workflows": [{"": just(2)}],
        "Held longest": [{"": between(1, 400)}],
        "Approvals pending": [{"": just(1)}],
        "Oldest approval waits": [{"": of_the_run}],
        "Completed, of those that ended": [{"": share(1)}],
        "Open workflows by status": [{"blocked": just(3)}],
        "Stuck workflows by cause": [{"intervention_needed": just(2)}],
        "Workflows begun and ended": [
            {"": rate(5)},
            {"completed": rate(2), "compensated": no_rate, "failed": no_rate, "cancelled": no_rate},
        ],
        "All workflows by status": [{"blocked": just(3), "completed": just(2)}],
        "How did they end?": [
            {"completed": counted(2), "compensated": nothing, "failed": nothing, "cancelled": nothing}
        ],
    },
    "handrail-activities": {
        "Attempts": [{"": counted(sum(ATTEMPTS.values()))}],
        "Attempts that fail": [{"": share(sum(FAILED.values()) / sum(ATTEMPTS.values()))}],
        "Retries of all activity types": [{"": counted(5)}],
        "Attempts under way": [{"": nothing}],
        "Commands without room": [{"": nothing}],
        "Which activity types are slow, or fail?": [
            {name: counted(number) for name, number in ATTEMPTS.items()},
            {name: share(FAILED.get(name, 0) / number) for name, number in ATTEMPTS.items()},
            dict.fromkeys(ATTEMPTS, quick),
            dict.fromkeys(ATTEMPTS, quick),
        ],
        "Are there enough consumers?": [
            {
                "handrail.activity.default": nothing,
                "handrail.activity.fax": nothing,
                "handrail.activity.handrail-heartbeat": recent,
                # What nobody takes is issued again, after a while.
                "handrail.activity.printer": between(2, 20),
            },
            {
                "handrail.activity.default": just(1),
                "handrail.activity.fax": nothing,
                "handrail.activity.handrail-heartbeat": just(1),
                "handrail.activity.printer": nothing,
            },
        ],
        "How long do steps wait to begin?": [{"": quick}] * 3,
        "How long do attempts run?": [{"": quick}] * 3,
        "How do attempts end?": [
            {"ok": rate(24), "needs_approval": rate(4), "transient": rate(4), "permanent": rate(7), "bug": rate(1)}
        ],
    },
    "handrail-approvals": {
        "Pending": [{"": just(2)}],
        "Oldest waits": [{"": of_the_run}],
        "Overdue": [{"": just(1)}],
        "Decided": [{"expired": counted(2), "granted": counted(2), "rejected": counted(1)}],
        "Half are decided within": [{"": of_the_run}],
        "What waits for people?": [
            {"onboard a vendor": just(1), "sign a contract": just(1)},
            {"onboard a vendor": of_the_run, "sign a contract": of_the_run},
            {"raise a limit": just(1)},
        ],
        "Pending approvals": [{"onboard a vendor": just(1), "sign a contract": just(1)}],
        "How do people decide?": [{"expired": counted(2), "granted": counted(2), "rejected": counted(1)}],
        # The slowest of the five may have waited for more than a minute on a busy machine.
        "How soon are approvals decided?": [{"": between(0.4, 1)}, {"": share(1)}, {"": share(1)}, {"": share(1)}],
        "Why were decisions refused?": [{"not_allowed": counted(1)}],
    },
    "handrail-infrastructure": {
        "Is every process ready?": [
            {f"{name}, {PYTHON}, {VERSION}": just(1) for name in ("front", "spare", "workers")},
            dict.fromkeys(("front", "spare", "workers"), of_the_run),
            dict.fromkeys(("front", "spare", "workers"), between(0.0001, 2)),
            dict.fromkeys(("front", "spare", "workers"), between(10e6, 1e9)),
        ],
        "Who leads?": [
            {
                **{f"front, {role}": just(1) for role in ("projector", "relay", "timer")},
                **{f"spare, {role}": nothing for role in ("projector", "relay", "timer")},
            }
        ],
        "Last heartbeat": [{"": recent}],
        "Stuckness last judged": [{"": recent}],
        "Broker last heard": [{"": recent}],
        "Last sealed": [{"": recent}],
        "What is held back?": [{"": just(1)}, {"": nothing}, {"": nothing}, {"": nothing}],
        "Announcements let go": [{"": nothing}],
        "How late are relay, views and timer?": [{"relay": recent, "views": recent}, {"": recent}],
        "How long does a turn take?": [{"": quick}] * 3,
        "How much is decided?": [{"": some_rate(20)}, {"": some_rate(60)}, {"": some_rate(100)}],
        "What do store and broker refuse?": [
            {"away": no_rate, "conflict": some_rate(0), "fence": some_rate(0), "other": no_rate},
            {"returned": some_rate(1), "away": no_rate, "refused": no_rate, "unanswered": no_rate, "unfit": no_rate},
        ],
        "What becomes of messages?": [
            {"recorded": some_rate(WORKFLOWS), "refused": rate(1), "repeated": some_rate(1), "unfit": rate(1)}
        ],
        "Why do messages die?": [{"definition_unknown": counted(1)}],
        "Where do dead letters lie?": [{"handrail.dead.goals": just(1)}],
    },
}


def wrong(expected: Mapping[str, Value], found: Series, seconds: float) -> list[str]:
    """What is not as it must be, in words; empty where all is."""
    lacking = [f"{name!r} is not there" for name in expected.keys() - found.keys()]
    more = [f"{name!r} should not be there" for name in found.keys() - expected.keys()]
    unfit = [
        f"{name!r} is {found[name]:g}, and should be {value}"
        for name, value in expected.items()
        if name in found and not value.fits(found[name], seconds)
    ]
    return sorted([*lacking, *more, *unfit])
