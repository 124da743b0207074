"""How a workflow's beginning and its plans change the state."""

from __future__ import annotations

from datetime import datetime

from domain import events as e
from domain.evolution.moves import close_waits, end_live
from domain.failures import FailureClass, make_failure
from domain.ids import ARTIFACT_STEP, PLAN_STEP
from domain.plan import PlannedStep
from domain.state import STATE, State, StepState, StepStatus


def workflow_started(state: State, event: e.WorkflowStarted, at: datetime) -> None:
    state.goal = event.goal
    state.definition = event.definition
    state.definition_version = event.definition_version
    state.input = event.input
    state.requested_by = event.requested_by
    state.tags = dict(event.tags)
    state.deadline_at = event.deadline_at
    state.parent_workflow = event.parent_workflow
    state.parent_step = event.parent_step
    state.epoch = event.epoch or 1
    state.doubted = bool(event.doubted)
    state.started_at = at
    if event.deadline_at is not None:
        state.dues["deadline:"] = event.deadline_at


def workflow_forked(state: State, event: e.WorkflowForked, at: datetime) -> None:
    """Take the source's folded state over; what was open at the cut returns to planned, effects stay the source's."""
    source = STATE.validate_python(event.state)
    for name in State.__dataclass_fields__:
        if name not in {"workflow_id", "version", "head", "forks"}:
            setattr(state, name, getattr(source, name))
    if source.requested_by not in state.asked_before:
        state.asked_before.append(source.requested_by)
    state.requested_by = event.requested_by
    state.forked_from, state.forked_at = event.source, event.source_version
    state.input = source.input if event.input is None else event.input
    state.epoch, state.doubted = event.epoch or 1, False
    state.started_at = at
    state.attempts = state.budget_extra = 0
    state.artifacts, state.artifact_done = {}, False
    state.parent_workflow = state.parent_step = None
    state.live, state.waits, state.ballots, state.undecided, state.dues = {}, {}, {}, {}, {}
    state.effects, state.lapsed, state.pivot_passed = {}, {}, False
    state.paused, state.stopping, state.compensating, state.undoing = False, None, False, None
    state.ended, state.ended_reason, state.ended_at, state.finalizing = None, "", None, False
    state.ready = {}
    state.deadline_at = event.deadline_at
    if event.deadline_at is not None:
        state.dues["deadline:"] = event.deadline_at
    if state.steps.pop(PLAN_STEP, None) is not None:
        state.planning = True
        state.plan_round -= 1
    state.steps.pop(ARTIFACT_STEP, None)
    for step in state.steps.values():
        _plan_anew(state, step, keep_input=event.input is None)
    state.controls = list(dict.fromkeys(control for grant in state.grants.values() for control in grant.controls))


def _plan_anew(state: State, step: StepState, *, keep_input: bool) -> None:
    """Nothing has happened to the step; only an input that a person gave it stays, as far as the fork's is the same."""
    if step.generation == 1 or step.child is not None or not keep_input:
        step.input = None
    step.status, step.live, step.undecided, step.heard = StepStatus.PLANNED, None, None, None
    step.tries = step.lapses = step.probe_tries = step.rounds = 0
    step.cleared = 0
    step.gate = step.granted_digest = step.unknown_attempt = step.first_scheduled_at = step.child = None
    step.gate_approval, step.gate_reason, step.last_failure = None, "", None
    state.grants.pop(step.id, None)
    if step.needs == 0:
        state.ready[step.id] = None


def fork_taken(state: State, event: e.ForkTaken, _: datetime) -> None:
    state.forks[event.fork] = event.version


def plan_requested(state: State, event: e.PlanRequested, _: datetime) -> None:
    state.plan_round = event.round
    state.planning = True
    state.steps[PLAN_STEP] = StepState(PLAN_STEP, -1, None)


def plan_proposed(state: State, event: e.PlanProposed, _: datetime) -> None:
    end_live(state, PLAN_STEP)
    close_waits(state, PLAN_STEP)
    state.steps.pop(PLAN_STEP, None)
    state.plan_round = event.round
    state.plan_final = event.final
    state.planning = False
    for planned in event.steps:
        _add_step(state, planned)
    for planned in event.steps:
        step = state.steps[planned.id]
        for name in planned.after:
            before = state.steps.get(name)
            if before is not None:
                before.dependents.append(planned.id)
                step.needs += 1
        if step.needs == 0:
            state.ready[planned.id] = None


def _add_step(state: State, planned: PlannedStep) -> None:
    state.steps[planned.id] = StepState(planned.id, state.step_count, planned)
    state.step_count += 1


def plan_rejected(state: State, event: e.PlanRejected, _: datetime) -> None:
    end_live(state, PLAN_STEP)
    step = state.steps[PLAN_STEP]
    step.undecided = make_failure("planner", FailureClass.INVALID, event.reason, type_name="PlanInvalid")
    step.undecided_kind = "plan"
    state.undecided[PLAN_STEP] = None
