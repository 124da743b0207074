"""Of each kind of fault, the true first cause is named: the kind and the event that were written down beforehand."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from domain.definitions import Step
from domain.plan import ChildSpec, SignalWait, TimeWait
from domain.recorded import from_state
from domain.triggers import CancelWorkflow, Given
from projections.replaying.documents import document_of
from projections.replaying.origins import Kind
from projections.replaying.reading import history_of
from projections.replaying.report import Report, build
from projections.replaying.verdict import Word
from tests.unit.domain.recipes import act, define, policy
from tests.unit.domain.scenario import Loaded, Scenario, given
from tests.unit.projections.replaying.faults import FAULTS, Seeded


def report_of(seeded: Seeded) -> Report:
    history = history_of("wf_001", seeded.rows(), from_state)
    return build(history, seeded.definitions, seeded.family.get, lambda _, __: None)


@pytest.mark.parametrize("name", FAULTS)
def test_the_first_cause_of_a_seeded_fault_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seeded = FAULTS[name](monkeypatch)
    told = json.loads(json.dumps(document_of(report_of(seeded))))
    cause = told["first_cause"]
    assert (cause["kind"], cause["version"], cause["workflow"], cause["fault"]) == (
        seeded.kind.value,
        seeded.version,
        seeded.workflow,
        seeded.fault,
    ), (cause, [f"{one['version']} {one['what']}" for made in told["decisions"] for one in made["transitions"]])


def test_every_kind_of_cause_is_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {make(monkeypatch).kind for make in FAULTS.values()} == set(Kind)


def test_what_failed_is_told_with_its_activity_its_failure_and_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cause = report_of(FAULTS["an_activity_fails_again_and_again"](monkeypatch)).first_cause
    assert cause is not None
    assert (cause.step, cause.activity, cause.attempt, cause.also, cause.seen_at) == ("look", "look", 2, (10,), 12)
    assert cause.failure is not None
    assert cause.failure.message == "later"


def test_several_waits_are_each_told_by_their_own_beginning() -> None:
    both = define(
        Step("rest", wait_time=TimeWait(duration=timedelta(hours=1)), after=()),
        Step("news", wait_signal=SignalWait(name="news", correlation="k"), after=()),
        Step("paid", wait_signal=SignalWait(name="paid", correlation="k"), after=()),
    )
    scenario = given(both)
    report = report_of(Seeded(Kind.AWAITING_TIME, 3, scenario.history, scenario.definitions))
    told = [report.first_cause, *report.others]
    assert [(one.kind, one.version, one.step) for one in told if one is not None] == [
        (Kind.AWAITING_TIME, 3, "rest"),
        (Kind.AWAITING_SIGNAL, 4, "news"),
        (Kind.AWAITING_SIGNAL, 5, "paid"),
    ]


def test_damage_and_what_cannot_be_read_are_told_by_the_first_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded = FAULTS["an_output_was_changed"](monkeypatch)  # at event 4
    for version, first in ((3, (Kind.UNREADABLE, 3)), (6, (Kind.TAMPERED, 4))):
        cause = report_of(replace(seeded, topics={version: "StepPonder@7"})).first_cause
        assert cause is not None
        assert (cause.kind, cause.version) == first
        assert cause.event in {"StepPonder@7", "StepSucceeded"}


def test_a_fault_comes_before_a_wait_and_the_present_hold_before_what_began_it(monkeypatch: pytest.MonkeyPatch) -> None:
    report = report_of(FAULTS["undoing_fails"](monkeypatch))
    assert [(one.kind, one.version) for one in report.others] == [(Kind.ACTIVITY_FAILED, 6)]
    side_by_side = define(
        Step("ask", act("ask"), after=(), approval="default"),
        Step("look", act("look"), after=()),
        approvals=[policy("default")],
        on_failure="intervene",
    )
    scenario = given(side_by_side).fails("look")
    report = report_of(Seeded(Kind.ACTIVITY_FAILED, 5, scenario.history, scenario.definitions))
    assert report.first_cause is not None
    assert report.first_cause.kind is Kind.ACTIVITY_FAILED
    assert [one.kind for one in report.others] == [Kind.AWAITING_APPROVAL]


def test_several_failures_are_each_told_by_their_own_cause() -> None:
    both = define(Step("left", act("left"), after=()), Step("right", act("right"), after=()), on_failure="intervene")
    scenario = given(both).fails("left").fails("right")
    report = report_of(Seeded(Kind.ACTIVITY_FAILED, 5, scenario.history, scenario.definitions))
    told = [report.first_cause, *report.others]
    assert [(one.version, one.step, one.activity, one.seen_at) for one in told if one is not None] == [
        (5, "left", "left", 7),
        (8, "right", "right", 10),
    ]


def test_a_family_whose_members_blame_one_another_is_followed_once() -> None:
    family = define(Step("enrol", child=ChildSpec(definition="test")), act("tell"))
    outer = given(family).child_ends("enrol", "cancelled", reason="its parent is stopping")
    inner = Scenario(define(act("look")), "wf_001.enrol").started(parent_workflow="wf_001", parent_step="enrol")
    trigger = CancelWorkflow(by="handrail", reason="its parent is stopping")
    asked = Given(trigger, inner.now, "wf_001/6", "handrail")
    history = [*inner.history, *inner.workflow.handle(asked, inner.definition).events]
    seeded = Seeded(Kind.CANCELLED, 4, outer.history, outer.definitions, family={"wf_001.enrol": history})
    seeded.family["wf_001"] = outer.history
    cause = report_of(seeded).first_cause
    assert cause is not None
    assert (cause.kind, cause.workflow, cause.version, cause.seen_at) == (Kind.CANCELLED, "wf_001.enrol", 4, 6)


def test_what_another_engine_decided_is_no_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as older:
        older.setattr("domain.recorded.ENGINE", "0")
        history = given(define(act("look"), name="test")).ok("look").history
    other = Loaded({("test", "1"): define(act("look"), act("tell"))})
    report = report_of(Seeded(Kind.PAUSED, 0, history, other))
    assert (report.verdict.word, report.verdict.version, report.verdict.engine) == (Word.OTHER_ENGINE, 2, "0")
    assert (report.first_cause, report.others) == (None, ())
