"""The first half of a page: what happened, why, how it came to that, when, and how the steps stand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from projections.replaying.durations import PARTS
from projections.replaying.origins import Cause
from projections.replaying.report import Link, Report
from projections.replaying.sentences import (
    KINDS,
    NOT_KNOWN,
    beside_words,
    code_words,
    elsewhere_words,
    events_words,
    lacking_words,
    place,
    record_words,
    span_words,
    state_words,
    well_words,
    withheld_words,
)
from projections.replaying.verdict import Word
from projections.replaying.words import duration, instant, named, plain
from projections.reporting.facts import Facts
from projections.reporting.graph import MOST_STEPS, StepTold, graph
from projections.reporting.lanes import MOST_LANES, Mark, Timeline, legend, timeline
from projections.reporting.markup import Markup, joined, tag
from projections.reporting.pieces import (
    Column,
    Shown,
    facts,
    folded_if_long,
    isolated,
    moment,
    scrolling,
    section,
    spaced,
    table,
)

LINKS_SHOWN: Final = 60
OTHERS_SHOWN: Final = 20
STEPS_LISTED: Final = 500
STEPS_TIMED: Final = 40
WAITS_SHOWN: Final = 12
LATE_SHOWN: Final = 20
VALUE_CHARACTERS: Final = 1_000

_TONES: Final = {
    "completed": ("good", "✓"),
    "failed": ("bad", "✗"),
    "compensated": ("undone", "↩"),
    "cancelled": ("idle", "■"),
    "unknown": ("bad", "?"),
}


def tone_of(report: Report) -> str:
    """How the answer is coloured: `bad` where something is wrong, `busy` where it only waits, else `good`."""
    if report.first_cause is None:
        return "busy" if report.withheld else "good"
    return "bad" if report.first_cause.fault else "busy"


def head(told: Facts) -> Markup:
    """What the page is about."""
    report = told.report
    tone, sign = _TONES.get(report.status, ("busy", "…"))
    badge = tag("span", f"{sign} {report.status}", class_=f"badge {tone}")
    unread = NOT_KNOWN if 1 in report.withheld else "not readable"
    definition = isolated(f"{report.definition} {report.definition_version}".strip() or unread)
    rows: list[tuple[str, object]] = [
        ("Definition", definition),
        ("Requested by", isolated(report.requested_by or unread)),
        ("Time", span_words(report) if report.started_at is not None else _span_of_headers(report)),
    ]
    if report.reason:
        rows.append(("Ended because", isolated(report.reason)))
    if report.waits:
        more = len(report.waits) - WAITS_SHOWN
        waits = ", ".join(report.waits[:WAITS_SHOWN]) + (f" and {more} more" if more > 0 else "")
        rows.append(("Waits for", isolated(waits)))
    rows += [
        ("Code", code_words(report.verdict, report.version)),
        ("Record", record_words(report)),
        ("State", tag("span", state_words(report), class_="digest" if report.state_digest else None)),
        ("Store", _store(report)),
    ]
    if told.rules:
        rows.append(("Left out by rule", isolated(", ".join(told.rules))))
    notice = []
    if report.withheld:
        words = (
            f"From event {report.withheld[0]} on, payloads are withheld: of these events the page has what their "
            "headers say, and all that it tells of steps, attempts, approvals and people is what came before. "
        )
        why = f"{withheld_words(report)}."
        notice = [tag("p", tag("strong", words), isolated(why[0].upper() + why[1:]), class_="answer busy notice")]
    return tag(
        "header",
        tag("p", "Incident report", class_="kind"),
        tag("h1", isolated(report.workflow), " ", badge),
        tag(
            "p",
            isolated(report.goal or (NOT_KNOWN if 1 in report.withheld else "the goal cannot be read")),
            class_="goal",
        ),
        *notice,
        facts(rows),
    )


def _span_of_headers(report: Report) -> str:
    """From when to when it went, where no event can be read whole."""
    known = [decision.at for decision in report.decisions if decision.at is not None]
    return f"{instant(min(known))} to {instant(max(known))} UTC, as headers say" if known else "not known"


def _store(report: Report) -> Markup:
    position = f"log position {report.position}, event {report.version}"
    if not report.head:
        return tag("span", position)
    return spaced(tag("span", f"{position}, digest"), tag("span", report.head, class_="digest"))


# --- the first cause ------------------------------------------------------------------------------------------------


def answer(told: Facts, shown: Shown) -> Markup:
    """The first cause, and what else was found."""
    report = told.report
    first = report.first_cause
    if first is None:
        withheld = report.withheld[0] if report.withheld else None
        words = f"{well_words(report).capitalize()}."
        if withheld is not None:
            words = f"Not known: payloads are withheld from event {withheld} on."
        tone = tone_of(report)
        box = tag("div", tag("p", words, class_="words"), class_=f"answer {tone}")
    else:
        box = tag("div", *_first(report, first, shown), class_=f"answer {tone_of(report)}")
    extra: list[Markup] = []
    if report.others:
        items = [tag("li", _place(one, report, shown), ": ", KINDS[one.kind], ": ", isolated(one.words))
                 for one in report.others[:OTHERS_SHOWN]]  # fmt: skip
        left = len(report.others) - OTHERS_SHOWN
        extra.append(tag("h3", "Besides"))
        extra.append(tag("ul", *items, *([tag("li", f"and {left} more")] if left > 0 else [])))
    if report.beside is not None:
        extra.append(tag("h3", "Beside the last run that completed"))
        extra.append(tag("p", isolated(f"{beside_words(report.beside)}.")))
    return section("cause", "First cause", box, *extra)


def _first(report: Report, first: Cause, shown: Shown) -> Iterator[Markup]:
    yield tag("p", _place(first, report, shown), ": ", KINDS[first.kind])
    yield tag("p", isolated(first.words), class_="words")
    if first.why:
        yield tag("p", "because: ", isolated(first.why))
    rows: list[tuple[str, object]] = [("When", spaced(moment(first.at), tag("span", "UTC")))]
    if first.step:
        rows.append(("Step", isolated(named(first.step))))
    if first.activity:
        rows.append(("Activity", isolated(first.activity)))
    if first.failure is not None:
        rows.append(("Fingerprint", spaced(tag("span", first.failure.fingerprint, class_="digest"),
                                           tag("span", f"– {elsewhere_words(report)}"))))  # fmt: skip
    if first.also:
        rows.append(("The same again", f"at {events_words(first.also)}"))
    yield facts(rows)


def _place(cause: Cause, report: Report, shown: Shown) -> Markup:
    if cause.workflow != report.workflow:
        return isolated(place(cause, report.workflow))
    return shown.link(cause.version)


def chain(told: Facts, shown: Shown) -> Markup:
    """The way from the goal to where the first cause shows."""
    report = told.report
    first = report.first_cause
    links = report.chain
    if not links:
        words = lacking_words(report, "Not one event can be read.")
        return section("chain", "How it came to that", tag("p", words))
    kept: list[Link | None] = list(links)
    if len(links) > LINKS_SHOWN:
        kept = [*links[: LINKS_SHOWN // 2], None, *links[-(LINKS_SHOWN // 2) :]]
    items = []
    for link in kept:
        if link is None:
            items.append(tag("li", f"{len(links) - LINKS_SHOWN} events between are left out here", class_="quiet"))
            continue
        here = first is not None and (link.workflow, link.version) == (first.workflow, first.version)
        own = link.workflow == report.workflow
        where = shown.link(link.version) if own else isolated(f"event {link.version} of {link.workflow}")
        what = isolated(link.what, class_="here" if here else None)
        mark = tag("strong", " ← first cause") if here else None
        waits = " wait" if first is not None and not first.fault else ""
        head_of = spaced(where, tag("span", moment(link.at), class_="quiet"))
        items.append(
            tag("li", head_of, tag("br"), what, *([mark] if mark else []), class_=f"first{waits}" if here else None)
        )
    words = "From the goal to where the trouble shows; each event came of the one above it."
    return section("chain", "How it came to that", tag("p", words, class_="note"), tag("ol", *items, class_="chain"))


# --- when -----------------------------------------------------------------------------------------------------------


def when(told: Facts) -> Markup:
    """The timeline, and where the time went."""
    report = told.report
    begin = report.started_at
    drawn = _drawn(report, begin) if begin is not None and report.spans else None
    parts: list[Markup] = []
    if drawn is None:
        parts.append(tag("p", lacking_words(report, "No step was under way, and nothing was waited for.")))
    else:
        caption = ["All instants are UTC."]
        if drawn.breaks:
            caption.append("Grey columns with jagged edges are waits cut short: the rest is to scale.")
        if drawn.lanes_left_out:
            caption.append(f"The {MOST_LANES} steps that took longest have lanes of their own.")
        caption.append("A thin bar may be shorter than it looks.")
        parts.append(
            tag(
                "figure",
                scrolling(drawn.picture, "Timeline"),
                tag("ul", legend(drawn.parts), class_="legend"),
                tag("figcaption", " ".join(caption)),
            )
        )
    return section("timeline", "Timeline", *parts)


def _drawn(report: Report, begin: datetime) -> Timeline:
    end = max((span.end for span in report.spans), default=begin)
    end = max(end, report.ended_at or begin)
    first = report.first_cause
    mine = first is not None and first.workflow == report.workflow
    mark = Mark(first.version, first.at, first.step) if first is not None and mine else None
    end = max(end, mark.at if mark is not None else end)  # an effect may come late, when all is over
    return timeline(report.spans, begin, end, mark, waits=first is not None and not first.fault)


def time_went(told: Facts) -> Markup:
    """Where the time went, in numbers: in all, by step, and what is still awaited."""
    durations, late = told.report.durations, told.report.late
    total = durations.total_seconds
    last = "the last" if told.report.end is None else f"event {told.report.end}, the end"
    rows = [
        (PARTS[part], duration(amount), f"{100 * amount / total if total else 0:.1f} %")
        for part, amount in sorted(durations.parts.items(), key=lambda one: -one[1])
    ]
    columns = (Column("What it went to"), Column("Time", "number"), Column("Share", "number"))
    content = [tag("p", f"{duration(total)} from the first event to {last}; every moment counts once.", class_="note")]
    if rows:
        content.append(table("Where the time went", columns, rows))
    if durations.steps:
        content += [tag("h3", "By step"), *_by_step(durations.steps)]
    if durations.awaited:
        items = [
            tag("li", isolated(f"{named(one.step)}: {one.reason}" if one.step else one.reason), " since ",
                moment(one.since))
            for one in durations.awaited[:WAITS_SHOWN]
        ]  # fmt: skip
        content += [tag("h3", "Still awaited at the last event"), tag("ul", *items)]
    if late:
        items = [
            tag("li", f"event {one.version}: {duration(one.seconds)} after it was due, {instant(one.due_at)}")
            for one in late[:LATE_SHOWN]
        ]
        content += [tag("h3", "Decided late"), tag("ul", *items)]
    return section("time", "Where the time went", *content)


def _by_step(steps: dict[str, dict[str, float]]) -> Iterator[Markup]:
    """Parts in columns; steps side by side overlap, so that sums are more than the whole."""
    used = [part for part in PARTS if any(part in of_step for of_step in steps.values())]
    columns = [Column("Step"), *(Column(_SHORT[part], "number") for part in used)]
    order = sorted(steps.items(), key=lambda one: -sum(one[1].values()))
    rows = [
        (isolated(named(step)), *(duration(of_step[part]) if part in of_step else "–" for part in used))
        for step, of_step in order[:STEPS_TIMED]
    ]
    yield table("Where the time went, by step", columns, rows)
    if len(order) > STEPS_TIMED:
        yield tag("p", f"{len(order) - STEPS_TIMED} further steps took less.", class_="note")


_SHORT: Final = {
    "running": "ran",
    "worker": "worker",
    "lost": "lost",
    "recording": "recording",
    "backoff": "backoff",
    "person": "person",
    "others": "others",
    "late": "late",
    "definition": "definition",
    "between": "between",
}


# --- the steps ------------------------------------------------------------------------------------------------------


def steps(told: Facts) -> Markup:
    """The graph of the steps, and the table that says the same."""
    if not told.steps:
        return section("steps", "Steps", tag("p", lacking_words(told.report, "There is no plan.")))
    report = told.report
    first = report.first_cause
    cause = first.step if first is not None and first.fault and first.workflow == report.workflow else ""
    left = len(told.steps) - MOST_STEPS
    words = "Each step stands behind those that it comes after."
    if cause and any(one.step == cause for one in told.steps):
        words += " The one with a filled corner has the first cause."
    if left > 0:
        words += f" Of {len(told.steps)} steps the first {MOST_STEPS} are drawn."
    picture = tag("figure", scrolling(graph(told.steps, cause), "Graph of the steps"), tag("figcaption", words))
    tries: dict[str, int] = {}
    for attempt in report.attempts:
        if attempt.kind == "run":
            tries[attempt.step] = tries.get(attempt.step, 0) + 1
    columns = (Column("Step"), Column("Status"), Column("Runs"), Column("After"), Column("Attempts", "number"))
    rows = [_row(one, tries.get(one.step, 0)) for one in told.steps[:STEPS_LISTED]]
    more = []
    if len(told.steps) > STEPS_LISTED:
        more = [tag("p", f"The first {STEPS_LISTED} of {len(told.steps)} steps; the events have all.", class_="note")]
    listed = folded_if_long(table("Steps", columns, rows), len(rows), f"Table of {len(rows)} steps")
    return section("steps", "Steps", picture, listed, *more)


def _row(one: StepTold, tries: int) -> tuple[object, ...]:
    status = tag("span", one.words, class_=one.tone)
    return isolated(one.step), status, isolated(one.what or "–"), isolated(", ".join(one.after) or "–"), tries


def parting(told: Facts, shown: Shown) -> Markup | None:
    """Where the code and the record part; None where they do not."""
    verdict = told.report.verdict
    if verdict.version is None or verdict.version in told.report.withheld:
        return None
    content = [tag("p", shown.link(verdict.version), f", recorded by engine {verdict.engine}: ",
                   isolated(code_words(verdict, told.report.version)))]  # fmt: skip
    if verdict.word is Word.DIFFERS or verdict.expected or verdict.found:
        columns = (Column("Part"), Column("Recorded", "wide"), Column("Decided now", "wide"))
        rows = [(one.path or "/", isolated(_value(one.recorded)), isolated(_value(one.decided)))
                for one in verdict.differences]  # fmt: skip
        rows = rows or [("the event", isolated(verdict.expected), isolated(verdict.found or verdict.words))]
        content.append(table("Where the code and the record part", columns, rows))
    return section("code", "Where the code and the record part", *content)


def _value(value: object) -> str:
    """A JSON value on one line."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return "nothing" if value is None else plain(text, VALUE_CHARACTERS)


def contents(sections: list[tuple[str, str]]) -> Markup:
    """The list of what is on the page."""
    items = [tag("li", tag("a", title, href=f"#{name}")) for name, title in sections]
    return tag("nav", tag("ul", joined(items)), aria_label="Contents")
