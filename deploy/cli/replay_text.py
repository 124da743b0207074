"""A replay report for people: the answer in the first lines, then the details. 80 columns, nothing but plain text."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from deploy.cli.screen import counted
from projections.replaying.attempts import OPEN
from projections.replaying.durations import PARTS
from projections.replaying.report import Report
from projections.replaying.sentences import (
    KINDS,
    beside_words,
    code_words,
    elsewhere_words,
    events_words,
    goal_words,
    place,
    record_words,
    span_words,
    state_words,
    well_words,
    withheld_words,
)
from projections.replaying.timeline import DecisionTold
from projections.replaying.verdict import Verdict, Word
from projections.replaying.words import duration, instant, named, plain

WIDTH: Final = 80
VALUE_CHARACTERS: Final = 160
ATTEMPTS_SHOWN: Final = 40
STEPS_SHOWN: Final = 12
WAITS_SHOWN: Final = 4
COMMANDS_SHOWN: Final = 6


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
    yield from _section("attempts that did not end well", _attempts(report))
    yield from _section("who acted", _people(report))
    if report.verdict.version is not None and (report.verdict.word is not Word.WITHHELD or report.verdict.differences):
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
    status = report.status if report.known_to_end or report.end is not None else "not known"
    yield from textwrap.wrap(f"{report.workflow}  {status}{reason}", WIDTH, subsequent_indent="  ")
    yield from _first_cause(report)
    if report.beside is not None:
        yield from wrapped("beside", beside_words(report.beside))
    yield from wrapped("code", code_words(report.verdict, report.version))
    yield from wrapped("record", record_words(report))
    if report.withheld:
        yield from wrapped("withheld", withheld_words(report))
    yield from wrapped("state", state_words(report))
    yield from wrapped("goal", goal_words(report))
    yield from wrapped("time", span_words(report))
    position = f"log position {report.position}, event {report.version}"
    yield from wrapped("store", f"{position}, digest {report.head[:16]}" if report.head else position)


def _first_cause(report: Report) -> Iterator[str]:
    cause = report.first_cause
    if cause is None and report.withheld:
        yield from wrapped("cause", "not known: payloads are withheld")
        return
    if cause is None:
        yield from wrapped("cause", well_words(report))
        return
    yield from wrapped("cause", f"{place(cause, report.workflow)}: {KINDS[cause.kind]}")
    yield from wrapped("", cause.words)
    if cause.why:
        yield from wrapped("", f"because: {cause.why}")
    if cause.also:
        yield from wrapped("", f"the same again at {events_words(cause.also)}")
    if cause.failure is not None:
        yield from wrapped("", f"fingerprint {cause.failure.fingerprint}: {elsewhere_words(report)}")
    for other in report.others[:3]:
        yield from wrapped("besides", f"{place(other, report.workflow)}: {KINDS[other.kind]}: {other.words}")
    if len(report.others) > 3:  # noqa: PLR2004 - those above
        yield from wrapped("", f"and {len(report.others) - 3} more (--json)")


# --- the details ----------------------------------------------------------------------------------------------------


def _chain(report: Report) -> Iterator[str]:
    first = report.first_cause
    marked = None if first is None else (first.workflow, first.version)
    shown = report.chain
    if len(shown) > 2 * STEPS_SHOWN:
        shown = (*shown[:STEPS_SHOWN], *shown[-STEPS_SHOWN:])
    for number, link in enumerate(shown):
        if len(report.chain) > len(shown) and number == STEPS_SHOWN:
            yield f"         … {counted(len(report.chain) - len(shown), 'event')} between …"
        mark = ">" if (link.workflow, link.version) == marked else " "
        where = "" if link.workflow == report.workflow else f"{link.workflow}: "
        yield from wrapped(f"{mark}{link.version:>5}", f"{where}{link.what}", width=8, indent=1)
    yield from _not_known(report)


def _not_known(report: Report) -> Iterator[str]:
    """What stands at the end of what headers do not tell."""
    if not report.known_to_end:
        yield f"         not known from event {report.withheld[0]} on: payloads are withheld"


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


def _attempts(report: Report) -> Iterator[str]:
    bad = [one for one in report.attempts if one.outcome not in {"ok", OPEN, "needs_approval"}]
    for one in bad[:ATTEMPTS_SHOWN]:
        kind = "" if one.kind == "run" else f" ({one.kind})"
        who = f" by {one.worker}" if one.worker else ""
        ran = ""
        if one.started_at is not None and one.finished_at is not None:
            ran = f", ran {duration((one.finished_at - one.started_at).total_seconds())}"
        failure = f": {one.failure}" if one.failure else ""
        words = f"{named(one.step)}{kind} attempt {one.count} {one.outcome}{who}{ran}{failure}"
        yield from wrapped(f"{one.ended:>6}", words, width=8, indent=1)
    if len(bad) > ATTEMPTS_SHOWN:
        yield f"         and {len(bad) - ATTEMPTS_SHOWN} more (--json)"
    yield from _not_known(report)


def _people(report: Report) -> Iterator[str]:
    for act in report.acts:
        why = f" ({act.why})" if act.why and act.version > 1 else ""
        who = f"{act.who}: " if act.version == 1 else "after the end: " if act.after_end else ""
        yield from wrapped(f"{act.version:>6}", f"{instant(act.at)}  {who}{act.what}{why}", width=8, indent=1)
    yield from _not_known(report)


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
    after = "after the end: " if decision.after_end else ""
    yield from textwrap.wrap(
        f"  {at}  {after}{decision.trigger}{actor}{cause}", WIDTH, subsequent_indent=" " * 8, break_on_hyphens=False
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
