"""The sentences of a replay report that its text and its page share."""

from __future__ import annotations

from typing import Final

from domain.recorded import ENGINE
from projections.replaying.origins import Cause, Kind
from projections.replaying.report import Beside, Report
from projections.replaying.verdict import Verdict, Word
from projections.replaying.words import duration, instant, plain

KINDS: Final = {
    Kind.TAMPERED: "the record was changed",
    Kind.UNREADABLE: "the record cannot be read",
    Kind.DECIDED_OTHERWISE: "a node decides otherwise",
    Kind.DEFINITION_CHANGED: "the definition was changed",
    Kind.ACTIVITY_FAILED: "an activity failed",
    Kind.ACTIVITY_DENIED: "an activity said no",
    Kind.ATTEMPT_LOST: "a worker was lost",
    Kind.OUTCOME_UNKNOWN: "an outcome became unknown",
    Kind.DEAD_LETTERED: "a command was given up by the transport",
    Kind.NOT_TAKEN_UP: "no worker took the command up in time",
    Kind.INPUT_INVALID: "an input does not fit",
    Kind.PLAN_REJECTED: "the planner's plan breaks a rule",
    Kind.POLICY_DENIED: "a policy denied it",
    Kind.APPROVAL_REJECTED: "a person rejected it",
    Kind.APPROVAL_EXPIRED: "nobody decided in time",
    Kind.WAIT_TIMED_OUT: "what was awaited did not come in time",
    Kind.CHILD_FAILED: "the child workflow failed",
    Kind.COMPENSATION_FAILED: "undoing failed",
    Kind.LATE_EFFECT: "an effect came when all was over",
    Kind.BUDGET_USED: "the budget is used up",
    Kind.DEADLINE_PASSED: "the workflow's deadline passed",
    Kind.CANCELLED: "it was cancelled",
    Kind.DEFINITION_MISSING: "the definition was not loaded",
    Kind.RESTORED: "the store was put back from a backup",
    Kind.TIMER_LATE: "what was due was decided late",
    Kind.AWAITING_APPROVAL: "nothing is wrong: it waits for an approval",
    Kind.AWAITING_SIGNAL: "nothing is wrong: it waits for a signal",
    Kind.AWAITING_TIME: "nothing is wrong: it waits for a time",
    Kind.AWAITING_CHILD: "nothing is wrong: it waits for a child workflow",
    Kind.PAUSED: "nothing is wrong: it is paused",
}


def beside_words(beside: Beside) -> str:
    """How this run compares with the last that completed."""
    point = beside.parting
    if point is None:
        return f"{beside.workflow}, the last that completed, went the same way"
    where = f"at event {point.here}" if point.here is not None else "at the end"
    there = f"there: {point.there_words}" if point.there is not None else "there is nothing further there"
    return f"{beside.workflow}, the last that completed, parts from it {where}; {there}"


NOT_KNOWN: Final = "not known: its payloads are withheld"


def withheld_words(report: Report) -> str:
    """Why payloads are withheld."""
    if report.erasure is not None:
        return plain(f"the workflow was {report.erasure.words}", 500)
    return "left out of the export that was imported"


def lacking_words(report: Report, words: str) -> str:
    """What is said where there is nothing to tell: `words`, unless that is not known."""
    return words if report.known_to_end else f"{NOT_KNOWN.capitalize()}."


def goal_words(report: Report) -> str:
    """What was asked for, by whom, under which definition."""
    definition = f"{report.definition} {report.definition_version}".strip()
    if 1 in report.withheld:
        return f"{NOT_KNOWN} ({definition})" if definition else NOT_KNOWN
    return f"{report.goal} ({definition}, asked for by {report.requested_by})"


def well_words(report: Report) -> str:
    """What is said where there is no first cause: what was overcome on the way is told apart from nothing at all."""
    lived = (one for decision in report.decisions if not decision.after_end for one in decision.transitions)
    return "nothing went wrong that lasted" if any(one.bad for one in lived) else "nothing went wrong"


def place(cause: Cause, workflow: str) -> str:
    """Where a cause is: the event's number, and the workflow where it is another one."""
    return f"event {cause.version}" + ("" if cause.workflow == workflow else f" of {cause.workflow}")


def events_words(versions: tuple[int, ...]) -> str:
    """Numbers of events, the first of them where they are many."""
    shown = ", ".join(map(str, versions[:6]))
    more = f" and {len(versions) - 6} more" if len(versions) > 6 else ""  # noqa: PLR2004 - those shown
    return f"event{'s' if len(versions) > 1 else ''} {shown}{more}"


def elsewhere_words(report: Report) -> str:
    """How often the first cause's failure was counted in other workflows."""
    counted = report.elsewhere
    if counted is None:
        return "not counted by the views yet"
    if counted.count == 0:
        return "nowhere else"
    times = "once" if counted.count == 1 else f"{counted.count} times"
    last = (counted.last_seen or "")[:19].replace("T", " ")
    behind = f", as far as the views are: log position {counted.upto}" if counted.upto < report.position else ""
    return f"{times} elsewhere, last seen at {last}{behind}"


def code_words(verdict: Verdict, version: int = 0) -> str:
    """Whether what is recorded is what the code at hand decides, in a sentence; `version` is that of the last event."""
    if verdict.word is Word.AGREES and verdict.upto < version:
        return f"decides events 1 to {verdict.upto} as they are recorded; what follows cannot be decided again"
    if verdict.word is Word.AGREES:
        return f"decides all {verdict.upto} events as they are recorded (engine {ENGINE})"
    if verdict.word is Word.DIFFERS:
        where = "the definition" if verdict.suspect == "definition" else "a node"
        return f"differs first at event {verdict.version} ({verdict.event}); look at {where}"
    if verdict.word is Word.OTHER_ENGINE:
        return (
            f"event {verdict.version} was decided by engine {verdict.engine}, and engine {ENGINE} decides it "
            "otherwise: no fault of the record"
        )
    if verdict.word is Word.DEFINITION_MISSING:
        return f"not asked: {verdict.words}; name its module with --module"
    return f"{verdict.words} (from event {verdict.version})" if verdict.version is not None else verdict.words


def record_words(report: Report) -> str:
    """Whether the record is intact, and where it is not."""
    parts = []
    if report.broken is not None:
        parts.append(f"broken at event {report.broken.version}: {report.broken.words}")
    parts += [f"event {one.version} ({one.name}): {one.why}" for one in report.unreadable[:3]]
    if report.unfolded:
        parts.append(report.unfolded)
    if parts:
        return "; ".join(parts)
    parts = [f"{report.version} events, each fits its digest and the one before it"]
    if report.withheld:
        parts.append(f"the payload of {events_words(report.withheld)} is withheld")
    if report.cut:
        parts.append(f"values are cut out of {events_words(report.cut)}")
    return "; ".join(parts)


def state_words(report: Report) -> str:
    """The digest of the state after the last event, or why there is none."""
    if report.withheld == tuple(range(1, report.version + 1)):
        return NOT_KNOWN
    if report.withheld:
        return f"not whole: it is known up to event {report.withheld[0] - 1}, and withheld from there on"
    if report.cut:
        return "not whole: values are cut out of it"
    return report.state_digest or "not whole: not all events can be folded"


def span_words(report: Report) -> str:
    """From when to when it went, and how long that was."""
    took = duration(report.durations.total_seconds)
    if report.ended_at is None:
        return f"since {instant(report.started_at)} UTC, {took} to the last event; not ended"
    return f"{instant(report.started_at)} to {instant(report.ended_at)} UTC, {took}"
