"""A report without what the rules of a redaction meet: of such an event only that it happened, when and through whom.

Payloads are shown as an export shows them. What a report says in words it took from payloads, so that the words of
each event that is withheld or cut are left out too, and with them what was computed from several events or from other
workflows: how it differs, and how it parts from another run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from domain.errors import InputInvalid
from domain.recorded import RecordedEvent
from domain.state import TERMINAL
from projections.exporting.redaction import Redaction
from projections.replaying.counting import AS_NUMBERED, Counts
from projections.replaying.origins import Cause
from projections.replaying.report import Link, Report
from projections.replaying.timeline import Transition
from projections.replaying.verdict import Verdict
from projections.replaying.words import Said, said
from projections.reporting.facts import Facts, Payload, Round

NOT_SHOWN: Final = "not shown (redacted)"

_NAMES: Final = {
    "definition": "d",
    "definition_version": "1",
    "step": "s",
    "activity": "a",
    "steps": [{"id": "s", "activity": "a", "after": ["s"]}],
}
"""Members of payloads that a report cannot do without."""


def check_rules(redaction: Redaction) -> None:
    """Raise InputInvalid where the rules meet the names that a report is made of."""
    if redaction.show(json.dumps(_NAMES).encode(), b"", 0).payload is None:
        raise InputInvalid(
            "--redact: the rules leave out the names of steps, activities or the definition, without which there is "
            "no report; use `handrail export --format jsonl`"
        )


def covered(facts: Facts) -> Facts:
    """The facts without what the rules meet; the same where there are none."""
    if not facts.rules:
        return facts
    hidden = hidden_in(facts.payloads)
    report = facts.report
    first = report.first_cause
    told = None if first is None else _cause(first, report.workflow, hidden)
    report = replace(
        report,
        goal=NOT_SHOWN if 1 in hidden else report.goal,
        reason=NOT_SHOWN if report.reason and _ended(report) in hidden else report.reason,
        first_cause=told,
        elsewhere=report.elsewhere if told is not None and told.failure is not None else None,
        others=tuple(_cause(cause, report.workflow, hidden) for cause in report.others),
        beside=None,
        chain=tuple(_link(link, report.workflow, hidden) for link in report.chain),
        verdict=_verdict(report.verdict),
        attempts=tuple(
            replace(one, failure=NOT_SHOWN if one.failure else None, fingerprint=None) if one.ended in hidden else one
            for one in report.attempts
        ),
        acts=tuple(replace(act, what=NOT_SHOWN, why="") if act.version in hidden else act for act in report.acts),
        decisions=tuple(
            replace(decision, transitions=tuple(_transition(one, hidden) for one in decision.transitions))
            for decision in report.decisions
        ),
    )
    return replace(facts, report=report, approvals=tuple(_round(one, hidden) for one in facts.approvals))


def hidden_in(payloads: Mapping[int, Payload]) -> frozenset[int]:
    """The events of which not all is shown."""
    return frozenset(version for version, payload in payloads.items() if payload.text is None or payload.cut)


def teller(hidden: frozenset[int], counts: Counts = AS_NUMBERED) -> Callable[[RecordedEvent], Said]:
    """Says what events say, but for those that are hidden; `counts` as in `said`."""
    return lambda one: Said(f"{one.name}: {NOT_SHOWN}") if one.originator_version in hidden else said(one, counts)


def _ended(report: Report) -> int:
    """The event that ended the workflow, which has the reason."""
    ends = {f"Workflow{status.value.capitalize()}" for status in TERMINAL}
    return next(
        (
            one.version
            for decision in reversed(report.decisions)
            for one in reversed(decision.transitions)
            if one.event.partition("@")[0] in ends
        ),
        0,
    )


def _cause(cause: Cause, workflow: str, hidden: frozenset[int]) -> Cause:
    """What else is known of it may come from another workflow, of whose payloads nothing is known here."""
    if cause.workflow == workflow and cause.version not in hidden and cause.seen_at not in hidden:
        return cause
    return replace(cause, words=NOT_SHOWN, why="", failure=None)


def _link(link: Link, workflow: str, hidden: frozenset[int]) -> Link:
    if link.workflow == workflow and link.version not in hidden:
        return link
    return replace(link, what=f"{link.event}: {NOT_SHOWN}")


def _verdict(verdict: Verdict) -> Verdict:
    """Where the code decides otherwise, but not what: that is computed from all that came before."""
    differences = tuple(replace(one, recorded=NOT_SHOWN, decided=NOT_SHOWN) for one in verdict.differences)
    expected, found = (NOT_SHOWN if text else "" for text in (verdict.expected, verdict.found))
    return replace(verdict, differences=differences, expected=expected, found=found)


def _transition(one: Transition, hidden: frozenset[int]) -> Transition:
    if one.version not in hidden:
        return one
    return replace(one, what=f"{one.event}{f' ({one.step})' if one.step else ''}: {NOT_SHOWN}", why="")


def _round(one: Round, hidden: frozenset[int]) -> Round:
    votes = [vote._replace(reason="", controls=()) if vote.version in hidden else vote for vote in one.votes]
    if one.version not in hidden:
        return replace(one, votes=votes)
    return replace(one, votes=votes, reason="", digest="", policy=NOT_SHOWN)
