"""What an author declares: steps and workflow definitions, over activity types; all of it checked when it is loaded.

A Definition puts activity types, a plan or a planner, and policies together. Every mistake is a DefinitionInvalid whose
message names the place.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal

from pydantic import BaseModel, TypeAdapter, ValidationError

from domain.activity_types import (
    DEFAULT_QUEUE,
    DEFAULT_SCHEDULE_TO_FINISH,
    DEFAULT_START_TO_FINISH,
    ActivityType,
    ArtifactRef,
    CompensationInput,
    Effect,
    Finalization,
    ProbeInput,
    Redactable,
    activity,
)
from domain.durations import LONGEST
from domain.errors import DefinitionInvalid, PlanInvalid
from domain.plan import ChildSpec, OnTimeout, PlannedStep, PlanProposal, PlanRequest, SignalWait, TimeWait, check_plan
from domain.policies import ANYONE, ApprovalPolicy, GatePolicy, Predicate
from domain.references import check_references

__all__ = [
    "DEFAULT_QUEUE",
    "DEFAULT_SCHEDULE_TO_FINISH",
    "DEFAULT_START_TO_FINISH",
    "PROPOSAL",
    "REQUEST",
    "ActivityType",
    "ArtifactRef",
    "CompensationInput",
    "Definition",
    "Effect",
    "Finalization",
    "ProbeInput",
    "Redactable",
    "Step",
    "activity",
    "words",
]

PARALLEL_STEPS: Final = 16

InputMapping = Mapping[str, Any] | Callable[[Mapping[str, Any]], Mapping[str, Any]] | None


@dataclass(frozen=True)
class Step:
    """One step of a fixed plan.

    `input` is a mapping that may hold `ref(…)`, or a function of {"goal", "input", "steps", "approvals", "workflow",
    "tags"} whose answer is recorded; left out, the workflow's input is passed on. `after` left out means: after the
    step before it; `()` means: at once. One of `activity`, `wait_time`, `wait_signal`, `child` is given.
    """

    id: str
    activity: ActivityType | str | None = None
    input: InputMapping = None
    after: Sequence[str] | None = None
    wait_time: TimeWait | None = None
    wait_signal: SignalWait | None = None
    child: ChildSpec | None = None
    timeout: timedelta | None = None
    on_timeout: OnTimeout = "fail"
    approval: str | None = None


class Definition:
    """A named, versioned recipe of workflows; checked when it is made.

    Either `steps` (a fixed plan) or `planner` (an activity from PlanRequest to PlanProposal) is given. `parallel`
    bounds the attempts under way at once, `attempts_budget` all attempts of a workflow's life. `on_failure` says
    whether a failed step makes the workflow undo itself or stop for a person.
    """

    def __init__(  # noqa: PLR0913 - the author's whole vocabulary, by keyword only
        self,
        name: str,
        *,
        version: str = "1",
        steps: Sequence[Step] | None = None,
        planner: ActivityType | None = None,
        activities: Sequence[ActivityType] = (),
        gates: Sequence[GatePolicy] = (),
        approvals: Sequence[ApprovalPolicy] = (),
        predicates: Sequence[Predicate] = (),
        artifact: ActivityType | None = None,
        input_model: type[BaseModel] | None = None,
        deadline: timedelta | None = None,
        parallel: int = PARALLEL_STEPS,
        attempts_budget: int | None = None,
        on_failure: Literal["compensate", "intervene"] = "compensate",
    ) -> None:
        """Put the parts together and check them; raises DefinitionInvalid, naming the place."""
        self.name = name
        self.version = version
        self.planner = planner
        self.artifact = artifact
        self.input_model = input_model
        self.deadline = deadline
        self.parallel = parallel
        self.attempts_budget = attempts_budget
        self.on_failure = on_failure
        self.place = f"definition {name!r} version {version!r}"
        self._check_shape(steps)
        self._set_policies(gates, approvals, approvals[0] if approvals else ApprovalPolicy())
        self._of_steps: Mapping[str, ActivityType] = {}
        self.predicates = {predicate.name: predicate for predicate in predicates}
        self.activities = self._gather(steps or (), activities)
        self.inputs: dict[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
            step.id: step.input for step in steps or () if callable(step.input)
        }
        self.plan = self._fixed_plan(steps) if steps is not None else None
        self._check_parts(approvals)

    @property
    def slug(self) -> str:
        """The name as part of a routing key or label: lower case, words joined by '-'."""
        return "-".join(words(self.name))

    def gates_over(self, step: str, activity: str) -> Sequence[GatePolicy]:
        """The policies of the gate that speak about a step."""
        if self._gates_are_for_all:
            return self.gates
        return [gate for gate in self.gates if gate.covers(step, activity)]

    def approval_policy(self, name: str | None) -> ApprovalPolicy:
        """The approval policy of that name, or the definition's default."""
        return self.default_approval if name is None else self.approvals[name]

    def activity_of(self, step: str, activity: str) -> ActivityType | None:
        """The activity type that a step of a plan runs; None where there is none of this name."""
        return self._of_steps.get(step) or self.activities.get(activity)

    def with_policies(
        self,
        *,
        gates: Sequence[GatePolicy],
        approvals: Sequence[ApprovalPolicy],
        default_approval: ApprovalPolicy,
        activities: Mapping[str, ActivityType],
        steps: Mapping[str, ActivityType],
    ) -> Definition:
        """The same recipe under other policies, to ask what would have been; raises DefinitionInvalid.

        `activities` are all of them by name, and `steps` holds what single steps run instead.
        """
        own = dict(activities)
        return copy.copy(self)._under(gates, approvals, default_approval, own, steps)  # noqa: SLF001 - its own copy

    def _under(
        self,
        gates: Sequence[GatePolicy],
        approvals: Sequence[ApprovalPolicy],
        default_approval: ApprovalPolicy,
        activities: dict[str, ActivityType],
        steps: Mapping[str, ActivityType],
    ) -> Definition:
        self._set_policies(gates, approvals, default_approval)
        self.activities = activities
        self.planner = activities[self.planner.name] if self.planner is not None else None
        self.artifact = activities[self.artifact.name] if self.artifact is not None else None
        self._of_steps = steps
        self._check_gates()
        return self

    def _set_policies(
        self, gates: Sequence[GatePolicy], approvals: Sequence[ApprovalPolicy], default_approval: ApprovalPolicy
    ) -> None:
        self.gates = tuple(gates)
        self._gates_are_for_all = all(ANYONE in gate.steps for gate in self.gates)
        self.approvals = {policy.name: policy for policy in approvals}
        self.default_approval = default_approval

    def _check_shape(self, steps: Sequence[Step] | None) -> None:
        if not words(self.name) or len(self.name) > 200:  # noqa: PLR2004 - a line of text
            raise DefinitionInvalid(f"{self.place}: a name needs a letter or digit and at most 200 characters")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}", self.version):
            raise DefinitionInvalid(f"{self.place}: a version is 1 to 64 letters, digits, '_', '.', '+', '-'")
        if (steps is None) == (self.planner is None):
            raise DefinitionInvalid(f"{self.place}: give either steps=[…] or planner=…")
        if steps is not None and not steps:
            raise DefinitionInvalid(f"{self.place}: steps=[…] is empty; a plan needs at least one step")
        if not 1 <= self.parallel <= 1_000:  # noqa: PLR2004 - as many as a plan holds
            raise DefinitionInvalid(f"{self.place}: parallel must be between 1 and 1000")
        if self.attempts_budget is not None and self.attempts_budget < 1:
            raise DefinitionInvalid(f"{self.place}: attempts_budget must be at least 1")
        if self.deadline is not None and self.deadline <= timedelta(0):
            raise DefinitionInvalid(f"{self.place}: deadline must be longer than nothing")
        if self.deadline is not None and self.deadline > LONGEST:
            raise DefinitionInvalid(f"{self.place}: deadline must be {LONGEST.days} days at most")

    def _gather(self, steps: Sequence[Step], activities: Sequence[ActivityType]) -> dict[str, ActivityType]:
        named: dict[str, ActivityType] = {}
        mentioned = [*activities, *(step.activity for step in steps), self.planner, self.artifact]
        while mentioned:
            one = mentioned.pop(0)
            if not isinstance(one, ActivityType):
                continue
            known = named.setdefault(one.name, one)
            if known is not one:
                raise DefinitionInvalid(f"{self.place}: two activities are called {one.name!r}; rename one with name=…")
            mentioned += [other for other in one.companions if named.get(other.name) is not other]
        return named

    def _fixed_plan(self, steps: Sequence[Step]) -> tuple[PlannedStep, ...]:
        planned: list[PlannedStep] = []
        for number, step in enumerate(steps):
            before = () if number == 0 else (steps[number - 1].id,)
            try:
                planned.append(
                    PlannedStep(
                        id=step.id,
                        activity=step.activity.name if isinstance(step.activity, ActivityType) else step.activity,
                        input=None if step.input is None or callable(step.input) else dict(step.input),
                        after=before if step.after is None else tuple(step.after),
                        wait_time=step.wait_time,
                        wait_signal=step.wait_signal,
                        child=step.child,
                        timeout=step.timeout,
                        on_timeout=step.on_timeout,
                        approval=step.approval,
                    )
                )
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                raise DefinitionInvalid(f"{self.place}, step {step.id!r}: {first['msg']}") from error
        return tuple(planned)

    def _check_parts(self, approvals: Sequence[ApprovalPolicy]) -> None:
        if len(self.approvals) != len(approvals):
            raise DefinitionInvalid(f"{self.place}: two approval policies share a name")
        for declared in self.activities.values():
            for role, other in (("compensation", declared.compensation), ("reconcile probe", declared.reconcile)):
                if other is not None and other not in self.activities:
                    raise DefinitionInvalid(
                        f"{self.place}, activity {declared.name!r}: its {role} {other!r} is not known; "
                        "give the activity itself instead of its name, or list it in activities=[…]"
                    )
        self._check_foreign()
        if self.planner is not None and self.planner.effect == "once":
            raise DefinitionInvalid(f"{self.place}: a planner is asked again after a crash: make it pure or idempotent")
        if self.artifact is not None and self.artifact.effect == "once":
            raise DefinitionInvalid(f"{self.place}: the artifact's activity must be pure or idempotent")
        self._check_gates()
        if self.plan is not None:
            try:
                check_references(self.plan, activities=self.activities, input_model=self.input_model, place=self.place)
                self.check(self.plan, earlier={}, place=self.place)
            except PlanInvalid as error:
                raise DefinitionInvalid(str(error)) from error

    def _check_gates(self) -> None:
        for gate in self.gates:
            if gate.predicate is not None and gate.predicate not in self.predicates:
                raise DefinitionInvalid(f"{self.place}, gate {gate.name!r}: unknown predicate {gate.predicate!r}")
            if gate.approval is not None and gate.approval not in self.approvals:
                raise DefinitionInvalid(f"{self.place}, gate {gate.name!r}: unknown approval policy {gate.approval!r}")

    def _check_foreign(self) -> None:
        foreign = {declared.queue: declared for declared in self.activities.values() if declared.foreign}
        for declared in self.activities.values():
            if not declared.foreign and declared.queue in foreign:
                raise DefinitionInvalid(
                    f"{self.place}, activity {declared.name!r}: its queue {declared.queue!r} is that of the foreign "
                    f"activity {foreign[declared.queue].name!r}, whose consumer cannot run it; give it another queue"
                )
        if self.artifact is not None and self.artifact.foreign:
            raise DefinitionInvalid(f"{self.place}: the artifact's activity writes a file here: it cannot be foreign")

    def check(self, steps: Sequence[PlannedStep], *, earlier: Mapping[str, object], place: str) -> None:
        """Raise PlanInvalid where a plan breaks a rule; every effect needs a compensation or a pivot mark."""
        check_plan(
            steps,
            activities=frozenset(self.activities),
            approvals=frozenset(self.approvals),
            earlier=earlier,
            place=place,
        )
        for step in steps:
            declared = self.activities.get(step.activity or "")
            if declared is not None and not declared.undoable:
                raise PlanInvalid(
                    f"{place}, step {step.id!r}: activity {declared.name!r} has an effect ({declared.effect}) but "
                    "neither compensation=… nor pivot=True; if there is nothing to undo, it is effect='pure'"
                )

    def __repr__(self) -> str:
        """Show name and version."""
        return f"Definition({self.name!r}, version={self.version!r})"


_WORD = re.compile(r"[^\W_]+")


def words(text: str) -> tuple[str, ...]:
    """A name's words: lower case, split on what is neither letter nor digit; equal words are equal names."""
    return tuple(_WORD.findall(text.lower()))


PROPOSAL: Final = TypeAdapter(PlanProposal)
REQUEST: Final = TypeAdapter(PlanRequest)
