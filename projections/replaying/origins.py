"""The first cause of a trouble: the earliest event that is bad, on the way back from where the trouble shows.

Theory of operation. A trouble is where a workflow stands, or how it ended: it stopped, a person is asked, it tries
again. From there the thread (`because`) is followed back. Events that only say what followed are passed: that the step
is failed, that the workflow stops, that it is tried again. The last event met that is bad of itself is the first cause:
an attempt that failed, a vote against, a policy's no, a deadline. Of attempts that failed one after the other it is the
first that failed as the decisive one did, by fingerprint: what failed otherwise before was overcome. The way ends where
the step was first set under way: what went wrong before that was mended, or the workflow would not have come there.

A child that failed is followed into the child, a workflow that its parent stopped into the parent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from domain import events as e
from domain.failures import Failure, FailureClass
from domain.recorded import RecordedEvent
from domain.replay import fold
from projections.replaying.because import Thread
from projections.replaying.lateness import late_events
from projections.replaying.troubles import Trouble, troubles_of
from projections.replaying.words import said

MOST_GENERATIONS: Final = 20
"""How far children and parents are followed."""


class Kind(StrEnum):
    """What kinds of first cause there are: a closed list, which the documentation explains one by one."""

    TAMPERED = "tampered"
    UNREADABLE = "unreadable"
    DECIDED_OTHERWISE = "decided_otherwise"
    DEFINITION_CHANGED = "definition_changed"
    ACTIVITY_FAILED = "activity_failed"
    ACTIVITY_DENIED = "activity_denied"
    ATTEMPT_LOST = "attempt_lost"
    OUTCOME_UNKNOWN = "outcome_unknown"
    DEAD_LETTERED = "dead_lettered"
    NOT_TAKEN_UP = "not_taken_up"
    INPUT_INVALID = "input_invalid"
    PLAN_REJECTED = "plan_rejected"
    POLICY_DENIED = "policy_denied"
    APPROVAL_REJECTED = "approval_rejected"
    APPROVAL_EXPIRED = "approval_expired"
    WAIT_TIMED_OUT = "wait_timed_out"
    CHILD_FAILED = "child_failed"
    COMPENSATION_FAILED = "compensation_failed"
    LATE_EFFECT = "late_effect"
    BUDGET_USED = "budget_used"
    DEADLINE_PASSED = "deadline_passed"
    CANCELLED = "cancelled"
    DEFINITION_MISSING = "definition_missing"
    RESTORED = "restored"
    TIMER_LATE = "timer_late"
    AWAITING_APPROVAL = "awaiting_approval"
    AWAITING_SIGNAL = "awaiting_signal"
    AWAITING_TIME = "awaiting_time"
    AWAITING_CHILD = "awaiting_child"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Cause:
    """A first cause: the event, in which workflow, and what is known of it.

    `fault` is false where nothing is wrong and the workflow only waits. `seen_at` is the event of the workflow that was
    asked about where the trouble shows; `also` are later events of the same failure.
    """

    kind: Kind
    fault: bool
    workflow: str
    version: int
    event: str
    at: datetime
    words: str
    seen_at: int
    step: str = ""
    attempt: int | None = None
    activity: str | None = None
    failure: Failure | None = None
    also: tuple[int, ...] = ()
    why: str = ""


Related = Callable[[str], Sequence[RecordedEvent] | None]
"""The events of another workflow that a history leads to, as far as they can be folded; None where there are none."""


class Origins:
    """Finds the first causes in one history; `related` gives the histories of children and parents."""

    def __init__(self, thread: Thread, related: Related, *, visited: frozenset[str] = frozenset()) -> None:
        """`visited` are the workflows that led here."""
        self._thread = thread
        self._related = related
        self._workflow_id = thread.events[0].originator_id if thread.events else ""
        self._visited = visited | {self._workflow_id}

    def all(self) -> list[Cause]:
        """The causes of all troubles that the history shows at its end: faults first, the earliest first of all."""
        found: dict[tuple[str, int], Cause] = {}
        ranks: dict[tuple[str, int], tuple[int, datetime, int]] = {}
        for trouble in troubles_of(fold(self._thread.events), self._thread.events):
            cause = self.of(trouble)
            key = cause.workflow, cause.version
            found.setdefault(key, cause)
            ranks[key] = min(ranks.get(key, (9, cause.at, cause.version)), (trouble.rank, cause.at, cause.version))
        return sorted(found.values(), key=lambda cause: (not cause.fault, ranks[cause.workflow, cause.version]))

    def of(self, trouble: Trouble) -> Cause:
        """The first cause of one trouble."""
        event = self._thread.event(trouble.version).event
        if isinstance(event, e.StoppingBegan) and event.why != "failed":
            return self._stopped(trouble, event)
        if isinstance(event, e.ChildStarted):
            return self._awaited_child(trouble, event)
        kind = _AWAITED.get(type(event)) if not isinstance(event, e.WaitStarted) else _WAITS[event.reason]
        if kind is not None:
            return self._cause(kind, trouble.version, trouble.version, fault=trouble.fault)
        return self._followed(trouble)

    # --- following the thread back ----------------------------------------------------------------------------------

    def _followed(self, trouble: Trouble) -> Cause:
        """The way back from where a trouble shows. `mark` is what the decisive attempt failed by."""
        found, mark, bad, unknown, also = trouble.version, "", False, False, list[int]()
        for version in self._thread.back(trouble.version):
            event = self._thread.event(version).event
            marked = _mark(event)
            if marked:
                if mark and marked != mark:
                    continue
                also += [found] if mark else []
                found, mark, bad = version, marked, True
            elif isinstance(event, e.OutcomeUnknown):
                # What its probes came to does not matter: the question is how it came to be unknown.
                found, mark, bad, unknown = version, "", True, True
                also.clear()
            elif is_bad(event):
                found, bad = (found, bad) if mark else (version, True)
                if not isinstance(event, e.StepTimedOut):
                    break
            elif isinstance(event, _SAYING):
                found = found if bad else version
            elif not self._goes_on(version, event, again=bool(mark)):
                break
        return self._judged(found, trouble, tuple(sorted(also)), unknown=unknown)

    def _goes_on(self, version: int, event: e.Event, *, again: bool) -> bool:
        """Whether the way leads on, past an event that is not bad, to an attempt before this one."""
        if isinstance(event, e.StepScheduled):
            earlier = self._thread.because.get(version)
            return earlier is not None and isinstance(
                self._thread.event(earlier).event, e.RetryScheduled | e.OutcomeUnknown | e.InterventionApplied
            )
        if isinstance(event, e.InterventionApplied):
            return again and event.act == "retry" and event.input is None
        return isinstance(event, e.RetryScheduled)

    def _judged(self, version: int, trouble: Trouble, also: tuple[int, ...], *, unknown: bool) -> Cause:
        """What kind of cause an event is, where the way back has ended at it."""
        event = self._thread.event(version).event
        if isinstance(event, e.ApprovalRejected):
            return self._cause(Kind.APPROVAL_REJECTED, self._first_vote_against(version, event), trouble.version)
        if isinstance(event, e.ApprovalExpired):
            late = self._late_escalation(version, event)
            kind = Kind.APPROVAL_EXPIRED if late is None else Kind.TIMER_LATE
            return self._cause(kind, late or version, trouble.version)
        if isinstance(event, e.ChildEnded):
            cause = self._elsewhere(event.child_workflow, trouble.version)
            return cause or self._cause(Kind.CHILD_FAILED, version, trouble.version)
        kind = Kind.OUTCOME_UNKNOWN if unknown and not isinstance(event, e.WorkflowRestored) else _kind(event)
        return self._cause(kind, version, trouble.version, also=also)

    def _first_vote_against(self, version: int, rejected: e.ApprovalRejected) -> int:
        for recorded in self._thread.events[:version]:
            event = recorded.event
            if (
                isinstance(event, e.ApprovalRecorded)
                and (event.step, event.round, event.decision) == (rejected.step, rejected.round, "reject")
            ):  # fmt: skip
                return recorded.originator_version
        return version

    def _late_escalation(self, version: int, expired: e.ApprovalExpired) -> int | None:
        """The escalation that came when it was too late for anybody to decide: then the timer is to blame."""
        late = {one.version for one in late_events(self._thread.events[:version])}
        for recorded in reversed(self._thread.events[: version - 1]):
            event = recorded.event
            if isinstance(event, e.ApprovalEscalated) and (event.step, event.round) == (expired.step, expired.round):
                in_vain = recorded.originator_version in late and recorded.timestamp >= expired.due_at
                return recorded.originator_version if in_vain else None
        return None

    # --- stops, children, parents -----------------------------------------------------------------------------------

    def _stopped(self, trouble: Trouble, event: e.StoppingBegan) -> Cause:
        """A deadline or a cancellation: what was wrong already when it came is the first cause, where something was."""
        before = self._thread.events[: trouble.version - 1]
        earlier = [self.of(one) for one in troubles_of(fold(before), before) if one.fault]
        if earlier:
            return replace(min(earlier, key=lambda cause: (cause.at, cause.version)), seen_at=trouble.version)
        if event.why == "deadline":
            return self._cause(Kind.DEADLINE_PASSED, trouble.version, trouble.version)
        asker, _, asked_at = self._thread.event(trouble.version).cause.rpartition("/")
        if asker and asked_at.isdigit():
            cause = self._elsewhere(asker, trouble.version)
            if cause is not None:
                return cause
        return self._cause(Kind.CANCELLED, trouble.version, trouble.version)

    def _awaited_child(self, trouble: Trouble, event: e.ChildStarted) -> Cause:
        cause = self._elsewhere(event.child_workflow, trouble.version)
        return cause or self._cause(Kind.AWAITING_CHILD, trouble.version, trouble.version, fault=False)

    def _elsewhere(self, workflow_id: str, seen_at: int) -> Cause | None:
        """The first cause in another workflow of the family, where one can be told there."""
        if workflow_id in self._visited or len(self._visited) > MOST_GENERATIONS:
            return None
        events = self._related(workflow_id)
        if not events:
            return None
        causes = Origins(Thread(events), self._related, visited=self._visited).all()
        return replace(causes[0], seen_at=seen_at) if causes else None

    # --- the cause --------------------------------------------------------------------------------------------------

    def _cause(
        self, kind: Kind, version: int, seen_at: int, *, fault: bool = True, also: tuple[int, ...] = ()
    ) -> Cause:
        return cause_of(self._thread, kind, version, seen_at, fault=fault, also=also)


def cause_of(
    thread: Thread, kind: Kind, version: int, seen_at: int, *, fault: bool = True, also: tuple[int, ...] = ()
) -> Cause:
    """An event as a first cause."""
    recorded = thread.event(version)
    event = recorded.event
    step = str(getattr(event, "step", "") or "")
    attempt = getattr(event, "attempt", None)
    scheduled = thread.because.get(version)
    activity: str | None = None
    while scheduled is not None and activity is None and attempt is not None:
        made = thread.event(scheduled).event
        activity = made.activity if isinstance(made, e.StepScheduled) and made.step == step else None
        scheduled = thread.because.get(scheduled)
    words = said(recorded, thread.counts)
    return Cause(
        kind,
        fault,
        recorded.originator_id,
        version,
        recorded.name,
        recorded.timestamp,
        words.what,
        seen_at,
        step,
        attempt,
        activity,
        getattr(event, "failure", None),
        also,
        words.why,
    )


def _mark(event: e.Event) -> str:
    """What attempts that ended badly are told apart by; empty for every other event."""
    if isinstance(event, e.AttemptFailed):
        return event.failure.fingerprint
    return event.stored_name if isinstance(event, e.AttemptLapsed | e.CommandDeadLettered | e.PlanRejected) else ""


def is_bad(event: e.Event) -> bool:
    """Whether an event is bad of itself, and not the end of an attempt."""
    if isinstance(event, e.PolicyEvaluated):
        return event.verdict == "deny"
    if isinstance(event, e.ChildEnded):
        return event.status != "completed"
    return isinstance(event, _BAD)


_BAD: Final = (
    e.ApprovalRejected,
    e.ApprovalExpired,
    e.WaitTimedOut,
    e.StepTimedOut,
    e.LateOutcomeRecorded,
    e.WorkflowRestored,
)

_SAYING: Final = (e.StoppingBegan, e.StepFailed, e.InterventionRequested, e.CompensationFailed)
"""What only says what followed: the cause where nothing before it is bad."""

_AWAITED: Final[dict[type[e.Event], Kind]] = {
    e.ApprovalRequested: Kind.AWAITING_APPROVAL,
    e.WorkflowPaused: Kind.PAUSED,
}
_WAITS: Final = {
    "signal": Kind.AWAITING_SIGNAL,
    "time": Kind.AWAITING_TIME,
    "budget": Kind.BUDGET_USED,
    "definition": Kind.DEFINITION_MISSING,
}


def _kind(event: e.Event) -> Kind:
    if isinstance(event, e.AttemptFailed | e.AttemptLapsed) and event.kind == "compensate":
        return Kind.COMPENSATION_FAILED
    if isinstance(event, e.AttemptFailed) and event.failure.kind is FailureClass.REJECTED:
        return Kind.ACTIVITY_DENIED
    return _KINDS.get(type(event), Kind.ACTIVITY_FAILED)


_KINDS: Final[dict[type[e.Event], Kind]] = {
    e.AttemptLapsed: Kind.ATTEMPT_LOST,
    e.CommandDeadLettered: Kind.DEAD_LETTERED,
    e.PlanRejected: Kind.PLAN_REJECTED,
    e.PolicyEvaluated: Kind.POLICY_DENIED,
    e.WaitTimedOut: Kind.WAIT_TIMED_OUT,
    e.ChildEnded: Kind.CHILD_FAILED,
    e.StepTimedOut: Kind.NOT_TAKEN_UP,
    e.LateOutcomeRecorded: Kind.LATE_EFFECT,
    e.StepFailed: Kind.INPUT_INVALID,
    e.CompensationFailed: Kind.COMPENSATION_FAILED,
    e.WorkflowRestored: Kind.RESTORED,
}
