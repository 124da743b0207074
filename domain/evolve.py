"""How each event changes the state. Evolving never refuses, and never decides: it assigns what the event says.

One function an event; `EVOLVE` lists them all, and a test holds it against the list of events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final

from domain import events as e
from domain.events import Event, Undo
from domain.failures import FailureClass, make_failure
from domain.ids import ARTIFACT_STEP, PLAN_STEP
from domain.plan import PlannedStep
from domain.recorded import RecordedEvent
from domain.state import (
    STATE,
    Ballot,
    Effect,
    Grant,
    Live,
    Settled,
    State,
    StepState,
    StepStatus,
    Stopping,
    Undoing,
    Wait,
    effect_key,
    wait_key,
)

UNDO: Final = "~undo"
"""Key of the compensation under way among live attempts, dues and undecided failures."""


def evolve(state: State, recorded: RecordedEvent) -> None:
    """Apply one recorded event."""
    EVOLVE[type(recorded.event)](state, recorded.event, recorded.timestamp)
    state.version = recorded.originator_version
    state.head = recorded.digest
    state.changed_at = recorded.timestamp


# --- shared moves ---------------------------------------------------------------------------------------------------


def _end_live(state: State, key: str) -> None:
    """No attempt of this key is under way any more."""
    holder: StepState | Undoing | None = state.undoing if key == UNDO else state.steps.get(key)
    if holder is not None and holder.live is not None:
        state.live.pop(holder.live.message_id, None)
        holder.live = None


def _revoke(state: State, message_ids: Iterable[str]) -> list[str]:
    """End the attempts whose commands were revoked unclaimed; the steps (or UNDO) they were of."""
    keys = []
    for message_id in message_ids:
        key = state.live.get(message_id)
        if key is None:
            continue
        holder = state.undoing if key == UNDO else state.steps[key]
        if isinstance(holder, StepState) and holder.live is not None and holder.live.kind == "probe":
            holder.probe_tries = max(0, holder.probe_tries - 1)
        elif holder is not None:
            holder.tries = max(0, holder.tries - 1)
        _end_live(state, key)
        keys.append(key)
    return keys


def _back_to_planned(state: State, key: str, at: datetime) -> bool:
    """A revoked attempt's step is planned again, a revoked probe due at once. Whether it was a step's own attempt."""
    if key == UNDO:
        return False
    step = state.steps[key]
    if step.unknown_attempt is not None:
        state.dues[f"probe:{key}"] = at
        return False
    step.status = StepStatus.PLANNED
    return True


def _close_waits(state: State, step: str) -> None:
    """Nothing is waited for by this step any more, and nothing of it falls due."""
    if state.waits:
        for reason in ("approval", "signal", "time", "child", "outcome_unknown", "intervention"):
            state.waits.pop(wait_key(step, reason), None)
    if state.dues:
        for due in ("retry", "probe", "approval", "escalate", "wait"):
            state.dues.pop(f"{due}:{step}", None)
    state.ballots.pop(step, None)
    state.undecided.pop(step, None)


def _list_effect(state: State, step: StepState, output: Any = None) -> None:
    """The step's effect is not proven absent: it is on the list of what a compensation undoes."""
    if step.effect == "pure" or (step.compensation is None and not step.pivot):
        return
    key = effect_key(step.id, step.generation)
    known = state.effects.get(key)
    activity = step.planned.activity if step.planned is not None and step.planned.activity else step.id
    undo = Undo(
        step=step.id,
        generation=step.generation,
        activity=activity,
        compensation=step.compensation,
        input=step.input or {},
        output=output if output is not None or known is None else known.undo.output,
        key=step.key,
    )
    state.effects[key] = Effect(undo, known.state if known is not None else "open")
    state.pivot_passed = state.pivot_passed or step.compensation is None


def _forget_effect(state: State, step: StepState) -> None:
    """The step's effect is proven absent."""
    if state.effects.pop(effect_key(step.id, step.generation), None) is not None:
        state.pivot_passed = any(one.undo.compensation is None for one in state.effects.values())


def _settle(state: State, step_id: str, status: StepStatus, *, output: Any = None, failure: str | None = None) -> None:
    """A step has settled: it leaves the hot state, and what came after it may be ready."""
    _end_live(state, step_id)
    _close_waits(state, step_id)
    state.ready.pop(step_id, None)
    step = state.steps.pop(step_id)
    planned = step.planned
    state.settled[step_id] = Settled(
        status=status,
        number=step.number,
        activity=planned.activity if planned is not None else None,
        output=output,
        failure=failure,
        after=planned.after if planned is not None else (),
    )
    if status is StepStatus.OK and step.number > state.output_number:
        state.output = output
        state.output_number = step.number
    for dependent in step.dependents:
        waiting = state.steps.get(dependent)
        if waiting is not None:
            waiting.needs -= 1
            if waiting.needs == 0 and waiting.status is StepStatus.PLANNED and state.stopping is None:
                state.ready[dependent] = None


# --- beginnings and plans -------------------------------------------------------------------------------------------


def _started(state: State, event: e.WorkflowStarted, at: datetime) -> None:
    state.goal = event.goal
    state.definition = event.definition
    state.definition_version = event.definition_version
    state.input = event.input
    state.requested_by = event.requested_by
    state.tags = dict(event.tags)
    state.deadline_at = event.deadline_at
    state.parent_workflow = event.parent_workflow
    state.parent_step = event.parent_step
    state.started_at = at
    if event.deadline_at is not None:
        state.dues["deadline:"] = event.deadline_at


def _forked(state: State, event: e.WorkflowForked, at: datetime) -> None:
    """Take the source's folded state over; what was open at the cut returns to planned, effects stay the source's."""
    source = STATE.validate_python(event.state)
    for name in State.__dataclass_fields__:
        if name not in {"workflow_id", "version", "head"}:
            setattr(state, name, getattr(source, name))
    state.requested_by = event.requested_by
    state.forked_from = event.source
    state.started_at = at
    state.parent_workflow = state.parent_step = None
    state.live, state.waits, state.ballots, state.undecided, state.dues = {}, {}, {}, {}, {}
    state.effects, state.lapsed, state.pivot_passed = {}, {}, False
    state.paused, state.stopping, state.compensating, state.undoing = False, None, False, None
    state.ended, state.ended_reason, state.ended_at, state.finalizing = None, "", None, False
    state.ready = {}
    if state.steps.pop(PLAN_STEP, None) is not None:
        state.planning = True
        state.plan_round -= 1
    state.steps.pop(ARTIFACT_STEP, None)
    for step in state.steps.values():
        step.status, step.live, step.undecided = StepStatus.PLANNED, None, None
        step.tries = step.lapses = step.probe_tries = step.rounds = 0
        step.gate = step.granted_digest = step.unknown_attempt = step.first_scheduled_at = step.child = None
        if step.needs == 0:
            state.ready[step.id] = None


def _plan_requested(state: State, event: e.PlanRequested, _: datetime) -> None:
    state.plan_round = event.round
    state.planning = True
    state.steps[PLAN_STEP] = StepState(PLAN_STEP, -1, None)


def _plan_proposed(state: State, event: e.PlanProposed, _: datetime) -> None:
    _end_live(state, PLAN_STEP)
    _close_waits(state, PLAN_STEP)
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


def _plan_rejected(state: State, event: e.PlanRejected, _: datetime) -> None:
    _end_live(state, PLAN_STEP)
    step = state.steps[PLAN_STEP]
    step.undecided = make_failure("planner", FailureClass.INVALID, event.reason, type_name="PlanInvalid")
    step.undecided_kind = "plan"
    state.undecided[PLAN_STEP] = None


# --- gate and approval ----------------------------------------------------------------------------------------------


def _evaluated(state: State, event: e.PolicyEvaluated, _: datetime) -> None:
    step = state.steps[event.step]
    step.gate = event.verdict
    step.gate_approval = event.approval


def _approval_requested(state: State, event: e.ApprovalRequested, at: datetime) -> None:
    step = state.steps[event.step]
    if event.origin == "activity":
        _end_live(state, event.step)
        _list_effect(state, step, event.output)
    step.status = StepStatus.AWAITING_APPROVAL
    step.rounds = event.round
    step.granted_digest = None
    state.ready.pop(event.step, None)
    state.ballots[event.step] = Ballot(event.model_copy(update={"trigger": None}))
    state.waits[wait_key(event.step, "approval")] = Wait(
        event.step, "approval", at, name=event.approval_id, due_at=event.deadline_at, detail=event.reason
    )
    if event.deadline_at is not None:
        state.dues[f"approval:{event.step}"] = event.deadline_at
    if event.escalate_at is not None:
        state.dues[f"escalate:{event.step}"] = event.escalate_at


def _approval_recorded(state: State, event: e.ApprovalRecorded, _: datetime) -> None:
    ballot = state.ballots[event.step]
    (ballot.grants if event.decision == "approve" else ballot.rejections).append(event.decided_by)
    ballot.controls.extend(control for control in event.controls if control not in ballot.controls)
    if event.reason:
        ballot.reasons.append(event.reason)


def _approval_granted(state: State, event: e.ApprovalGranted, _: datetime) -> None:
    ballot = state.ballots[event.step]
    step = state.steps[event.step]
    _close_waits(state, event.step)
    step.granted_digest = ballot.request.digest
    state.grants[event.step] = Grant("approved", list(event.decided_by), list(event.controls), event.reason)
    state.controls.extend(control for control in event.controls if control not in state.controls)
    step.status = StepStatus.PLANNED
    if ballot.request.origin == "gate":
        state.ready[event.step] = None


def _approval_rejected(state: State, event: e.ApprovalRejected, _: datetime) -> None:
    _close_waits(state, event.step)
    state.grants[event.step] = Grant("rejected", list(event.decided_by), [], event.reason)


def _approval_escalated(state: State, event: e.ApprovalEscalated, _: datetime) -> None:
    state.ballots[event.step].escalated = True
    state.dues.pop(f"escalate:{event.step}", None)


def _approval_expired(state: State, event: e.ApprovalExpired, _: datetime) -> None:
    state.dues.pop(f"approval:{event.step}", None)
    state.dues.pop(f"escalate:{event.step}", None)
    if event.then != "grant":
        _close_waits(state, event.step)


def _nothing(_state: State, _event: Event, _at: datetime) -> None:
    """Change nothing: the fact itself is the record."""


# --- attempts -------------------------------------------------------------------------------------------------------


def _scheduled(state: State, event: e.StepScheduled, at: datetime) -> None:
    live = Live(event.message_id, event.kind, event.attempt, event.activity, at, event.expires_at)
    state.numbers[event.step] = event.attempt
    state.attempts += 1
    if event.kind == "compensate":
        undoing = state.undoing
        if undoing is not None:
            undoing.live = live
            undoing.tries += 1
            undoing.first_scheduled_at = undoing.first_scheduled_at or at
        state.live[event.message_id] = UNDO
        state.dues.pop(f"retry:{UNDO}", None)
        return
    if event.kind == "artifact" and ARTIFACT_STEP not in state.steps:
        state.steps[ARTIFACT_STEP] = StepState(ARTIFACT_STEP, -1, None)
        state.finalizing = True
    step = state.steps[event.step]
    step.live = live
    state.live[event.message_id] = event.step
    if event.kind == "probe":
        step.probe_tries += 1
        state.dues.pop(f"probe:{event.step}", None)
        return
    step.status = StepStatus.SCHEDULED
    step.input = event.input
    step.tries += 1
    step.first_scheduled_at = step.first_scheduled_at or at
    step.effect, step.compensation, step.pivot, step.key = event.effect, event.compensation, event.pivot, event.key
    state.ready.pop(event.step, None)
    state.dues.pop(f"retry:{event.step}", None)


def _succeeded(state: State, event: e.StepSucceeded, _: datetime) -> None:
    step = state.steps[event.step]
    if step.live is not None or effect_key(step.id, step.generation) in state.effects:
        _list_effect(state, step, event.output)
    for artifact in event.artifacts:
        state.artifacts[artifact.name] = artifact
    _settle(state, event.step, StepStatus.OK, output=event.output)


def _attempt_failed(state: State, event: e.AttemptFailed, _: datetime) -> None:
    if event.kind == "compensate":
        _end_live(state, UNDO)
        if state.undoing is not None:
            state.undoing.undecided = event.failure
        state.undecided[UNDO] = None
        return
    _end_live(state, event.step)
    step = state.steps[event.step]
    step.undecided = step.last_failure = event.failure
    step.undecided_kind = event.kind
    state.undecided[event.step] = None
    if event.failure.kind is FailureClass.TIMEOUT:
        # Code that could not be stopped may still end: then what it says is recorded as late.
        state.lapsed[f"{event.step}/{event.kind}/{event.attempt}"] = event.kind
    if event.kind == "run" and not event.failure.absent:
        _list_effect(state, step)


def _lapsed(state: State, event: e.AttemptLapsed, _: datetime) -> None:
    state.lapsed[f"{event.step}/{event.kind}/{event.attempt}"] = event.kind
    failure = make_failure(
        event.step,
        FailureClass.OUTCOME_UNKNOWN,
        event.reason or "the claim ended without an outcome",
        type_name="Lapsed",
    )
    if event.kind == "compensate":
        _end_live(state, UNDO)
        if state.undoing is not None:
            state.undoing.undecided = failure
            state.undoing.lapses += 1
            state.undoing.tries -= 1
        state.undecided[UNDO] = None
        return
    _end_live(state, event.step)
    step = state.steps[event.step]
    step.lapses += 1
    if event.kind == "probe":
        step.probe_tries -= 1
    else:
        step.tries -= 1
    step.undecided = step.last_failure = failure
    step.undecided_kind = event.kind
    state.undecided[event.step] = None
    if event.kind == "run":
        _list_effect(state, step)


def _retry_scheduled(state: State, event: e.RetryScheduled, _: datetime) -> None:
    if event.kind == "compensate":
        if state.undoing is not None:
            state.undoing.undecided = None
        state.undecided.pop(UNDO, None)
        state.dues[f"retry:{UNDO}"] = event.due_at
        return
    step = state.steps[event.step]
    step.undecided = None
    state.undecided.pop(event.step, None)
    if event.kind == "probe":
        state.dues[f"probe:{event.step}"] = event.due_at
        return
    step.status = StepStatus.RETRY_WAIT
    state.dues[f"retry:{event.step}"] = event.due_at


def _step_failed(state: State, event: e.StepFailed, _: datetime) -> None:
    step = state.steps[event.step]
    _end_live(state, event.step)
    _close_waits(state, event.step)
    state.ready.pop(event.step, None)
    step.status = StepStatus.FAILED
    step.undecided = None
    step.last_failure = event.failure


def _timed_out(state: State, event: e.StepTimedOut, _: datetime) -> None:
    step = state.steps[event.step]
    _revoke(state, event.revoked)
    _close_waits(state, event.step)
    state.ready.pop(event.step, None)
    step.status = StepStatus.TIMED_OUT
    step.undecided = None


def _outcome_unknown(state: State, event: e.OutcomeUnknown, at: datetime) -> None:
    step = state.steps[event.step]
    step.status = StepStatus.OUTCOME_UNKNOWN
    step.unknown_attempt = event.attempt
    step.undecided = None
    state.undecided.pop(event.step, None)
    state.lapsed.setdefault(f"{event.step}/run/{event.attempt}", "run")
    if event.probe_due_at is not None:
        state.dues[f"probe:{event.step}"] = event.probe_due_at
    else:
        state.waits[wait_key(event.step, "outcome_unknown")] = Wait(
            event.step, "outcome_unknown", at, detail=event.reason
        )


def _reconciled(state: State, event: e.OutcomeReconciled, _: datetime) -> None:
    step = state.steps[event.step]
    _end_live(state, event.step)
    _close_waits(state, event.step)
    step.unknown_attempt = None
    step.undecided = None
    step.probe_tries = 0
    if event.applied:
        return
    _forget_effect(state, step)
    step.status = StepStatus.PLANNED
    step.undecided = make_failure(
        step.id, FailureClass.TRANSIENT, f"proven not applied ({event.settled_by})", type_name="NotApplied", absent=True
    )
    step.undecided_kind = "run"
    state.undecided[event.step] = None


def _late(state: State, event: e.LateOutcomeRecorded, _: datetime) -> None:
    state.lapsed.pop(f"{event.step}/{event.kind}/{event.attempt}", None)
    if event.undo is not None:
        key = effect_key(event.undo.step, event.undo.generation)
        if key not in state.effects:
            state.effects[key] = Effect(event.undo)
            state.pivot_passed = state.pivot_passed or event.undo.compensation is None


def _dead_lettered(state: State, event: e.CommandDeadLettered, _: datetime) -> None:
    failure = make_failure(event.step, FailureClass.TRANSIENT, event.reason, type_name="DeadLettered", absent=True)
    keys = _revoke(state, event.revoked)
    if UNDO in keys and state.undoing is not None:
        state.undoing.undecided = failure
        state.undoing.tries += 1
        state.undecided[UNDO] = None
        return
    step = state.steps[event.step]
    step.tries += 1
    step.undecided = step.last_failure = failure
    step.undecided_kind = event.kind
    state.undecided[event.step] = None


def _skipped(state: State, event: e.StepSkipped, _: datetime) -> None:
    if event.step in (PLAN_STEP, ARTIFACT_STEP):
        _end_live(state, event.step)
        _close_waits(state, event.step)
        state.steps.pop(event.step, None)
        if event.step == PLAN_STEP:
            state.plan_final, state.planning = True, False
        else:
            state.artifact_done = True
        return
    _settle(state, event.step, StepStatus.SKIPPED, failure=event.reason)


def _artifact_recorded(state: State, event: e.ArtifactRecorded, _: datetime) -> None:
    state.artifacts[event.name] = e.Artifact(name=event.name, digest=event.digest, size=event.size)
    if event.step == ARTIFACT_STEP:
        _end_live(state, ARTIFACT_STEP)
        _close_waits(state, ARTIFACT_STEP)
        state.steps.pop(ARTIFACT_STEP, None)
        state.artifact_done = True


# --- waits and children ---------------------------------------------------------------------------------------------


def _wait_started(state: State, event: e.WaitStarted, at: datetime) -> None:
    state.waits[wait_key(event.step, event.reason)] = Wait(
        event.step,
        event.reason,
        at,
        name=event.name,
        correlation=event.correlation,
        due_at=event.due_at,
        on_timeout=event.on_timeout,
        detail=event.detail,
    )
    if event.due_at is not None:
        state.dues[f"wait:{event.step}"] = event.due_at
    step = state.steps.get(event.step)
    if step is not None:
        step.status = StepStatus.WAITING
        state.ready.pop(event.step, None)


def _wait_ended(state: State, event: e.WaitSatisfied | e.WaitTimedOut, _: datetime) -> None:
    state.waits.pop(wait_key(event.step, event.reason), None)
    if event.step:
        state.dues.pop(f"wait:{event.step}", None)


def _child_started(state: State, event: e.ChildStarted, at: datetime) -> None:
    step = state.steps[event.step]
    step.status = StepStatus.WAITING
    step.child = event.child_workflow
    state.ready.pop(event.step, None)
    state.waits[wait_key(event.step, "child")] = Wait(
        event.step, "child", at, name=event.child_workflow, due_at=event.due_at, on_timeout=event.on_timeout
    )
    if event.due_at is not None:
        state.dues[f"wait:{event.step}"] = event.due_at


def _child_ended(state: State, event: e.ChildEnded, _: datetime) -> None:
    waiting = state.waits.get(wait_key(event.step, "child"))
    if waiting is not None and waiting.name == event.child_workflow:
        state.waits.pop(wait_key(event.step, "child"))
        state.dues.pop(f"wait:{event.step}", None)
    for undo in event.effects:
        key = effect_key(undo.step, undo.generation)
        state.effects.setdefault(key, Effect(undo))
        state.pivot_passed = state.pivot_passed or undo.compensation is None


# --- people ---------------------------------------------------------------------------------------------------------


def _intervention_requested(state: State, event: e.InterventionRequested, at: datetime) -> None:
    state.waits[wait_key(event.step, "intervention")] = Wait(event.step, "intervention", at, detail=event.reason)


def _intervention_applied(state: State, event: e.InterventionApplied, _: datetime) -> None:
    _revoke(state, event.revoked)
    state.waits.pop(wait_key(event.step, "intervention"), None)
    if event.act == "extend":
        state.budget_extra += event.attempts or 0
        state.waits.pop(wait_key("", "budget"), None)
        return
    people = state.intervened.setdefault(event.step, [])
    if event.by not in people:
        people.append(event.by)
    if event.act == "retry":
        _retry_again(state, event)


def _retry_again(state: State, event: e.InterventionApplied) -> None:
    undoing = state.undoing
    if undoing is not None and undoing.step == event.step:
        undoing.failed, undoing.tries, undoing.lapses, undoing.undecided = False, 0, 0, None
        undoing.first_scheduled_at = None
        return
    step = state.steps.get(event.step)
    if step is None:
        return
    _close_waits(state, event.step)
    step.tries = step.lapses = step.probe_tries = 0
    step.first_scheduled_at = step.undecided = step.unknown_attempt = step.child = None
    step.status = StepStatus.PLANNED
    if event.input is not None:
        step.generation += 1
        step.input = event.input
        step.gate = step.gate_approval = step.granted_digest = None
    if event.step not in (PLAN_STEP, ARTIFACT_STEP):
        state.ready[event.step] = None


def _paused(state: State, event: e.WorkflowPaused, at: datetime) -> None:
    state.paused = True
    for key in _revoke(state, event.revoked):
        if _back_to_planned(state, key, at) and key not in (PLAN_STEP, ARTIFACT_STEP):
            state.ready[key] = None


def _resumed(state: State, _event: e.WorkflowResumed, _: datetime) -> None:
    state.paused = False


# --- ends -----------------------------------------------------------------------------------------------------------


def _stopping(state: State, event: e.StoppingBegan, at: datetime) -> None:
    """Nothing new is scheduled: what only waited is given up; unknown outcomes and children are still waited for."""
    state.stopping = Stopping(event.why, event.reason, event.compensate, event.failure, event.step)
    state.paused = False
    state.planning = False
    state.finalizing = False
    state.ready.clear()
    state.ballots.clear()
    state.waits = {key: wait for key, wait in state.waits.items() if wait.reason in {"outcome_unknown", "child"}}
    state.dues = {key: due for key, due in state.dues.items() if key.startswith("probe:")}
    for key in _revoke(state, event.revoked):
        _back_to_planned(state, key, at)


def _compensation_started(state: State, _event: e.CompensationStarted, _: datetime) -> None:
    state.compensating = True


def _compensation_scheduled(state: State, event: e.CompensationScheduled, _: datetime) -> None:
    state.undoing = Undoing(event.step, event.generation, event.activity, event.input, event.key)


def _compensated(state: State, event: e.StepCompensated, _: datetime) -> None:
    _end_live(state, UNDO)
    state.undoing = None
    state.undecided.pop(UNDO, None)
    state.dues.pop(f"retry:{UNDO}", None)
    state.waits.pop(wait_key(event.step, "intervention"), None)
    effect = state.effects.get(effect_key(event.step, event.generation))
    if effect is not None:
        effect.state = "undone" if event.accepted_by is None else "kept"
    if event.accepted_by is None:
        if event.step in state.settled:
            state.settled[event.step].status = StepStatus.COMPENSATED
        elif event.step in state.steps:
            state.steps[event.step].status = StepStatus.COMPENSATED


def _compensation_failed(state: State, _event: e.CompensationFailed, _: datetime) -> None:
    state.undecided.pop(UNDO, None)
    if state.undoing is not None:
        state.undoing.undecided = None
        state.undoing.failed = True


def _end(state: State, status: str, reason: str, at: datetime) -> None:
    state.ended = status
    state.ended_reason = reason
    state.ended_at = at
    state.waits.clear()
    state.dues.clear()
    state.finalizing = False


def _completed(state: State, _event: e.WorkflowCompleted, at: datetime) -> None:
    _end(state, "completed", "", at)


def _failed(state: State, event: e.WorkflowFailed, at: datetime) -> None:
    _end(state, "failed", event.reason, at)


def _cancelled(state: State, event: e.WorkflowCancelled, at: datetime) -> None:
    _end(state, "cancelled", event.reason, at)


def _all_compensated(state: State, event: e.WorkflowCompensated, at: datetime) -> None:
    _end(state, "compensated", event.reason, at)


EVOLVE: Final[dict[type[Event], Callable[[State, Any, datetime], None]]] = {
    e.WorkflowStarted: _started,
    e.WorkflowForked: _forked,
    e.PlanRequested: _plan_requested,
    e.PlanProposed: _plan_proposed,
    e.PlanRejected: _plan_rejected,
    e.PolicyEvaluated: _evaluated,
    e.ApprovalRequested: _approval_requested,
    e.ApprovalRecorded: _approval_recorded,
    e.ApprovalGranted: _approval_granted,
    e.ApprovalRejected: _approval_rejected,
    e.ApprovalEscalated: _approval_escalated,
    e.ApprovalExpired: _approval_expired,
    e.DecisionRefused: _nothing,
    e.StepScheduled: _scheduled,
    e.StepSucceeded: _succeeded,
    e.AttemptFailed: _attempt_failed,
    e.AttemptLapsed: _lapsed,
    e.RetryScheduled: _retry_scheduled,
    e.StepFailed: _step_failed,
    e.StepTimedOut: _timed_out,
    e.OutcomeUnknown: _outcome_unknown,
    e.OutcomeReconciled: _reconciled,
    e.LateOutcomeRecorded: _late,
    e.CommandDeadLettered: _dead_lettered,
    e.StepSkipped: _skipped,
    e.ArtifactRecorded: _artifact_recorded,
    e.WaitStarted: _wait_started,
    e.WaitSatisfied: _wait_ended,
    e.WaitTimedOut: _wait_ended,
    e.ChildStarted: _child_started,
    e.ChildEnded: _child_ended,
    e.InterventionRequested: _intervention_requested,
    e.InterventionApplied: _intervention_applied,
    e.WorkflowPaused: _paused,
    e.WorkflowResumed: _resumed,
    e.StoppingBegan: _stopping,
    e.CompensationStarted: _compensation_started,
    e.CompensationScheduled: _compensation_scheduled,
    e.StepCompensated: _compensated,
    e.CompensationFailed: _compensation_failed,
    e.WorkflowCompleted: _completed,
    e.WorkflowFailed: _failed,
    e.WorkflowCancelled: _cancelled,
    e.WorkflowCompensated: _all_compensated,
}
