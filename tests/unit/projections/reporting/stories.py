"""Workflows that have something of everything, for pages to be made of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from xml.etree import ElementTree as ET

from domain.definitions import Definition, Step
from domain.failures import FailureClass
from domain.plan import ref
from domain.policies import GatePolicy, RetryPolicy
from domain.ports import Definitions
from domain.recorded import RecordedEvent, from_state, to_state
from projections.exporting.reading import Exported
from projections.exporting.redaction import Redaction
from projections.exporting.rows import Row, parted
from projections.exporting.telling import Teller
from projections.replaying.reading import Elsewhere, history_of
from projections.replaying.report import build
from projections.reporting.facts import Facts, facts_of, payload_of
from projections.reporting.page import page
from tests.unit.domain.recipes import act, define, policy, reserve
from tests.unit.domain.scenario import Scenario, failure, given
from tests.unit.projections.replaying.faults import Seeded

PATIENT: Final = RetryPolicy(max_attempts=4, initial_delay=timedelta(seconds=20))

HOSTILE: Final = (
    "<script>alert(1)</script>",
    "</style></title></svg><img src=x onerror=alert(2)>",
    "\"><a href='javascript:alert(3)'>&amp;<!-- ]]>",
    "\u202egnp.exe\u2066\x00\x07\x1b[31m\x9b\ufeff\U000e0041 \ufffe",
)
"""What may be in any text that comes from outside."""


def incident_definition() -> Definition:
    """Look; screen and rate side by side; pay, which two people approve; tell."""
    return define(
        act("look", retry=PATIENT),
        Step("screen", act("screen", retry=PATIENT), after=("look",)),
        Step("rate", reserve("rate"), after=("look",)),
        Step("pay", act("pay"), after=("screen", "rate"), input={"to": ref("input.bank")}),
        Step("tell", act("tell"), after=("pay",)),
        gates=[GatePolicy(name="dear", steps=("pay",), verdict="require_approval", approval="board")],
        approvals=[policy("board", required=2, deadline=timedelta(days=7))],
        on_failure="compensate",
    )


def times(scenario: Scenario, *, waited: float, ran: float) -> dict[str, Any]:
    """The instants of an attempt that ends now."""
    started = scenario.now - timedelta(seconds=ran)
    return {
        "claimed_at": started - timedelta(seconds=waited / 2),
        "started_at": started,
        "finished_at": scenario.now,
        "worker": "worker-1",
    }


def incident(text: str = "a bank that answers late", *, goal: str = "pay the vendor") -> Scenario:
    """Two attempts that fail, a wait of three days for two people, a payment that fails, and what is undone.

    Its first cause is event 21. `text` comes from outside, wherever anything does.
    """
    bank = {"iban": "NL02ABNA0123456789", "note": text}
    one = given(incident_definition(), goal=goal, input={"bank": bank}, requested_by="rita")
    one.later(2).fails("look", failure(FailureClass.TRANSIENT, text), **times(one.later(1), waited=0.5, ran=0.5))
    one.later(25).wakes()
    one.later(1.5).ok("look", {"outcome": text, "found": [1, 2.5, None]}, **times(one, waited=0.2, ran=1.2))
    one.later(3).ok("rate", {"rating": "A"}, **times(one, waited=0.1, ran=2.5))
    one.later(1).fails("screen", failure(FailureClass.TRANSIENT, "busy"), **times(one, waited=1.0, ran=2.5))
    one.later(25).wakes()
    one.later(4).ok("screen", {"hits": 0}, **times(one, waited=0.5, ran=3.0))
    one.later(days=1).approves("pay", by="ann", reason=text)
    one.later(days=2).approves("pay", by="bob", controls=["call them first"])
    one.later(2).fails("pay", failure(message=text), **times(one, waited=0.4, ran=1.5))
    one.later(1).ok("rate", **times(one, waited=0.2, ran=0.7))
    return one


def chained(steps: int) -> Scenario:
    """A workflow of so many steps, one after the other, all well."""
    one = given(define(*(act(f"s{number:05d}") for number in range(steps))))
    for number in range(steps):
        one.later(1).ok(f"s{number:05d}", {"n": number}, **times(one, waited=0.2, ran=0.5))
    return one


def facts_for(
    history: Sequence[RecordedEvent],
    definitions: Definitions,
    *,
    rules: Sequence[str] = (),
    rows: Sequence[tuple[int, str, bytes]] | None = None,
    family: dict[str, Sequence[RecordedEvent]] | None = None,
) -> Facts:
    """What a page of this history says. `rows` are as the store has them, where that is something else."""
    stored = [(one.originator_version, one.name, to_state(one)) for one in history] if rows is None else rows
    read = history_of("wf_001", stored, from_state, position=99)
    report = build(
        read, definitions, (family or {}).get, lambda one, _: Elsewhere(one, 2, "2030", "2030-01-02T03:04:05", 99)
    )
    redaction = Redaction(rules)
    exported = Exported("wf_001", len(stored), "", b"", [parted(Row("wf_001", *row)) for row in stored])
    payloads = {one.row.version: payload_of(one) for one in Teller(redaction).events_of(exported)}
    return facts_of(report, read, payloads, redaction.rules)


def facts_of_scenario(scenario: Scenario, *, rules: Sequence[str] = ()) -> Facts:
    """What a page of this scenario says."""
    return facts_for(scenario.history, scenario.definitions, rules=rules)


def facts_of_seeded(seeded: Seeded) -> Facts:
    """What a page of a seeded fault says."""
    return facts_for(seeded.history, seeded.definitions, rows=seeded.rows(), family=seeded.family)


def page_of(facts: Facts) -> str:
    """The whole page."""
    return b"".join(page(facts)).decode()


def as_xml(text: str) -> ET.Element:
    """The text read as XML: whatever is not well-formed is an error."""
    return ET.fromstring(text)  # noqa: S314 - our own text


def texts_in(value: object) -> set[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        return {value}
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {text for part in parts for text in texts_in(part)}


def payload_texts(facts: Facts) -> set[str]:
    """Every text in the payloads that are shown."""
    return {
        text
        for payload in facts.payloads.values()
        if payload.text is not None
        for text in texts_in(json.loads(payload.text))
    }
