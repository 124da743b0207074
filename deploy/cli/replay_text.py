"""A replay report for people: the answer in the first lines, then the details. 80 columns, nothing but plain text."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from domain.ids import attempts_made
from domain.recorded import ENGINE
from projections.replaying.attempts import OPEN, Attempt
from projections.replaying.durations import PARTS
from projections.replaying.origins import Cause, Kind
from projections.replaying.report import Beside, Report
from projections.replaying.timeline import DecisionTold
from projections.replaying.verdict import Verdict, Word
from projections.replaying.words import duration, instant, named, plain

WIDTH: Final = 80
VALUE_CHARACTERS: Final = 160
ATTEMPTS_SHOWN: Final = 40
STEPS_SHOWN: Final = 12
WAITS_SHOWN: Final = 4
COMMANDS_SHOWN: Final = 6

_KINDS: Final = {
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


def text_of(report: Report, commands: Sequence[str] = (), *, details: bool = True) -> Iterator[str]:
    """The lines of a report; without `details`, those that answer what happened, why, and whether the code agrees.

    `commands` would move the workflow: they are printed as they are typed, however long they are.
    """
    yield from _answer(report)
    for number, command in enumerate(commands[:COMMANDS_SHOWN]):
        yield f"  {'next' if number == 0 else '':<10}{command}"
    if not details:
        return
    yield from _section("how it came to that", _chain(report))
    yield from _section("where the time went", _time(report))
    yield from _section("attempts that did not end well", _attempts(report.attempts))
    yield from _section("who acted", _people(report))
    if report.verdict.version is not None:
        yield from _section("where the code and the record part", _parting(report.verdict))
    yield from _section("transitions", _transitions(report.decisions))


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    first = True
    for line in lines:
        if first:
            yield ""
            yield title
            first = False
        yield line


def wrapped(label: str, text: str, *, width: int = 10, indent: int = 2) -> Iterator[str]:
    """A label with its text beside it, over as many lines as it takes."""
    margin = " " * (indent + width)
    lines = textwrap.wrap(text, WIDTH - len(margin), break_on_hyphens=False) or [""]
    for number, line in enumerate(lines):
        yield (f"{' ' * indent}{label if number == 0 else '':<{width}}{line}").rstrip()


_BOLD, _RED, _PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[0m"


def painted(line: str) -> str:
    """The line as a terminal shows it: headings and the answer in bold, what went wrong in red."""
    if line.startswith((" >", "  cause")) or line[:1].isalpha():
        return f"{_BOLD}{line}{_PLAIN}"
    return f"{_RED}{line}{_PLAIN}" if line.startswith(" !") else line


# --- the answer -----------------------------------------------------------------------------------------------------


def _answer(report: Report) -> Iterator[str]:
    reason = f": {report.reason}" if report.reason else ""
    if report.waits:
        more = f" and {len(report.waits) - WAITS_SHOWN} more" if len(report.waits) > WAITS_SHOWN else ""
        reason = f": waits for {', '.join(report.waits[:WAITS_SHOWN])}{more}"
    yield from textwrap.wrap(f"{report.workflow}  {report.status}{reason}", WIDTH, subsequent_indent="  ")
    yield from _first_cause(report)
    if report.beside is not None:
        yield from wrapped("beside", _beside(report.beside))
    yield from wrapped("code", code_words(report.verdict, report.version))
    yield from wrapped("record", _record(report))
    definition = f"{report.definition} {report.definition_version}".strip()
    yield from wrapped("goal", f"{report.goal} ({definition}, asked for by {report.requested_by})")
    yield from wrapped("time", _span(report))
    position = f"log position {report.position}, event {report.version}"
    yield from wrapped("store", f"{position}, digest {report.head[:16]}" if report.head else position)


def _first_cause(report: Report) -> Iterator[str]:
    cause = report.first_cause
    if cause is None:
        yield from wrapped("cause", "nothing went wrong that lasted" if _any_trouble(report) else "nothing went wrong")
        return
    yield from wrapped("cause", f"{place(cause, report.workflow)}: {_KINDS[cause.kind]}")
    yield from wrapped("", cause.words)
    if cause.why:
        yield from wrapped("", f"because: {cause.why}")
    if cause.also:
        yield from wrapped("", f"the same again at {_events(cause.also)}")
    if cause.failure is not None:
        yield from wrapped("", f"fingerprint {cause.failure.fingerprint}: {_elsewhere(report)}")
    for other in report.others[:3]:
        yield from wrapped("besides", f"{place(other, report.workflow)}: {_KINDS[other.kind]}: {other.words}")
    if len(report.others) > 3:  # noqa: PLR2004 - those above
        yield from wrapped("", f"and {len(report.others) - 3} more (--json)")


def _beside(beside: Beside) -> str:
    """How this run compares with the last that completed."""
    point = beside.parting
    if point is None:
        return f"{beside.workflow}, the last that completed, went the same way"
    where = f"at event {point.here}" if point.here is not None else "at the end"
    there = f"there: {point.there_words}" if point.there is not None else "there is nothing further there"
    return f"{beside.workflow}, the last that completed, parts from it {where}; {there}"


def _any_trouble(report: Report) -> bool:
    return any(transition.bad for decision in report.decisions for transition in decision.transitions)


def place(cause: Cause, workflow: str) -> str:
    """Where a cause is: the event's number, and the workflow where it is another one."""
    return f"event {cause.version}" + ("" if cause.workflow == workflow else f" of {cause.workflow}")


def _events(versions: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, versions[:6]))
    more = f" and {len(versions) - 6} more" if len(versions) > 6 else ""  # noqa: PLR2004 - those shown
    return f"event{'s' if len(versions) > 1 else ''} {shown}{more}"


def _elsewhere(report: Report) -> str:
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


def _record(report: Report) -> str:
    parts = []
    if report.broken is not None:
        parts.append(f"broken at event {report.broken.version}: {report.broken.words}")
    parts += [f"event {one.version} ({one.name}): {one.why}" for one in report.unreadable[:3]]
    if report.unfolded:
        parts.append(report.unfolded)
    if parts:
        return "; ".join(parts)
    return f"{report.version} events, each fits its digest and the one before it"


def _span(report: Report) -> str:
    took = duration(report.durations.total_seconds)
    if report.ended_at is None:
        return f"since {instant(report.started_at)} UTC, {took} to the last event; not ended"
    return f"{instant(report.started_at)} to {instant(report.ended_at)} UTC, {took}"


# --- the details ----------------------------------------------------------------------------------------------------


def _chain(report: Report) -> Iterator[str]:
    first = report.first_cause
    marked = None if first is None else (first.workflow, first.version)
    shown = report.chain
    if len(shown) > 2 * STEPS_SHOWN:
        shown = (*shown[:STEPS_SHOWN], *shown[-STEPS_SHOWN:])
    for number, link in enumerate(shown):
        if len(report.chain) > len(shown) and number == STEPS_SHOWN:
            yield f"         … {len(report.chain) - len(shown)} events between …"
        mark = ">" if (link.workflow, link.version) == marked else " "
        where = "" if link.workflow == report.workflow else f"{link.workflow}: "
        yield from wrapped(f"{mark}{link.version:>5}", f"{where}{link.what}", width=8, indent=1)


def _time(report: Report) -> Iterator[str]:
    durations = report.durations
    total = durations.total_seconds
    for part, amount in sorted(durations.parts.items(), key=lambda one: -one[1]):
        share = 100 * amount / total if total else 0
        yield f"  {duration(amount):>9}  {share:>5.1f} %  {PARTS[part]}"
    for one in durations.awaited:
        what = f"{named(one.step)}: {one.reason}" if one.step else one.reason
        yield from wrapped("open", f"{what}, since {instant(one.since)}", width=11)
    for late in report.late[:STEPS_SHOWN]:
        words = f"event {late.version} was decided {duration(late.seconds)} after it was due, {instant(late.due_at)}"
        yield from wrapped("late", words, width=11)
    steps = sorted(durations.steps.items(), key=lambda one: -sum(one[1].values()))
    for step, parts in steps[:STEPS_SHOWN] if len(steps) > 1 else ():
        words = ", ".join(f"{part} {duration(amount)}" for part, amount in sorted(parts.items(), key=lambda p: -p[1]))
        yield from wrapped(plain(named(step), 28), words, width=max(11, len(plain(named(step), 28)) + 2))


def _attempts(attempts: Iterable[Attempt]) -> Iterator[str]:
    bad = [one for one in attempts if one.outcome not in {"ok", OPEN, "needs_approval"}]
    for one in bad[:ATTEMPTS_SHOWN]:
        kind = "" if one.kind == "run" else f" ({one.kind})"
        who = f" by {one.worker}" if one.worker else ""
        ran = ""
        if one.started_at is not None and one.finished_at is not None:
            ran = f", ran {duration((one.finished_at - one.started_at).total_seconds())}"
        failure = f": {one.failure}" if one.failure else ""
        words = f"{named(one.step)}{kind} attempt {attempts_made(one.attempt)} {one.outcome}{who}{ran}{failure}"
        yield from wrapped(f"{one.ended:>6}", words, width=8, indent=1)
    if len(bad) > ATTEMPTS_SHOWN:
        yield f"         and {len(bad) - ATTEMPTS_SHOWN} more (--json)"


def _people(report: Report) -> Iterator[str]:
    for act in report.acts:
        why = f" ({act.why})" if act.why and act.version > 1 else ""
        who = f"{act.who}: " if act.version == 1 else ""
        yield from wrapped(f"{act.version:>6}", f"{instant(act.at)}  {who}{act.what}{why}", width=8, indent=1)


def _parting(verdict: Verdict) -> Iterator[str]:
    yield f"  event {verdict.version}, engine {verdict.engine}"
    if verdict.differences:
        for one in verdict.differences:
            yield f"  {plain(one.path or '/', WIDTH - 2)}"
            yield from wrapped("recorded", shown(one.recorded), indent=4)
            yield from wrapped("decided", shown(one.decided), indent=4)
        return
    yield from wrapped("recorded", plain(verdict.expected, 2 * VALUE_CHARACTERS))
    yield from wrapped("decided", plain(verdict.found or verdict.words, 2 * VALUE_CHARACTERS))


def shown(value: Any, most: int = VALUE_CHARACTERS) -> str:
    """A JSON value on one line; `nothing` where there is none."""
    return "nothing" if value is None else plain(json.dumps(value, ensure_ascii=False, default=str), most)


def _transitions(decisions: Iterable[DecisionTold]) -> Iterator[str]:
    for decision in decisions:
        yield from decision_lines(decision)


def decision_lines(decision: DecisionTold) -> Iterator[str]:
    """One decision: a line about it, then its transitions."""
    at = "?" if decision.at is None else f"{decision.at:%Y-%m-%d %H:%M:%S.%f}"[:-3]
    cause = f" ({decision.cause})" if decision.cause else ""
    actor = f", {decision.actor}" if decision.actor else ""
    yield from textwrap.wrap(
        f"  {at}  {decision.trigger}{actor}{cause}", WIDTH, subsequent_indent=" " * 8, break_on_hyphens=False
    )
    last = decision.version
    for one in decision.transitions:
        because = "" if one.because in {None, last} or one.because == one.version - 1 else f" [from {one.because}]"
        words = f"{one.what}{because}"
        yield from _transition(one.version, "!" if one.bad else " ", one.node, words)
        if one.why:
            yield from _transition(None, " ", "", f"because: {one.why}")


def _transition(version: int | None, mark: str, node: str, words: str) -> Iterator[str]:
    number = "" if version is None else str(version)
    head = f" {mark}{number:>5} {node:<14}"
    lines = textwrap.wrap(words, WIDTH - len(head), break_on_hyphens=False) or [""]
    for place_of_line, line in enumerate(lines):
        yield (head if place_of_line == 0 else " " * len(head)) + line
