"""Other policies on stored histories: each kind of change is told at its event, and what changes nothing is none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.cli.whatif import FORMAT
from deploy.opened import open_store
from domain.chain import seal
from domain.definitions import Definition, Step
from domain.errors import PayloadWithheld
from domain.policies import Condition, GatePolicy, Predicate
from domain.recorded import RecordedEvent, record, stamp
from domain.store.application import WorkflowStore
from projections.replaying.whatif import NOT_LOADED, NOT_READ, OTHERWISE, UNFIT, UNKNOWN, WITHHELD, Asked, WhatIf
from projections.replaying.whatif_changes import CHANGES
from projections.replaying.whatif_policies import OtherPolicies, PolicyDocument
from tests.unit.domain.recipes import act, define, policy, reserve
from tests.unit.domain.scenario import TRANSIENT, Loaded, Scenario
from tests.unit.projections.replaying.faults import changed
from tests.unit.projections.replaying.test_checking import put

HOURS = {"deadline": timedelta(hours=4)}
APPROVED = define(
    act("look"), Step("sign", reserve("sign"), approval="board"), approvals=[policy("board", **HOURS)], name="approved"
)
ODD = Predicate("odd", "1", lambda given: bool(given.get("odd")))
LARGE = GatePolicy(
    name="large", when=(Condition(path="amount", op=">", value=10),), verdict="require_approval", approval="board"
)
GATED = define(act("look"), gates=[LARGE], approvals=[policy("board"), policy("owner")], name="gated")
DENYING = define(act("look"), gates=[GatePolicy(name="none", verdict="deny", reason="no")], name="denying")
ASKED_CODE = define(
    act("look"), gates=[GatePolicy(name="odd", predicate="odd", verdict="deny")], predicates=[ODD], name="asked code"
)
COMPUTED = define(
    Step("look", act("look"), input=lambda view: {"amount": view["input"]["amount"]}),
    gates=[GatePolicy(name="none", verdict="deny")],
    name="computed",
)
RETRIED = define(act("look"), reserve(), name="retried")
KNOWN = Loaded({(one.name, one.version): one for one in (APPROVED, GATED, DENYING, ASKED_CODE, COMPUTED, RETRIED)})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[WorkflowStore]:
    opened = open_store(tmp_path, Loaded())
    yield opened
    opened.close()


def ask(store: WorkflowStore, document: Mapping[str, Any], definitions: Loaded = KNOWN) -> list[Asked]:
    policies = OtherPolicies(document, definitions.known.values(), "file")
    asking = WhatIf(store.reading, store.mapper.read, definitions, policies)
    asked = list(asking.over_all(lambda _: True))
    assert list(asking.over([one.workflow for one in asked])) == asked
    return asked


def told(store: WorkflowStore, document: Mapping[str, Any], definitions: Loaded = KNOWN) -> Any:
    (asked,) = ask(store, document, definitions)
    assert not asked.unjudged, asked.why
    change = asked.change
    return None if change is None else (change.kind, change.version, change.step)


def begun(definition: Definition, **given: Any) -> Scenario:
    return Scenario(definition).started(input=given)


def asked_for() -> Scenario:
    """A workflow whose step `sign` waits for the board; the request is event 5."""
    return begun(APPROVED).ok("look")


HISTORIES: dict[str, Scenario] = {
    "granted": asked_for().later(hours=1).approves("sign"),
    "refused": asked_for().approves("sign", "eve").approves("sign", "bob"),
    "refused to whom it is for": asked_for().approves("sign", "rita").approves("sign"),
    "rejected": asked_for().rejects("sign"),
    "two for": asked_for().approves("sign", "ann"),
    "expired": asked_for().later(hours=4).wakes(),
    "granted under conditions": asked_for().approves("sign", controls=("be careful",)),
    "small": begun(GATED, amount=5).ok("look"),
    "large": begun(GATED, amount=50).approves("look"),
    "denied": begun(DENYING),
    "even": begun(ASKED_CODE, odd=False),
    "odd": begun(ASKED_CODE, odd=True),
    "given up": begun(RETRIED).fails("look", TRANSIENT).later(10).wakes().fails("look", TRANSIENT),
    "tried again": begun(RETRIED).fails("look", TRANSIENT).later(10).wakes().ok("look"),
}


def board(**parts: Any) -> dict[str, Any]:
    return {"approvals": {"board": parts}}


def look(**parts: Any) -> dict[str, Any]:
    return {"activities": {"look": {"retry": parts}}}


@pytest.mark.parametrize(
    ("history", "document", "expected"),
    [
        ("granted", board(required=2), ("approval_needs_more", 7, "sign")),
        ("granted", board(approvers=["bob"]), ("vote_refused", 6, "sign")),
        ("granted", board(deadline="30m"), ("approval_expires", 6, "sign")),
        ("granted", board(escalate_after="30m", escalate_to=["zoe"]), ("approval_escalates", 6, "sign")),
        ("granted", board(proposed_controls=["twice"]), ("approval_controls", 7, "sign")),
        ("granted", board(deadline="61m", rejections=2, approvers=["ann"], on_expiry="intervene"), None),
        ("granted under conditions", board(proposed_controls=["twice"]), None),
        ("refused", board(approvers=["eve", "bob"]), ("vote_counts", 6, "sign")),
        ("refused", board(approvers=["bob", "zoe"]), None),
        ("refused to whom it is for", board(approvers=["rita", "ann"], four_eyes=True), None),
        ("refused to whom it is for", board(approvers=["rita", "ann"]), ("vote_counts", 6, "sign")),
        ("rejected", board(rejections=2), ("rejection_needs_more", 7, "sign")),
        ("expired", board(deadline="5h"), ("approval_stays_open", 6, "sign")),
        ("expired", board(deadline=7_200), ("approval_expires", 6, "sign")),
        ("expired", board(on_expiry="grant"), ("approval_expires_otherwise", 6, "sign")),
        ("small", {"gates": {"large": {"when": []}}}, ("gate_asks", 3, "look")),
        ("small", {"gates": {"large": {"when": [], "verdict": "deny"}}}, ("gate_denies", 3, "look")),
        ("small", {"gates": {"large": {"reason": "other words"}}}, None),
        ("small", {"without_gates": ["large"]}, None),
        ("small", {"new_gates": {"all": {"verdict": "deny", "steps": ["look"]}}}, ("gate_denies", 3, "look")),
        ("small", {"new_gates": {"all": {"verdict": "deny", "steps": ["elsewhere"]}}}, None),
        ("large", {"gates": {"large": {"verdict": "deny"}}}, ("gate_denies", 3, "look")),
        ("large", {"gates": {"large": {"verdict": "allow"}}}, ("gate_opens", 3, "look")),
        ("large", {"gates": {"large": {"approval": "owner"}}}, ("gate_asks_others", 3, "look")),
        ("large", {"gates": {"large": {"approval": None}}}, None),
        ("large", {"without_gates": ["large"]}, ("gate_opens", 3, "look")),
        ("large", {"without_gates": ["*"]}, ("gate_opens", 3, "look")),
        ("denied", {"gates": {"none": {"verdict": "allow"}}}, ("gate_opens", 3, "look")),
        ("odd", {"gates": {"odd": {"verdict": "allow"}}}, ("gate_opens", 3, "look")),
        ("even", {"gates": {"odd": {"predicate": None}}}, ("gate_denies", 3, "look")),
        ("even", {"gates": {"odd": {"reason": "other words"}}}, None),
        ("tried again", look(max_attempts=1), ("retry_stops", 5, "look")),
        ("tried again", look(initial_delay=5), ("retry_waits_otherwise", 5, "look")),
        ("tried again", look(deadline="1s", initial_delay="2s"), ("retry_stops", 5, "look")),
        ("tried again", look(max_attempts=9), None),
        ("given up", look(max_attempts=3), ("retry_goes_on", 8, "look")),
        ("given up", {"activities": {"*": {"retry": {"max_attempts": 3}}}}, ("retry_goes_on", 8, "look")),
        ("given up", {"steps": {"look": {"retry": {"max_attempts": 3}}}}, ("retry_goes_on", 8, "look")),
        ("given up", {"steps": {"reserve": {"retry": {"max_attempts": 3}}}}, None),
        (
            "given up",
            {**look(max_attempts=3), "definitions": {"Retried": look(max_attempts=2)}},
            None,
        ),
    ],
)  # fmt: skip
def test_each_kind_of_change_is_told_where_it_first_shows(
    store: WorkflowStore, history: str, document: Mapping[str, Any], expected: Any
) -> None:
    put(store, HISTORIES[history].history)
    assert told(store, document) == expected


def test_fewer_votes_grant_earlier_and_fewer_rejections_reject_earlier(store: WorkflowStore) -> None:
    strict = define(
        Step("sign", reserve("sign"), approval="board"),
        approvals=[policy("board", required=2, rejections=2, **HOURS)],
        name="strict",
    )
    known = Loaded({("strict", "1"): strict})
    put(store, Scenario(strict, "wf_1").started().approves("sign").approves("sign", "bob").history)
    put(store, Scenario(strict, "wf_2").started().rejects("sign").history)
    granted, rejected = ask(store, board(required=1, rejections=1), known)
    assert granted.change is not None
    assert rejected.change is not None
    assert (granted.change.kind, granted.change.version) == ("approval_granted_earlier", 5)
    assert (rejected.change.kind, rejected.change.version) == ("approval_rejected_earlier", 5)


def test_four_eyes_would_refuse_who_asked_for_it(store: WorkflowStore) -> None:
    put(store, asked_for().history)
    scenario = Scenario(APPROVED, "wf_002").started(requested_by="ann").ok("look").approves("sign")
    put(store, scenario.history)
    open_one, granted = ask(store, board(four_eyes=True))
    assert open_one.change is None
    assert granted.change is not None
    assert granted.change.kind == "vote_refused"
    assert "four eyes" in granted.change.decided


def test_an_escalation_would_come_earlier_later_or_never(store: WorkflowStore) -> None:
    escalating = define(
        Step("sign", reserve("sign"), approval="board"),
        approvals=[policy("board", escalate_after=timedelta(hours=1), escalate_to=("zoe",), **HOURS)],
        name="escalating",
    )
    known = Loaded({("escalating", "1"): escalating})
    put(store, Scenario(escalating).started().later(hours=1).wakes().approves("sign", "zoe").history)
    assert told(store, board(escalate_after="2h"), known) == ("approval_not_escalated", 4, "sign")
    assert told(store, board(escalate_after=None), known) == ("approval_not_escalated", 4, "sign")
    assert told(store, board(escalate_to=["zoe", "max"]), known) == ("other", 4, "sign")


def test_what_waits_would_have_expired_by_the_instant_of_the_newest_event(store: WorkflowStore) -> None:
    put(store, asked_for().history)
    assert told(store, board(deadline="1h")) is None
    put(store, Scenario(RETRIED, "wf_002").later(hours=2).started().history)
    expired = {one.workflow: one.change for one in ask(store, board(deadline="1h"))}["wf_001"]
    assert expired is not None
    assert (expired.kind, expired.version, expired.at) == ("approval_expires", 6, "2030-01-01T13:00:00Z")
    assert {one.workflow: one.change for one in ask(store, board(deadline="3h"))}["wf_001"] is None
    escalated = ask(store, board(escalate_after="1h", escalate_to=["zoe"]))[0].change
    assert escalated is not None
    assert escalated.kind == "approval_escalates"


def test_what_should_have_expired_anyway_is_no_change(store: WorkflowStore) -> None:
    put(store, asked_for().history, Scenario(RETRIED, "wf_002").later(hours=5).started().history)
    assert [one.change for one in ask(store, board(deadline="3h"))] == [None]


def test_only_what_the_policies_concern_is_asked(store: WorkflowStore) -> None:
    put(store, HISTORIES["granted"].history, Scenario(RETRIED, "wf_002").started().history)
    policies = OtherPolicies(board(required=2), KNOWN.known.values(), "file")
    asking = WhatIf(store.reading, store.mapper.read, KNOWN, policies)
    assert [one.workflow for one in asking.over_all(lambda _: True)] == ["wf_001"]
    assert [(one.workflow, one.change is None) for one in asking.over(["wf_002", "wf_001"])] == [
        ("wf_002", True),
        ("wf_001", False),
    ]


# --- of which nothing can be said -----------------------------------------------------------------------------------


def why_not(store: WorkflowStore, document: Mapping[str, Any], definitions: Loaded = KNOWN) -> tuple[str, str]:
    (asked,) = ask(store, document, definitions)
    assert asked.change is None
    return asked.unjudged, asked.why


def test_a_definition_that_is_not_loaded_cannot_be_asked(store: WorkflowStore) -> None:
    put(store, HISTORIES["granted"].history)
    other = Loaded({("gated", "1"): GATED})
    assert why_not(store, board(required=2), other)[0] == NOT_LOADED
    assert ask(store, {"definitions": {"gated": board(required=2)}}, other) == []


def test_a_damaged_record_cannot_be_asked(store: WorkflowStore) -> None:
    put(store, changed(HISTORIES["granted"].history, 3, b'"activity":"look"', b'"activity":"lock"'))
    assert why_not(store, board(required=2))[0] == NOT_READ


def test_what_is_withheld_is_no_damage(store: WorkflowStore) -> None:
    put(store, HISTORIES["granted"].history)

    def decode(workflow_id: str, version: int, topic: str, state: bytes) -> RecordedEvent:
        if version == 4:
            raise PayloadWithheld("erased", workflow_id=workflow_id, version=version)
        return store.mapper.read(workflow_id, version, topic, state)

    policies = OtherPolicies(board(required=2), KNOWN.known.values(), "file")
    (asked,) = WhatIf(store.reading, decode, KNOWN, policies).over(["wf_001"])
    assert (asked.change, asked.unjudged) == (None, WITHHELD)


def test_what_is_decided_otherwise_already_is_not_blamed_on_the_policies(store: WorkflowStore) -> None:
    put(store, HISTORIES["granted"].history)
    other = define(
        act("look"), Step("sign", reserve("sign", queue="away"), approval="board"), approvals=[policy("board")],
        name="approved",
    )  # fmt: skip
    unjudged, why = why_not(store, board(required=2), Loaded({("approved", "1"): other}))
    assert unjudged == OTHERWISE
    assert "event 5" in why


def test_an_input_that_is_not_in_the_record_cannot_be_looked_at(store: WorkflowStore) -> None:
    put(store, begun(COMPUTED, amount=5).history)
    condition = {"path": "amount", "op": ">", "value": 10}
    unjudged, why = why_not(store, {"gates": {"none": {"when": [condition]}}})
    assert unjudged == UNKNOWN
    assert "the record lacks" in why
    assert told(store, {"gates": {"none": {"verdict": "allow"}}}) == ("gate_opens", 3, "look")


def test_an_input_that_was_cut_out_cannot_be_looked_at(store: WorkflowStore) -> None:
    history: list[RecordedEvent] = []
    for one in HISTORIES["small"].history:
        given = getattr(one.event, "input", None)
        event = one.event.model_copy(update={"input": {"amount": seal(5, b"salt")}}) if given else one.event
        stamped = stamp(one.originator_id, one.timestamp, one.cause, one.actor, one.decision)
        history.append(record(event, stamped, one.originator_version, history[-1].digest if history else "0" * 64))
    put(store, history)
    condition = {"path": "amount", "op": ">", "value": 1}
    unjudged, why = why_not(store, {"gates": {"large": {"when": [condition]}}})
    assert (unjudged, "cut out" in why) == (UNKNOWN, True)


def test_a_predicate_that_says_something_else_than_it_did_is_not_believed(store: WorkflowStore) -> None:
    put(store, HISTORIES["odd"].history)
    other = define(
        act("look"), gates=[GatePolicy(name="odd", predicate="odd", verdict="deny")],
        predicates=[Predicate("odd", "1", lambda _: False)], name="asked code",
    )  # fmt: skip
    unjudged, why = why_not(store, {"gates": {"odd": {"verdict": "allow"}}}, Loaded({("asked code", "1"): other}))
    assert (unjudged, "predicate odd says something else" in why) == (UNKNOWN, True)


def test_a_predicate_that_a_version_lacks_cannot_be_asked(store: WorkflowStore) -> None:
    older = define(act("look"), name="asked code", version="0")
    known = Loaded({("asked code", "0"): older, ("asked code", "1"): ASKED_CODE})
    put(store, Scenario(older).started().history)
    document = {"definitions": {"asked code": {"new_gates": {"also": {"predicate": "odd", "verdict": "deny"}}}}}
    unjudged, why = why_not(store, document, known)
    assert (unjudged, "unknown predicate 'odd'" in why) == (UNFIT, True)


def test_a_predicate_that_fails_fails_the_step(store: WorkflowStore) -> None:
    failing = define(
        act("look"), predicates=[Predicate("broken", "1", lambda given: given["absent"] is None)], name="failing"
    )
    put(store, Scenario(failing).started().history)
    document = {"new_gates": {"also": {"predicate": "broken", "verdict": "deny"}}}
    assert told(store, document, Loaded({("failing", "1"): failing})) == ("gate_fails", 3, "look")


def test_every_kind_of_change_and_every_cause_is_explained() -> None:
    page = (Path(__file__).resolve().parents[4] / "deploy" / "docs" / "whatif.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([^`]+)`", page))
    assert {*CHANGES, NOT_LOADED, NOT_READ, OTHERWISE, UNFIT, UNKNOWN, WITHHELD, FORMAT} <= named
    tables = {re.sub(r"\W.*", "", name) for name in named}
    assert set(PolicyDocument.model_fields) <= tables
