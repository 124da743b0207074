"""The lifecycle table: for each status and trigger, the node that decides, or why the trigger is ignored.

Theory of operation
-------------------
A workflow is a list of events. Its *state* is folded from them and its *status* computed from the state; neither is
ever stored on its own. A *trigger* asks it to decide; a decision is a list of new events, and nothing else: no clock is
read, no chance taken, nothing is sent. Time, ids and jitter come with the trigger or are derived from it.

Every decision goes the same way (`domain.workflow`):

1. *What fell due before the trigger came* is decided first, in the order of the due instants. So it does not matter
   when a timer fires, whether it fires twice, or whether the process was away: the decisions come out in the order in
   which they would have come out. Timers only wake.
2. *The node that this table names* looks at the trigger.
3. *Whatever can go on, goes on*: failures are judged, ready steps are scheduled, the planner is asked again, the
   workflow is finalised, stopped or undone; until nothing more can be decided.

Decide may refuse; apply may not. A trigger that does not fit is ignored with a reason (counted, logged, acknowledged)
or, where a person sent it, refused by an event: every refusal is part of the record.

One trigger comes before what fell due: that the store was put back from a backup. What is due in the backup may have
been done in the time that was lost, so from that decision on nothing that may run but once runs unasked.

The phases: a workflow plans and executes until all steps have settled, then finalises. `blocked` is what it is while it
has open waits and nothing under way; `paused` while an operator holds it. A failed step or a cancellation begins
`stopping`: nothing new is scheduled, commands nobody has claimed are revoked, every claimed attempt is waited for, and
so is every unknown outcome and every child. Then comes `compensating`, or the end. Nothing ends over a running attempt.
After a terminal event nothing is decided any more; a late outcome is still recorded, and asks for a person where an
effect stands. That another workflow was forked from this one is recorded in any status: it changes nothing here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from domain.decision import Decision, Events
from domain.nodes import approval_wait, intervention, observer, planner
from domain.state import Status
from domain.triggers import (
    CancelWorkflow,
    DeadLetterCommand,
    DeliverSignal,
    EndChild,
    ExtendBudget,
    ForkHere,
    ForkWorkflow,
    LapseAttempt,
    PauseWorkflow,
    RecordDecision,
    RecordOutcome,
    RestoreWorkflow,
    ResumeWorkflow,
    RetryStep,
    SettleOutcome,
    SkipStep,
    StartWorkflow,
    SupplyOutput,
    Trigger,
    Wake,
)

Node = Callable[[Decision], Events]


@dataclass(frozen=True)
class Ignore:
    """The trigger has nothing to say in this status; the reason is counted and logged."""

    reason: str


@dataclass(frozen=True)
class Unknown:
    """There is no such workflow: an error for whoever asked."""


UNKNOWN: Final = Unknown()
EXISTS: Final = Ignore("the workflow exists")
STARTED: Final = Ignore("already started")
OVER: Final = Ignore("the workflow is over")
NOT_PAUSED: Final = Ignore("the workflow is not paused")
PAUSED: Final = Ignore("paused: decided when it is resumed")
ALREADY: Final = Ignore("already so")
STOPS: Final = Ignore("the workflow is stopping: nothing waits any more")

_START = planner.start
_OUTCOME, _LAPSE, _DEAD = observer.outcome, observer.lapse, observer.dead_letter
_DECIDE, _SIGNAL, _CHILD = approval_wait.decide, observer.signal, observer.child_ended
_RETRY, _SKIP, _SUPPLY, _SETTLE = intervention.retry, intervention.skip, intervention.supply, intervention.settle
_EXTEND, _PAUSE, _RESUME, _CANCEL = intervention.extend, intervention.pause, intervention.resume, intervention.cancel
_REFUSE, _ACCEPT, _RESTORE = intervention.not_here, intervention.accept, intervention.restore
_FORK = intervention.fork


def _go_on(_decision: Decision) -> Events:
    """Nothing of its own: what fell due and what can go on is decided with every trigger."""
    yield from ()


Cell = Node | Ignore | Unknown

COLUMNS: Final = (
    Status.NEW,
    Status.PLANNING,
    Status.EXECUTING,
    Status.BLOCKED,
    Status.PAUSED,
    Status.STOPPING,
    Status.COMPENSATING,
    Status.FINALIZING,
    Status.COMPLETED,
    Status.FAILED,
    Status.CANCELLED,
    Status.COMPENSATED,
)

# fmt: off
_ROWS: Final[dict[type[Trigger], tuple[Cell, ...]]] = {
    # trigger           new      planning  executing blocked   paused    stopping  compens.  finaliz.  completed failed    cancelled compensated
    StartWorkflow:     (_START,  STARTED,   STARTED,   STARTED,   STARTED,   STARTED,   STARTED,   STARTED,   STARTED,   STARTED,   STARTED,   STARTED),
    ForkWorkflow:      (_START,  EXISTS,   EXISTS,   EXISTS,   EXISTS,   EXISTS,   EXISTS,   EXISTS,   EXISTS,   EXISTS,   EXISTS,   EXISTS),
    RecordOutcome:     (UNKNOWN, _OUTCOME, _OUTCOME, _OUTCOME, _OUTCOME, _OUTCOME, _OUTCOME, _OUTCOME, _OUTCOME, _OUTCOME, _OUTCOME, _OUTCOME),
    LapseAttempt:      (UNKNOWN, _LAPSE,   _LAPSE,   _LAPSE,   _LAPSE,   _LAPSE,   _LAPSE,   _LAPSE,   OVER,     OVER,     OVER,     OVER),
    DeadLetterCommand: (UNKNOWN, _DEAD,    _DEAD,    _DEAD,    _DEAD,    _DEAD,    _DEAD,    _DEAD,    OVER,     OVER,     OVER,     OVER),
    RecordDecision:    (UNKNOWN, _DECIDE,  _DECIDE,  _DECIDE,  _DECIDE,  _DECIDE,  _DECIDE,  _DECIDE,  _DECIDE,  _DECIDE,  _DECIDE,  _DECIDE),
    Wake:              (UNKNOWN, _go_on,   _go_on,   _go_on,   PAUSED,   _go_on,   _go_on,   _go_on,   OVER,     OVER,     OVER,     OVER),
    DeliverSignal:     (UNKNOWN, _SIGNAL,  _SIGNAL,  _SIGNAL,  _SIGNAL,  STOPS,    STOPS,    _SIGNAL,  OVER,     OVER,     OVER,     OVER),
    EndChild:          (UNKNOWN, _CHILD,   _CHILD,   _CHILD,   _CHILD,   _CHILD,   _CHILD,   _CHILD,   OVER,     OVER,     OVER,     OVER),
    RetryStep:         (UNKNOWN, _RETRY,   _RETRY,   _RETRY,   _RETRY,   _RETRY,   _RETRY,   _RETRY,   _REFUSE,  _REFUSE,  _REFUSE,  _REFUSE),
    SkipStep:          (UNKNOWN, _SKIP,    _SKIP,    _SKIP,    _SKIP,    _SKIP,    _SKIP,    _SKIP,    _ACCEPT,  _ACCEPT,  _ACCEPT,  _ACCEPT),
    SupplyOutput:      (UNKNOWN, _SUPPLY,  _SUPPLY,  _SUPPLY,  _SUPPLY,  _SUPPLY,  _REFUSE,  _SUPPLY,  _REFUSE,  _REFUSE,  _REFUSE,  _REFUSE),
    SettleOutcome:     (UNKNOWN, _SETTLE,  _SETTLE,  _SETTLE,  _SETTLE,  _SETTLE,  _SETTLE,  _SETTLE,  _REFUSE,  _REFUSE,  _REFUSE,  _REFUSE),
    ExtendBudget:      (UNKNOWN, _EXTEND,  _EXTEND,  _EXTEND,  _EXTEND,  _REFUSE,  _REFUSE,  _EXTEND,  _REFUSE,  _REFUSE,  _REFUSE,  _REFUSE),
    PauseWorkflow:     (UNKNOWN, _PAUSE,   _PAUSE,   _PAUSE,   ALREADY,  _REFUSE,  _REFUSE,  _PAUSE,   _REFUSE,  _REFUSE,  _REFUSE,  _REFUSE),
    ResumeWorkflow:    (UNKNOWN, NOT_PAUSED, NOT_PAUSED, NOT_PAUSED, _RESUME, _REFUSE, _REFUSE, NOT_PAUSED, _REFUSE, _REFUSE, _REFUSE, _REFUSE),
    CancelWorkflow:    (UNKNOWN, _CANCEL,  _CANCEL,  _CANCEL,  _CANCEL,  ALREADY,  ALREADY,  _CANCEL,  _REFUSE,  _REFUSE,  _REFUSE,  _REFUSE),
    ForkHere:          (UNKNOWN, _FORK,    _FORK,    _FORK,    _FORK,    _FORK,    _FORK,    _FORK,    _FORK,    _FORK,    _FORK,    _FORK),
    RestoreWorkflow:   (UNKNOWN, _RESTORE, _RESTORE, _RESTORE, _RESTORE, _RESTORE, _RESTORE, _RESTORE, OVER,     OVER,     OVER,     OVER),
}
# fmt: on

TABLE: Final[dict[tuple[type[Trigger], Status], Cell]] = {
    (trigger, status): cell for trigger, row in _ROWS.items() for status, cell in zip(COLUMNS, row, strict=True)
}
