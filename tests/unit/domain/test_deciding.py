"""Decide may refuse, apply may not; deciding is deterministic and can be done again from the record alone."""

from __future__ import annotations

import types
import typing
from datetime import timedelta

import pytest
from pydantic import BaseModel

from domain import events as e
from domain.errors import WorkflowConflict, WorkflowUnknown
from domain.evolve import EVOLVE
from domain.recorded import record, stamp
from domain.replay import decide_again
from domain.state import Status
from domain.triggers import TRIGGERS, Given, LapseAttempt, RecordOutcome, StartWorkflow, Wake
from domain.workflow import Workflow
from tests.unit.domain.recipes import act, define, reserve
from tests.unit.domain.scenario import BEGINNING, ID, PERMANENT, TRANSIENT, Scenario, given


def test_a_goal_becomes_a_plan_and_the_first_attempt() -> None:
    scenario = given(define(act("look"), act("tell")), goal="find out", input={"what": "it"})
    scenario.then(e.WorkflowStarted, e.PlanProposed, e.StepScheduled).status_is(Status.EXECUTING)
    assert scenario.event(e.StepScheduled).input == {"what": "it"}


def test_a_workflow_whose_steps_are_all_ok_is_completed() -> None:
    scenario = given(define(act("look"), act("tell"))).ok("look", {"found": 1}).ok("tell", {"told": 1})
    scenario.then(e.StepSucceeded, e.WorkflowCompleted).status_is(Status.COMPLETED)
    assert scenario.event(e.WorkflowCompleted).output == {"told": 1}


@pytest.mark.parametrize("kind", [kind for kind in TRIGGERS if kind.__name__ not in {"StartWorkflow", "ForkWorkflow"}])
def test_an_unknown_workflow_decides_on_nothing_but_a_beginning(kind: type) -> None:
    parts = {name: _example(field) for name, field in kind.model_fields.items() if field.is_required()}  # type: ignore[attr-defined]
    scenario = Scenario(define(act("look")))
    with pytest.raises(WorkflowUnknown, match="wf_001"):
        scenario.when(kind(**parts))


def _example(field: typing.Any) -> typing.Any:
    if typing.get_origin(field.annotation) is typing.Literal:
        return typing.get_args(field.annotation)[0]
    return {str: "x", int: 1, bool: True}.get(field.annotation)


def test_the_same_goal_again_is_ignored() -> None:
    given(define(act("look"))).started().then_ignored("already started")


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        ({"goal": "another"}, "another goal: 'goal', not 'another'"),
        ({"input": {"n": 2}}, "another input"),
        ({"parent_workflow": "wf_002"}, "another parent"),
    ],
)
def test_another_goal_for_an_existing_workflow_is_a_conflict_that_names_the_difference(
    difference: dict[str, typing.Any], words: str
) -> None:
    scenario = given(define(act("look")))
    with pytest.raises(WorkflowConflict, match=words):
        scenario.started(**difference)


def test_a_conflict_changes_nothing_even_where_something_has_fallen_due() -> None:
    scenario = given(define(act("look"), deadline=timedelta(minutes=1))).later(minutes=2)
    version = scenario.state.version
    with pytest.raises(WorkflowConflict):
        scenario.started("another")
    assert scenario.state.version == version


def test_the_same_goal_again_still_decides_what_fell_due_and_says_on_what() -> None:
    scenario = given(define(act("look"), deadline=timedelta(minutes=1))).left_open().later(minutes=2).started()
    scenario.then(e.StoppingBegan, e.WorkflowFailed)
    assert scenario.event(e.StoppingBegan).trigger is not None


def test_an_outcome_that_comes_twice_counts_once() -> None:
    scenario = given(define(act("look"), act("tell"))).ok("look", attempt=1)
    scenario.ok("look", attempt=1).then_ignored("its end is recorded")
    scenario.fails("look", attempt=1).then_ignored("its end is recorded")


def test_the_end_of_an_attempt_that_never_was_is_ignored() -> None:
    scenario = given(define(act("look")))
    scenario.ok("look", attempt=7).then_ignored("its end is recorded")
    scenario.when(LapseAttempt(step="look", kind="probe", attempt=1)).then_ignored("its end is recorded")
    scenario.when(RecordOutcome(step="nobody", kind="run", attempt=1, status="ok")).then_ignored("its end is recorded")


def test_apply_never_refuses_what_decide_would() -> None:
    workflow = Workflow(ID)
    fact = e.WorkflowCompleted(output=1)
    workflow.apply(record(fact, stamp(ID, BEGINNING, "cause", "actor", 1), 1, workflow.state.head))
    assert workflow.state.status is Status.COMPLETED


def test_every_event_is_applied_by_one_function() -> None:
    assert set(EVOLVE) == set(e.STORED.values())


def test_the_same_triggers_give_the_same_bytes() -> None:
    def once_more() -> list[bytes]:
        scenario = (
            given(define(act("look"), reserve())).fails("look", TRANSIENT).later(60).wakes().ok("look").fails("reserve")
        )
        return [one.payload + one.header for one in scenario.history]

    assert once_more() == once_more()


def test_what_is_not_said_by_the_first_event_is_kept_as_its_trigger() -> None:
    scenario = given(define(act("look"), act("tell")))
    assert scenario.history[0].event.trigger is None, "a beginning says all that its trigger said"
    scenario.ok("look")
    assert scenario.event(e.StepSucceeded).trigger is None, "and so does a success"
    scenario.fails("tell", TRANSIENT)
    assert scenario.event(e.AttemptFailed).trigger is not None
    assert scenario.event(e.RetryScheduled).trigger is None, "only the first event of a decision carries it"


def test_author_code_is_not_run_when_a_decision_is_made_again() -> None:
    calls: list[str] = []

    def author(view: typing.Mapping[str, typing.Any]) -> dict[str, typing.Any]:
        calls.append(view["goal"])
        return {"n": len(calls)}

    from domain.definitions import Step  # noqa: PLC0415 - beside the one test that needs a step with a function

    scenario = given(define(Step("look", act("look"), input=author))).ok("look")
    assert len(calls) == 1
    assert decide_again(scenario.history, scenario.definitions) is None
    assert len(calls) == 1
    assert scenario.events(e.StepScheduled)[0].input == {"n": 1}


def test_all_events_of_a_decision_share_time_cause_and_first_version() -> None:
    scenario = given(define(act("look"))).later(5).fails("look", PERMANENT)
    headers = {(one.timestamp, one.cause, one.decision) for one in scenario.last.events}
    assert headers == {(scenario.now, "cause-2", 4)}


def _models(kind: type[BaseModel]) -> typing.Iterator[type[BaseModel]]:
    yield kind
    for field in kind.model_fields.values():
        for part in _parts(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel) and part is not kind:
                yield from _models(part)


def _parts(annotation: typing.Any) -> typing.Iterator[typing.Any]:
    yield annotation
    for part in typing.get_args(annotation):
        yield from _parts(part)


@pytest.mark.parametrize("kind", e.STORED.values(), ids=lambda kind: kind.stored_name)
def test_no_event_can_be_written_that_cannot_be_read_back(kind: type[e.Event]) -> None:
    """Null fields are left out when an event is written, so each must be null when it is left out."""
    for model in _models(kind):
        for name, field in model.model_fields.items():
            if types.NoneType in typing.get_args(field.annotation) or field.annotation is typing.Any:
                assert not field.is_required(), f"{model.__name__}.{name}"


def test_a_spent_request_does_not_hide_in_a_wake() -> None:
    scenario = given(define(act("look")))
    scenario.wakes().then()
    assert scenario.workflow.handle(Given(Wake(), BEGINNING, "c", "a"), scenario.definition).events == ()


def test_a_start_names_the_version_that_it_stays_on() -> None:
    scenario = Scenario(define(act("look"), version="2"))
    scenario.when(StartWorkflow(goal="g", definition="test", definition_version="2", requested_by="rita"))
    assert (scenario.state.definition, scenario.state.definition_version) == ("test", "2")
