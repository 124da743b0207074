"""The second half of a page: attempts, approvals, what people did, and every event with its payload folded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from pydantic_core import from_json

from projections.replaying.attempts import OPEN, Attempt
from projections.replaying.sentences import lacking_words
from projections.replaying.timeline import Act, DecisionTold, Transition
from projections.replaying.words import duration, named
from projections.reporting.facts import Facts, Round, Vote
from projections.reporting.markup import Markup, joined, tag
from projections.reporting.pieces import Column, Shown, facts, folded_if_long, isolated, moment, section, spaced, table

ATTEMPTS_SHOWN: Final = 300
APPROVALS_SHOWN: Final = 200
ACTS_SHOWN: Final = 500
VOTES_SHOWN: Final = 50
EVENTS_SHOWN: Final = 12_000
"""Of more events the first and the last are on the page."""
EVENTS_A_GROUP: Final = 250
PAYLOAD_CHARACTERS: Final = 4_000
"""Of a longer payload the beginning is on the page; the export beside it has it whole."""
PAYLOADS_CHARACTERS: Final = 6_000_000
"""So many characters of payloads are on a page in all: those of what went wrong first."""
PRETTY_BYTES: Final = 64 * 1024

_WELL: Final = frozenset({"ok", OPEN, "needs_approval"})


# --- attempts, approvals, people ------------------------------------------------------------------------------------


def attempts(told: Facts, shown: Shown) -> Markup:
    """Every attempt; of very many, those that did not end well."""
    every = told.report.attempts
    if not every:
        return section("attempts", "Attempts", tag("p", lacking_words(told.report, "Nothing was attempted.")))
    bad = [one for one in every if one.outcome not in _WELL]
    kept: Sequence[Attempt] = every if len(every) <= ATTEMPTS_SHOWN else bad[:ATTEMPTS_SHOWN]
    words = f"{len(every)} in all, {len(bad)} of them did not end well."
    if len(kept) < len(every):
        words += f" The table has {len(kept)} of those; the events have all."
    columns = (
        Column("Step"), Column("Attempt"), Column("Outcome"), Column("Failure", "wide"), Column("Activity"),
        Column("Worker"), Column("Scheduled", "when"), Column("Waited", "number"), Column("Ran", "number"),
        Column("Events", "when"),
    )  # fmt: skip
    content = [tag("p", words, class_="note")]
    if kept:
        made = table("Attempts", columns, (_attempt(one, shown) for one in kept))
        content.append(folded_if_long(made, len(kept), f"Table of {len(kept)} attempts"))
    return section("attempts", "Attempts", *content)


def _attempt(one: Attempt, shown: Shown) -> tuple[object, ...]:
    number = f"{one.count}" + ("" if one.kind == "run" else f" ({one.kind})")
    waited = ran = "–"
    if one.started_at is not None:
        waited = duration(max(0.0, (one.started_at - one.scheduled_at).total_seconds()))
        if one.finished_at is not None:
            ran = duration(max(0.0, (one.finished_at - one.started_at).total_seconds()))
    well = one.outcome in _WELL
    outcome = tag("span", f"{'✓ ' if one.outcome == 'ok' else '' if well else '✗ '}{one.outcome.replace('_', ' ')}",
                  class_="good" if one.outcome == "ok" else None if well else "bad")  # fmt: skip
    failure = [isolated(one.failure)] if one.failure else [tag("span", "–")]
    if one.fingerprint:
        failure.append(tag("span", one.fingerprint, class_="digest quiet"))
    return (
        isolated(named(one.step)), number, outcome, spaced(*failure), isolated(one.activity),
        isolated(one.worker or "–"), moment(one.scheduled_at), waited, ran,
        spaced(shown.number(one.scheduled), tag("span", "→"), shown.number(one.ended)),
    )  # fmt: skip


def approvals(told: Facts, shown: Shown) -> Markup:
    """Every round: who was asked to approve what, until when, who decided what, and what it came to."""
    if not told.approvals:
        words = lacking_words(told.report, "Nobody had to approve anything.")
        return section("approvals", "Approvals", tag("p", words))
    kept = told.approvals[:APPROVALS_SHOWN]
    content: list[Markup] = []
    for one in kept:
        content += [tag("h3", isolated(one.step), f", round {one.number}"), _round(one, shown)]
    if len(kept) < len(told.approvals):
        words = f"The first {len(kept)} of {len(told.approvals)} rounds; the events have all."
        content.append(tag("p", words, class_="note"))
    return section("approvals", "Approvals", *content)


def _round(one: Round, shown: Shown) -> Markup:
    who = "anyone" if "*" in one.approvers else ", ".join(one.approvers)
    eyes = ", not by who asked for it" if one.four_eyes else ""
    tone = "good" if one.outcome == "granted" else "bad" if one.outcome else "busy"
    came = [tag("strong", one.outcome or "open", class_=tone)]
    if one.closed is not None:
        came += [shown.link(one.closed), moment(one.closed_at)]
    rows: list[tuple[str, object]] = [
        ("Asked", spaced(shown.link(one.version), moment(one.asked_at), tag("span", f"by the {one.origin}"))),
        ("Of", isolated(f"{one.required} of {who}{eyes}")),
        ("Until", moment(one.deadline_at) if one.deadline_at is not None else "no deadline"),
        ("Policy", isolated(one.policy)),
    ]
    if one.reason:
        rows.append(("Because", isolated(one.reason)))
    if one.digest:
        rows.append(("Digest", tag("span", one.digest, class_="digest")))
    votes = [tag("li", *_vote(vote, shown)) for vote in one.votes[:VOTES_SHOWN]]
    if len(one.votes) > VOTES_SHOWN:
        votes.append(tag("li", f"and {len(one.votes) - VOTES_SHOWN} more"))
    rows.append(("Decisions", tag("ul", *votes) if votes else "none"))
    rows.append(("Outcome", spaced(*came)))
    return facts(rows)


def _vote(vote: Vote, shown: Shown) -> Iterator[Markup]:
    word = {"approve": "approves", "reject": "rejects"}.get(vote.decision, vote.decision)
    refused = "" if vote.counted else ", which was refused"
    yield spaced(isolated(vote.who), tag("strong", f"{word}{refused}"), shown.link(vote.version), moment(vote.at))
    if vote.reason:
        yield tag("span", ": ", isolated(vote.reason))
    if vote.controls:
        yield tag("span", "; with: ", isolated("; ".join(vote.controls)))


def people(told: Facts, shown: Shown) -> Markup:
    """What people did."""
    acts = told.report.acts
    if not acts:
        words = lacking_words(told.report, "No person acted.")
        more = "" if told.report.known_to_end else " Each event below says who caused it."
        return section("people", "Who acted", tag("p", words, more))
    columns = (Column("When (UTC)", "when"), Column("Who"), Column("What", "wide"), Column("Event", "number"))
    rows = []
    for act in acts[:ACTS_SHOWN]:
        because = [tag("span", " – ", isolated(act.why), class_="quiet")] if act.why and act.version > 1 else []
        what = joined([*_after_end(act), isolated(act.what), *because])
        rows.append((moment(act.at), isolated(act.who), what, shown.number(act.version)))
    content = [table("Who acted", columns, rows)]
    if len(acts) > ACTS_SHOWN:
        content.append(tag("p", f"The first {ACTS_SHOWN} of {len(acts)} acts; the events have all.", class_="note"))
    return section("people", "Who acted", *content)


def _after_end(one: Act | DecisionTold) -> list[Markup]:
    """What marks an act, or a decision, that came when the workflow had ended."""
    return [tag("span", "after the end: ", class_="quiet")] if one.after_end else []


# --- events ---------------------------------------------------------------------------------------------------------


def decisions_shown(decisions: Sequence[DecisionTold]) -> tuple[list[DecisionTold], list[DecisionTold]]:
    """The decisions whose events are on the page: all, or the first and the last of very many."""
    if sum(len(one.transitions) for one in decisions) <= EVENTS_SHOWN:
        return list(decisions), []
    first = _up_to(decisions, EVENTS_SHOWN // 2)
    last = _up_to(list(reversed(decisions[len(first) :])), EVENTS_SHOWN // 2)
    return first, last[::-1]


def _up_to(decisions: Sequence[DecisionTold], most: int) -> list[DecisionTold]:
    kept, count = list[DecisionTold](), 0
    for one in decisions:
        count += len(one.transitions)
        if kept and count > most:
            break
        kept.append(one)
    return kept


def events(told: Facts, begin: Sequence[DecisionTold], end: Sequence[DecisionTold], shown: Shown) -> Markup:
    """Every decision with its events; the payloads are folded, and the export beside the page has them whole."""
    texts = _Payloads(told)
    every = [one for decision in (*begin, *end) for one in decision.transitions]
    texts.reserve(one.version for one in every if one.bad)
    content = [
        tag(
            "p",
            "Each decision with its events, in order; what went wrong is marked. Payloads are folded: the JSON Lines "
            "file of this report has them whole, with their digests.",
            class_="note",
        )
    ]
    if len(every) <= EVENTS_A_GROUP:
        content.append(_decisions(begin, texts, shown))
    else:
        content += [_group(group, texts, shown) for group in _groups(begin)]
        if end:
            left_out = end[0].transitions[0].version - begin[-1].transitions[-1].version - 1
            content.append(tag("p", f"{left_out} events between are left out here: the JSON Lines file has them."))
            content += [_group(group, texts, shown) for group in _groups(end)]
    return section("events", "Events", *content)


def _groups(decisions: Sequence[DecisionTold]) -> Iterator[list[DecisionTold]]:
    group, count = list[DecisionTold](), 0
    for one in decisions:
        group.append(one)
        count += len(one.transitions)
        if count >= EVENTS_A_GROUP:
            yield group
            group, count = [], 0
    if group:
        yield group


def _group(group: Sequence[DecisionTold], texts: _Payloads, shown: Shown) -> Markup:
    first, last = group[0].transitions[0].version, group[-1].transitions[-1].version
    bad = sum(one.bad for decision in group for one in decision.transitions)
    words = f"Events {first} to {last}" + (f", {bad} of them went wrong" if bad else "")
    return tag("details", tag("summary", words), _decisions(group, texts, shown), class_="group")


def _decisions(decisions: Iterable[DecisionTold], texts: _Payloads, shown: Shown) -> Markup:
    return tag("ol", *(_decision(one, texts, shown) for one in decisions), class_="decisions")


def _decision(one: DecisionTold, texts: _Payloads, shown: Shown) -> Markup:
    actor = [tag("span", ", ", isolated(one.actor))] if one.actor else []
    cause = [tag("span", " (", isolated(one.cause), ")")] if one.cause else []
    at = tag("span", "?") if one.at is None else tag("time", f"{one.at:%Y-%m-%d %H:%M:%S.%f}"[:-3],
                                                     datetime=one.at.isoformat())  # fmt: skip
    trigger = tag("p", at, " ", *_after_end(one), isolated(one.trigger), *actor, *cause, class_="trigger")
    items = [_transition(event, one.version, texts, shown) for event in one.transitions]
    return tag("li", trigger, tag("ol", *items, class_="transitions"))


def _transition(one: Transition, decision: int, texts: _Payloads, shown: Shown) -> Markup:
    own = one.because in {None, decision} or one.because == one.version - 1
    came = [] if own or one.because is None else [tag("span", " ← ", shown.link(one.because), class_="quiet")]
    what = [tag("span", "✗ ", class_="bad")] if one.bad else []
    what.append(isolated(one.what, class_="bad trouble" if one.bad else None))
    why = [tag("span", "because: ", isolated(one.why), class_="why")] if one.why else []
    node = f"{one.event}, node {one.node}" if one.node else one.event
    body = tag("div", *what, tag("span", f" {node}", class_="quiet note"), *came, *why, *texts.folded(one.version))
    return tag("li", tag("a", one.version, href=f"#e{one.version}", class_="version"), body, id=f"e{one.version}")


class _Payloads:
    """The payloads as they stand on the page: each cut to its limit, all of them together to theirs."""

    def __init__(self, told: Facts) -> None:
        self._payloads = told.payloads
        self._reserved: dict[int, str] = {}
        self._left = PAYLOADS_CHARACTERS

    def reserve(self, versions: Iterable[int]) -> None:
        """Take the room for these first: they are what a reader looks for."""
        for version in versions:
            payload = self._payloads.get(version)
            if payload is not None and payload.text is not None:
                self._reserved[version] = self._taken(payload.text)

    def folded(self, version: int) -> Iterator[Markup]:
        """The payload of an event, folded; nothing where the event is not among what was read."""
        payload = self._payloads.get(version)
        if payload is None:
            return
        digest = tag("p", "digest ", tag("span", payload.digest, class_="digest"), class_="note")
        if payload.text is None:
            yield tag("p", f"payload of event {version}: {payload.why}", class_="note")
            return
        text = self._reserved.pop(version, None)
        text = self._taken(payload.text) if text is None else text
        size = f"{len(payload.text):,} bytes" + (", values cut out" if payload.cut else "")
        summary = tag("summary", f"payload of event {version}, {size}")
        whole = "" if not text.endswith(_CUT) else "Cut here: the JSON Lines file of this report has it whole."
        if not text:
            whole = "Left out, as the page has so many: the JSON Lines file of this report has it."
        body = [tag("pre", text.removesuffix(_CUT), tabindex="0")] if text else []
        yield tag("details", summary, *body, *([tag("p", whole, class_="note")] if whole else []), digest)

    def _taken(self, payload: bytes) -> str:
        """What of a payload is shown, and ends with a mark where that is not all; empty where there is no room left."""
        if self._left <= 0:
            return ""
        text = _readable(payload)
        if len(text) > PAYLOAD_CHARACTERS:
            text = text[:PAYLOAD_CHARACTERS] + _CUT
        self._left -= len(text)
        return text


_CUT: Final = "\n…"


def _readable(payload: bytes) -> str:
    """The payload over as many lines as it takes; as it is where it is very long, or no JSON."""
    if len(payload) <= PRETTY_BYTES:
        try:
            return json.dumps(from_json(payload), ensure_ascii=False, indent=2)
        except (ValueError, RecursionError):
            pass
    return payload[: 4 * (PAYLOAD_CHARACTERS + 1)].decode(errors="replace")
