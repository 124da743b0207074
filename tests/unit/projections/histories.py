"""Histories that the engine itself wrote: real decisions on triggers by chance, over definitions with everything."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from domain import triggers as t
from domain.definitions import Definition, Step, activity
from domain.errors import Refused
from domain.events import Artifact
from domain.evolve import evolve
from domain.failures import FailureClass, make_failure
from domain.plan import ChildSpec, PlannedStep, PlanProposal, PlanRequest, SignalWait, TimeWait
from domain.policies import ApprovalPolicy, GatePolicy, RetryPolicy
from domain.recorded import RecordedEvent
from domain.state import STATE, State
from domain.workflow import Workflow

START = datetime(2030, 1, 1, tzinfo=UTC)
ONCE_MORE = RetryPolicy(max_attempts=2, initial_delay=timedelta(seconds=5))


@activity(effect="idempotent")
def undo(_: dict[str, Any]) -> dict[str, Any]:
    return {}


@activity(effect="pure")
def look(_: dict[str, Any]) -> dict[str, Any]:
    return {}


@activity(
    effect="idempotent",
    compensation=undo,
    retry=ONCE_MORE,
    start_to_finish=timedelta(seconds=30),
    schedule_to_finish=timedelta(seconds=60),
)
def put(_: dict[str, Any]) -> dict[str, Any]:
    return {}


@activity(effect="once", compensation=undo)
def send(_: dict[str, Any]) -> dict[str, Any]:
    return {}


@activity(effect="once", reconcile=look, pivot=True)
def pay(_: dict[str, Any]) -> dict[str, Any]:
    return {}


@activity(effect="pure", retry=ONCE_MORE)
def write(_: dict[str, Any]) -> dict[str, Any]:
    return {}


@activity(effect="pure", retry=ONCE_MORE)
def plan(_: PlanRequest) -> PlanProposal:
    return PlanProposal()


APPROVALS = (
    ApprovalPolicy(name="one", deadline=timedelta(minutes=10), on_expiry="grant"),
    ApprovalPolicy(
        name="two",
        required=2,
        deadline=timedelta(minutes=5),
        escalate_after=timedelta(minutes=1),
        escalate_to=("boss",),
        on_expiry="intervene",
    ),
)
GATES = (GatePolicy(name="careful", steps=("send",), verdict="require_approval", approval="two"),)

FIXED = Definition(
    "fixed",
    steps=[
        Step("first", put),
        Step("left", look, after=["first"]),
        Step("right", send, after=["first"]),
        Step("nap", wait_time=TimeWait(duration=timedelta(seconds=30)), after=["left"]),
        Step(
            "call",
            wait_signal=SignalWait(name="called", correlation="x"),
            after=["left"],
            timeout=timedelta(minutes=2),
            on_timeout="skip",
        ),
        Step("child", child=ChildSpec(definition="other"), after=["right"], timeout=timedelta(minutes=3)),
        Step("put-again", put, after=["child", "nap"], approval="one"),
        Step("pay", pay, after=["put-again", "call"]),
    ],
    activities=[undo, look],
    approvals=APPROVALS,
    gates=GATES,
    artifact=write,
    attempts_budget=4,
    parallel=2,
)
PLANNED = Definition(
    "planned",
    planner=plan,
    activities=[undo, look, put, send, pay],
    approvals=APPROVALS,
    gates=GATES,
    on_failure="intervene",
    deadline=timedelta(hours=1),
)
DEFINITIONS = {definition.name: definition for definition in (FIXED, PLANNED)}


@dataclass
class Script:
    """One workflow that is driven by chance."""

    chance: random.Random
    definition: Definition
    workflow: Workflow
    at: datetime = START

    @property
    def state(self) -> State:
        return self.workflow.state

    def events(self, decisions: int) -> Iterator[RecordedEvent]:
        """What the engine records on so many triggers."""
        start = t.StartWorkflow(
            goal="a goal",
            definition=self.definition.name,
            definition_version="1",
            requested_by="rita",
            tags={"team": "blue"},
        )
        yield from self.decide(start)
        for _ in range(decisions):
            self.at += timedelta(seconds=self.chance.choice((0, 0, 1, 7, 70, 400)))
            yield from self.decide(self.chance.choice(list(self.possible())))

    def decide(self, trigger: t.Trigger) -> tuple[RecordedEvent, ...]:
        state = self.state
        open_commands = frozenset(command for command in state.live if self.chance.random() < 0.5)
        missing = isinstance(trigger, t.Wake) and self.chance.random() < 0.2
        definition = None if missing else self.definition
        given = t.Given(trigger, self.at, "cause", "actor", open_commands)
        try:
            return self.workflow.handle(given, definition).events
        except Refused:
            return ()

    def possible(self) -> Iterator[t.Trigger]:
        state, chance = self.state, self.chance
        yield t.Wake()
        for command in state.live:
            _, step, kind, attempt = command.split("/")
            about: dict[str, Any] = {"step": step, "kind": kind, "attempt": int(attempt)}
            # An attempt is likelier to end well than to lapse, so that workflows come far.
            for _ in range(6):
                yield t.RecordOutcome(**about, status="ok", output=self.output(kind), artifacts=self.artifacts(kind))
            yield t.RecordOutcome(**about, status="failed", failure=self.failure())
            yield t.LapseAttempt(**about, owner="gone")
            yield t.DeadLetterCommand(**about, reason="no route")
            if kind == "run":
                yield t.RecordOutcome(**about, status="needs_approval", answer=t.Answer(reason="large", policy="one"))
        for key in state.lapsed:
            step, kind, attempt = key.split("/")
            late: dict[str, Any] = {"step": step, "kind": kind, "attempt": int(attempt)}
            yield t.RecordOutcome(**late, status="ok", output=self.output(kind))
        for ballot in state.ballots.values():
            asked = ballot.request
            quoted: dict[str, Any] = {
                "approval_id": asked.approval_id,
                "round": asked.round,
                "digest": asked.digest,
            }
            for who in ("ann", "bob", "boss"):
                yield t.RecordDecision(**quoted, decision="approve", decided_by=who)
            yield t.RecordDecision(**quoted, decision="reject", decided_by="ann")
        for wait in state.waits.values():
            if wait.reason == "signal":
                yield t.DeliverSignal(name="called", correlation="x", payload={"a": 1})
            if wait.reason == "child":
                yield t.EndChild(
                    step=wait.step, child_workflow=wait.name or "", status=chance.choice(("completed", "failed"))
                )
        yield from self.interventions()

    def interventions(self) -> Iterator[t.Trigger]:
        state, chance = self.state, self.chance
        person: dict[str, Any] = {"by": "olga", "reason": "because"}
        if state.paused:
            yield t.ResumeWorkflow(**person)
        if any(wait.reason in {"intervention", "budget", "outcome_unknown"} for wait in state.waits.values()):
            yield t.ExtendBudget(**person, attempts=5)
            yield from self.repairs(person)
        if chance.random() < 0.1:
            yield t.PauseWorkflow(**person)
        if chance.random() < 0.1:
            yield from self.repairs(person)
        if chance.random() < 0.05:
            yield t.CancelWorkflow(**person, compensate=chance.random() < 0.7)
        if chance.random() < 0.03:
            yield t.RestoreWorkflow(**person, epoch=state.epoch + 1)

    def repairs(self, person: dict[str, Any]) -> Iterator[t.Trigger]:
        for step in (*self.state.steps, *([self.state.undoing.step] if self.state.undoing else [])):
            yield t.RetryStep(**person, step=step)
            yield t.RetryStep(**person, step=step, input={"again": True})
            yield t.SkipStep(**person, step=step)
            yield t.SupplyOutput(**person, step=step, output={"supplied": True})
            yield t.SettleOutcome(**person, step=step, applied=self.chance.random() < 0.5)

    def output(self, kind: str) -> Any:
        if kind != "plan":
            return {"outcome": "fine"}
        number = self.state.plan_round
        steps = (
            PlannedStep(id=f"put{number}", activity="put"),
            PlannedStep(id=f"look{number}", activity="look", after=(f"put{number}",)),
            PlannedStep(id=f"send{number}", activity="send"),
        )
        return PlanProposal(steps=steps[: self.chance.randint(0, 3)], done=number >= 3).model_dump(mode="json")

    def artifacts(self, kind: str) -> tuple[Artifact, ...]:
        return (Artifact(name="paper.json", digest="0" * 64, size=2),) if kind == "artifact" else ()

    def failure(self) -> Any:
        kind = self.chance.choice(
            (FailureClass.TRANSIENT, FailureClass.PERMANENT, FailureClass.BUG, FailureClass.REJECTED)
        )
        return make_failure("put", kind, "it broke", absent=self.chance.random() < 0.3)


def script(seed: int, definition: Definition = FIXED, workflow_id: str = "wf_001") -> Script:
    """A workflow to be driven by the chance that the seed gives."""
    return Script(random.Random(seed), definition, Workflow(workflow_id))


def history(
    seed: int, decisions: int = 60, definition: Definition = FIXED, workflow_id: str = "wf_001"
) -> list[RecordedEvent]:
    """A whole history."""
    return list(script(seed, definition, workflow_id).events(decisions))


def forked(
    source: list[RecordedEvent], seed: int, decisions: int, workflow_id: str = "wf_fork"
) -> Iterator[RecordedEvent]:
    """The history of a fork of another history's end."""
    state = State("wf_001")
    for recorded in source:
        evolve(state, recorded)
    fork = script(seed, DEFINITIONS[state.definition], workflow_id)
    yield from fork.decide(
        t.ForkWorkflow(
            source="wf_001",
            source_version=state.version,
            source_digest=state.head,
            state=STATE.dump_python(state, mode="json"),
            requested_by="rita",
        )
    )
    for _ in range(decisions):
        fork.at += timedelta(seconds=fork.chance.choice((0, 1, 70)))
        yield from fork.decide(fork.chance.choice(list(fork.possible())))
