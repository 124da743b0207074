"""The matrix of causes: how each is brought about here, when it is told, by which alert, and what helps.

Its rows stand in `deploy/RUNBOOK.md`, and with the seconds that were measured in what the test prints.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta

from deploy.cli.stuck import HELP
from projections.causes import Cause
from projections.thresholds import LAG, LEARNT, SHIPPED, Name
from tests.integration.stuck.witness import Sight

BROUGHT_ABOUT = {
    Cause.NO_CONSUMER: "the process that serves the queue is killed",
    Cause.BACKLOG: "more comes than one process does",
    Cause.LEASE_LAPSED: "the process that runs the step is killed, and the timer too",
    Cause.RETRYING_TOO_LONG: "the service that a step calls is down",
    Cause.DEAD_LETTERED: "whoever takes the command gives it back, each time",
    Cause.COMMAND_PARKED: "the queue is deleted",
    Cause.COMMAND_LOST: "somebody else takes what comes to the queue",
    Cause.TIMER_OVERDUE: "the timer is killed while a workflow rests",
    Cause.APPROVAL_OVERDUE: "nobody decides, and there is no deadline",
    Cause.OUTCOME_UNKNOWN: "the process that runs a `once` step is killed",
    Cause.INTERVENTION_NEEDED: "a step fails for good, and its definition asks people",
    Cause.COMPENSATION_FAILED: "what undoes a step fails for good",
    Cause.DEFINITION_MISSING: "the process that serves the queue has an older version only",
    Cause.REPLAY_MISMATCH: "a definition is changed, and keeps its version",
    Cause.PROJECTION_LAG: "the projector is killed",
}
THRESHOLDS: dict[Cause, Name] = {
    Cause.NO_CONSUMER: "consumer",
    Cause.BACKLOG: "start",
    Cause.LEASE_LAPSED: "lease",
    Cause.RETRYING_TOO_LONG: "retrying",
    Cause.COMMAND_PARKED: "parked",
    Cause.COMMAND_LOST: "consumer",
    Cause.TIMER_OVERDUE: "timer",
    Cause.APPROVAL_OVERDUE: "approval",
    Cause.DEFINITION_MISSING: "definition",
}
"""The thresholds that causes have, by name; others are told as soon as they are there, lag after its own."""


def alert_of(cause: Cause) -> str:
    """The alert of a cause."""
    return "HandrailStuck" + "".join(word.capitalize() for word in cause.value.split("_"))


def told_after(cause: Cause) -> str:
    """The shipped threshold of a cause, or between what it is learnt, and its name in the settings."""
    if cause is Cause.PROJECTION_LAG:
        return f"{_words(LAG)} (`lag`)"
    name = THRESHOLDS.get(cause)
    if name is None:
        return "at once"
    if name in LEARNT:
        shortest, longest = LEARNT[name]
        return f"learnt: {_words(shortest)} to {_words(longest)} (`{name}`)"
    return f"{_words(SHIPPED[name])} (`{name}`)"


def _words(time: timedelta) -> str:
    for unit, length in (("h", timedelta(hours=1)), ("min", timedelta(minutes=1))):
        if time >= length:
            return f"{time / length:g} {unit}"
    return f"{time.total_seconds():g} s"


def runbook_rows() -> Iterator[str]:
    """The rows of the runbook's table, one a cause."""
    for cause in Cause:
        helps = HELP[cause].format(id="ID", step="STEP")
        yield f"| `{cause}` | {BROUGHT_ABOUT[cause]} | {told_after(cause)} | `{alert_of(cause)}` | `{helps}` |"


def measured_rows(sights: Mapping[Cause, Sight], told: Mapping[str, int] | None) -> Iterator[str]:
    """The rows of what was measured: seconds after the threshold, and how often each alert was `told`, if any was."""
    yield f"{'cause':<20} {'stuck':>7} {'metrics':>8} {'alerts':>7} {'gone':>7}  brought about by"
    for cause in Cause:
        sight = sights[cause]
        shown, alerts = sight.shown_seconds or 0.0, "-" if told is None else str(told.get(alert_of(cause), 0))
        yield (
            f"{cause:<20} {sight.told_seconds:>5.1f} s {shown:>6.1f} s {alerts:>7} {sight.gone_seconds:>5.1f} s  "
            f"{BROUGHT_ABOUT[cause]}"
        )
