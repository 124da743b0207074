"""Given a definition, when triggers come, then events: the language in which the rules are told.

A scenario is one workflow, decided on as the store would do it. Whatever it is told, after every decision it holds
what must always hold: the live state equals the fold of the events as they are stored, the chain verifies, the state
survives a snapshot, and deciding the whole history again gives the same events.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self, TypeVar

from domain import events as e
from domain.definitions import Definition
from domain.failures import Failure, FailureClass, make_failure
from domain.recorded import RecordedEvent, from_state, to_state, verify
from domain.replay import decide_again
from domain.state import STATE, State, Status, StepStatus
from domain.triggers import (
    Answer,
    CancelWorkflow,
    DeadLetterCommand,
    DeliverSignal,
    EndChild,
    ExtendBudget,
    Given,
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
from domain.workflow import Outcome, Workflow

BEGINNING = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
ID = "wf_001"

Fact = TypeVar("Fact", bound=e.Event)


def stored(recorded: RecordedEvent) -> RecordedEvent:
    """What comes back from the store for an event."""
    return from_state(recorded.originator_id, recorded.originator_version, recorded.name, to_state(recorded))


def failure(
    kind: FailureClass = FailureClass.PERMANENT,
    message: str = "no",
    *,
    type_name: str = "",
    retry_after_seconds: float | None = None,
    absent: bool = False,
) -> Failure:
    """Make a failure, permanent if nothing is said."""
    return make_failure(
        "test", kind, message, type_name=type_name, retry_after_seconds=retry_after_seconds, absent=absent
    )


TRANSIENT = failure(FailureClass.TRANSIENT, "later")
PERMANENT = failure()
BUG = failure(FailureClass.BUG, "surprise", type_name="KeyError")
NOT_APPLIED = failure(FailureClass.TRANSIENT, "it did not happen", type_name="NotApplied", absent=True)


@dataclass
class Loaded:
    """The definitions that are loaded, as replay asks for them."""

    known: dict[tuple[str, str], Definition] = field(default_factory=dict)

    def find(self, name: str, version: str) -> Definition | None:
        return self.known.get((name, version))


class Scenario:
    """One workflow and what becomes of it. Commands count as claimed once they are scheduled, unless left open."""

    def __init__(self, definition: Definition, workflow_id: str = ID) -> None:
        self.definition: Definition | None = definition
        self.definitions = Loaded({(definition.name, definition.version): definition})
        self.workflow = Workflow(workflow_id)
        self.shadow = Workflow(workflow_id)
        self.now = BEGINNING
        self.history: list[RecordedEvent] = []
        self.last = Outcome(())
        self.open: set[str] = set()
        self.replays = True
        self._cause = 0

    # --- given ------------------------------------------------------------------------------------------------------

    def started(self, goal: str = "goal", **parts: Any) -> Self:
        """Start the workflow, as requested by `rita` if nothing is said."""
        definition: Definition = parts.pop("definition", None) or self._definition()
        return self.when(
            StartWorkflow(
                goal=goal,
                definition=definition.name,
                definition_version=definition.version,
                requested_by=parts.pop("requested_by", "rita"),
                **parts,
            )
        )

    def unloaded(self) -> Self:
        """The definition's version is not loaded any more."""
        self.definition = None
        return self

    def loaded(self, definition: Definition) -> Self:
        """The definition's version is loaded (again)."""
        self.definition = definition
        self.definitions.known[definition.name, definition.version] = definition
        return self

    def left_open(self, *steps: str) -> Self:
        """Nobody has claimed the live commands of these steps (of all, if none is named)."""
        live = self.state.live
        self.open = {command for command, step in live.items() if not steps or step in steps}
        return self

    def claimed(self) -> Self:
        """Whatever was open is claimed now."""
        self.open = set()
        return self

    def later(self, seconds: float = 0, **span: float) -> Self:
        """Let time pass; nobody wakes the workflow for it."""
        self.now += timedelta(seconds=seconds, **span)
        return self

    # --- when -------------------------------------------------------------------------------------------------------

    def when(self, trigger: Trigger, *, actor: str = "test") -> Self:
        """Decide on a trigger now."""
        self._cause += 1
        given = Given(trigger, self.now, f"cause-{self._cause}", actor, frozenset(self.open))
        self.last = self.workflow.handle(given, self.definition)
        events = list(self.workflow.collect_events())
        assert tuple(events) == self.last.events
        self.history.extend(events)
        for event in events:
            self.shadow.apply(stored(event))
        self.open &= set(self.state.live)
        self.must_hold()
        return self

    def ok(self, step: str, output: Any = None, *, attempt: int | None = None, **parts: Any) -> Self:
        """The step's live attempt (or the one named) ends with its output."""
        return self.when(self._outcome(step, "ok", attempt, output=output, **parts))

    def fails(self, step: str, what: Failure = PERMANENT, *, attempt: int | None = None, **parts: Any) -> Self:
        """The step's live attempt ends in a failure, a permanent one if nothing is said."""
        return self.when(self._outcome(step, "failed", attempt, failure=what, **parts))

    def needs_approval(self, step: str, reason: str = "a person must look", **parts: Any) -> Self:
        """The activity answers NeedsApproval."""
        answer = Answer(reason=reason, **parts)
        return self.when(self._outcome(step, "needs_approval", None, answer=answer))

    def denies(self, step: str, reason: str = "the rule says no") -> Self:
        """The activity answers Denied."""
        return self.when(self._outcome(step, "denied", None, answer=Answer(reason=reason)))

    def lapses(self, step: str) -> Self:
        """The claim of the step's live attempt ends without an outcome."""
        kind, attempt = self.live(step)
        return self.when(LapseAttempt(step=step, kind=kind, attempt=attempt, owner="worker"))

    def dead_letters(self, step: str) -> Self:
        """The transport gives the step's command up."""
        kind, attempt = self.live(step)
        return self.when(DeadLetterCommand(step=step, kind=kind, attempt=attempt, reason="delivery limit"))

    def wakes(self) -> Self:
        """A timer fires."""
        return self.when(Wake())

    def approves(self, step: str, by: str = "ann", **parts: Any) -> Self:
        """A person approves the step's open round."""
        return self.when(self.decision(step, by, "approve", **parts))

    def rejects(self, step: str, by: str = "ann", **parts: Any) -> Self:
        """A person rejects the step's open round."""
        return self.when(self.decision(step, by, "reject", **parts))

    def signalled(self, name: str, correlation: str, payload: Any = None) -> Self:
        """Another service's message comes."""
        return self.when(DeliverSignal(name=name, correlation=correlation, payload=payload))

    def child_ends(self, step: str, status: Any = "completed", *, child: str | None = None, **parts: Any) -> Self:
        """The step's child workflow is terminal."""
        name = child or self.state.steps[step].child or ""
        return self.when(EndChild(step=step, child_workflow=name, status=status, **parts))

    def retried(self, step: str, by: str = "oscar", **parts: Any) -> Self:
        """An operator tries the step again."""
        return self.when(RetryStep(step=step, by=by, reason="again", **parts))

    def skipped(self, step: str, by: str = "oscar") -> Self:
        """An operator passes the step over."""
        return self.when(SkipStep(step=step, by=by, reason="not needed"))

    def supplied(self, step: str, output: Any = None, by: str = "oscar") -> Self:
        """An operator supplies the step's output."""
        return self.when(SupplyOutput(step=step, by=by, reason="known", output=output))

    def settled(self, step: str, *, applied: bool, output: Any = None, by: str = "oscar") -> Self:
        """An operator settles the step's unknown outcome."""
        return self.when(SettleOutcome(step=step, by=by, reason="looked", applied=applied, output=output))

    def extended(self, attempts: int = 1, by: str = "oscar") -> Self:
        """An operator extends the budget."""
        return self.when(ExtendBudget(by=by, reason="worth it", attempts=attempts))

    def paused(self, by: str = "oscar") -> Self:
        """An operator pauses the workflow."""
        return self.when(PauseWorkflow(by=by, reason="wait"))

    def resumed(self, by: str = "oscar") -> Self:
        """An operator lets the paused workflow go on."""
        return self.when(ResumeWorkflow(by=by, reason="go on"))

    def cancelled(self, by: str = "oscar", *, compensate: bool = True) -> Self:
        """An operator cancels the workflow."""
        return self.when(CancelWorkflow(by=by, reason="enough", compensate=compensate))

    def restored(self, epoch: int = 2) -> Self:
        """The store is put back from a backup: this is what it knows."""
        self.open = set()
        return self.when(RestoreWorkflow(epoch=epoch, by="oscar", reason="the disk broke"))

    # --- then -------------------------------------------------------------------------------------------------------

    def then(self, *kinds: type[e.Event]) -> Self:
        """The last decision recorded exactly these events."""
        assert self.names(self.last.events) == [kind.stored_name for kind in kinds]
        return self

    def then_ignored(self, words: str) -> Self:
        """The last trigger recorded nothing and was ignored, with a reason that holds these words."""
        assert self.names(self.last.events) == []
        assert self.last.ignored is not None
        assert words in self.last.ignored
        return self

    def then_refused(self, words: str) -> Self:
        """The last act of a person was refused, on the record, with a reason that holds these words."""
        refusal = self.event(e.DecisionRefused)
        assert words in refusal.reason, refusal.reason
        return self

    def status_is(self, status: Status) -> Self:
        """The workflow's status."""
        assert self.state.status is status
        return self

    def step_is(self, step: str, status: StepStatus) -> Self:
        """A step's status."""
        assert self.state.step_status(step) is status
        return self

    def waits_for(self, *reasons: str) -> Self:
        """The open waits, as `step:reason`."""
        assert sorted(self.state.waits) == sorted(reasons)
        return self

    # --- what one looks at ------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self.workflow.state

    def event(self, kind: type[Fact]) -> Fact:
        """The last event of a kind in the last decision."""
        found = [one.event for one in self.last.events if isinstance(one.event, kind)]
        assert found, f"no {kind.stored_name} among {self.names(self.last.events)}"
        return found[-1]

    def events(self, kind: type[Fact]) -> list[Fact]:
        """All events of a kind since the beginning."""
        return [one.event for one in self.history if isinstance(one.event, kind)]

    @staticmethod
    def names(events: Iterable[RecordedEvent]) -> list[str]:
        return [one.event.stored_name for one in events]

    def live(self, step: str) -> tuple[Literal["run", "compensate", "probe", "plan", "artifact"], int]:
        """Kind and number of the step's live attempt."""
        undoing = self.state.undoing
        if undoing is not None and undoing.step == step and undoing.live is not None:
            return "compensate", undoing.live.attempt
        holder = self.state.steps[step].live
        assert holder is not None, f"no attempt of {step} is under way"
        kind: Any = holder.kind
        return kind, holder.attempt

    def decision(self, step: str, by: str, decision: Literal["approve", "reject"], **parts: Any) -> RecordDecision:
        """A person's decision on the step's open round, as they would quote it."""
        asked = self.state.ballots[step].request
        quoted: dict[str, Any] = {
            "approval_id": asked.approval_id,
            "round": asked.round,
            "digest": asked.digest,
        } | parts
        return RecordDecision(decision=decision, decided_by=by, **quoted)

    def _definition(self) -> Definition:
        assert self.definition is not None
        return self.definition

    def _outcome(self, step: str, status: Any, attempt: int | None, **parts: Any) -> RecordOutcome:
        if attempt is None:
            parts["kind"], attempt = self.live(step)
        return RecordOutcome(step=step, attempt=attempt, status=status, **({"kind": "run"} | parts))

    # --- what must always hold --------------------------------------------------------------------------------------

    def must_hold(self) -> None:
        """What holds after every decision, whatever it was."""
        assert self.shadow.state == self.state, "the fold of the stored events is the live state"
        assert STATE.validate_json(STATE.dump_json(self.state)) == self.state, "a snapshot keeps the state"
        verify(self.history, head=self.state.head)
        if self.replays:
            assert decide_again(self.history, self.definitions) is None, "deciding again gives the record"


def given(definition: Definition, **start: Any) -> Scenario:
    """A workflow of this definition, started."""
    return Scenario(definition).started(**start)


def steps_scheduled(scenario: Scenario) -> Sequence[str]:
    """Message ids of all commands ever scheduled, in order."""
    return [one.message_id for one in scenario.events(e.StepScheduled)]
