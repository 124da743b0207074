"""What an author declares: activities, steps and workflow definitions; all of it checked when it is loaded.

`@activity` turns a function into an ActivityType; a Definition puts activity types, a plan or a planner, and policies
together. Every mistake is a DefinitionInvalid whose message names the place.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal, overload

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from domain.errors import DefinitionInvalid, PlanInvalid
from domain.ids import NAME_PATTERN, is_name
from domain.plan import ChildSpec, OnTimeout, PlannedStep, PlanProposal, PlanRequest, SignalWait, TimeWait, check_plan
from domain.policies import ANYONE, ApprovalPolicy, GatePolicy, Predicate, RetryPolicy

Effect = Literal["pure", "idempotent", "once"]

DEFAULT_QUEUE: Final = "default"
DEFAULT_START_TO_FINISH: Final = timedelta(minutes=1)
DEFAULT_SCHEDULE_TO_FINISH: Final = timedelta(hours=24)
PARALLEL_STEPS: Final = 16
_REDACTABLE_DEPTH: Final = 12


@dataclass(frozen=True)
class Redactable:
    """Mark of a field, `Annotated[str, Redactable()]`, whose value may later be cut out of the record provably."""


class CompensationInput(BaseModel):
    """What a compensation is given; `output` is null where the effect's outcome was never learnt.

    A compensation must tolerate that the effect never happened.
    """

    model_config = ConfigDict(frozen=True)

    input: dict[str, Any]
    output: Any = None
    idempotency_key: str


class ProbeInput(BaseModel):
    """What a reconcile probe is given: it answers with the step's output, or raises NotApplied."""

    model_config = ConfigDict(frozen=True)

    input: dict[str, Any]
    idempotency_key: str


class Finalization(BaseModel):
    """What the artifact's activity is given when all steps have settled."""

    model_config = ConfigDict(frozen=True)

    workflow_id: str
    goal: str
    input: dict[str, Any]
    outputs: dict[str, Any]
    approvals: dict[str, dict[str, Any]]
    controls: list[str]


class ArtifactRef(BaseModel):
    """A file in the artifact store: its name, the SHA-256 of its bytes in hex, its size in bytes."""

    model_config = ConfigDict(frozen=True)

    name: str
    digest: str
    size: int


@dataclass(frozen=True)
class ActivityType:
    """The declaration of an activity, with the code that runs it. Calling it calls the code, as tests of authors do."""

    name: str
    function: Callable[..., Any]
    input_type: Any
    output_type: Any
    takes_context: bool
    effect: Effect = "idempotent"
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    start_to_finish: timedelta = DEFAULT_START_TO_FINISH
    schedule_to_finish: timedelta = DEFAULT_SCHEDULE_TO_FINISH
    compensation: str | None = None
    pivot: bool = False
    reconcile: str | None = None
    settle_after: timedelta = timedelta(seconds=5)
    queue: str = DEFAULT_QUEUE
    concurrency: int | None = None
    secrets: tuple[str, ...] = ()
    input_adapter: TypeAdapter[Any] = field(repr=False, compare=False, default_factory=lambda: TypeAdapter(Any))
    output_adapter: TypeAdapter[Any] = field(repr=False, compare=False, default_factory=lambda: TypeAdapter(Any))
    redactable_input: tuple[str, ...] = ()
    redactable_output: tuple[str, ...] = ()
    is_async: bool = True

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the author's function."""
        return self.function(*arguments, **named)

    @property
    def undoable(self) -> bool:
        """Whether the plan may hold it: pure, or with a compensation, or marked as a pivot."""
        return self.effect == "pure" or self.compensation is not None or self.pivot


def _reference_name(value: ActivityType | str | None) -> str | None:
    return value.name if isinstance(value, ActivityType) else value


@overload
def activity(function: Callable[..., Any], /) -> ActivityType: ...
@overload
def activity(
    *,
    name: str | None = None,
    effect: Effect = "idempotent",
    retry: RetryPolicy | None = None,
    start_to_finish: timedelta = DEFAULT_START_TO_FINISH,
    schedule_to_finish: timedelta = DEFAULT_SCHEDULE_TO_FINISH,
    compensation: ActivityType | str | None = None,
    pivot: bool = False,
    reconcile: ActivityType | str | None = None,
    settle_after: timedelta = timedelta(seconds=5),
    queue: str = DEFAULT_QUEUE,
    concurrency: int | None = None,
    secrets: Sequence[str] = (),
) -> Callable[[Callable[..., Any]], ActivityType]: ...


def activity(  # noqa: PLR0913 - the author's whole vocabulary, by keyword only
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    effect: Effect = "idempotent",
    retry: RetryPolicy | None = None,
    start_to_finish: timedelta = DEFAULT_START_TO_FINISH,
    schedule_to_finish: timedelta = DEFAULT_SCHEDULE_TO_FINISH,
    compensation: ActivityType | str | None = None,
    pivot: bool = False,
    reconcile: ActivityType | str | None = None,
    settle_after: timedelta = timedelta(seconds=5),
    queue: str = DEFAULT_QUEUE,
    concurrency: int | None = None,
    secrets: Sequence[str] = (),
) -> ActivityType | Callable[[Callable[..., Any]], ActivityType]:
    """Declare a function as an activity.

    The function is async or plain (then it runs in a thread); its first parameter is its input, annotated with a
    pydantic model or another type pydantic validates; a parameter annotated `Context` gets the attempt's context; its
    return annotation is the output's type. Raises DefinitionInvalid, naming the function, where that does not hold.

    `effect` says what an end without proof means: `pure` and `idempotent` are run again, `once` never is. `secrets`
    names the secrets that its context may open.
    """

    def declare(target: Callable[..., Any]) -> ActivityType:
        return _declare(
            target,
            name=name or target.__name__,
            effect=effect,
            retry=retry or RetryPolicy(),
            start_to_finish=start_to_finish,
            schedule_to_finish=schedule_to_finish,
            compensation=_reference_name(compensation),
            pivot=pivot,
            reconcile=_reference_name(reconcile),
            settle_after=settle_after,
            queue=queue,
            concurrency=concurrency,
            secrets=tuple(secrets),
        )

    return declare(function) if function is not None else declare


def _declare(target: Callable[..., Any], *, name: str, **options: Any) -> ActivityType:
    place = f"activity {name!r} ({target.__module__}.{target.__qualname__})"
    if not is_name(name):
        raise DefinitionInvalid(f"{place}: its name must fit {NAME_PATTERN}; give name=…")
    try:
        hints = typing.get_type_hints(target, include_extras=True)
    except NameError as error:
        raise DefinitionInvalid(f"{place}: an annotation cannot be resolved: {error}") from error
    parameters = list(inspect.signature(target).parameters.values())
    context = [one for one in parameters if getattr(hints.get(one.name), "__name__", "") == "Context"]
    inputs = [one for one in parameters if one not in context]
    if len(inputs) != 1 or parameters[0] is not inputs[0]:
        raise DefinitionInvalid(f"{place}: takes its input as first parameter, and at most a Context besides")
    if inputs[0].name not in hints or "return" not in hints:
        raise DefinitionInvalid(f"{place}: annotate its input and its return type; they are checked at run time")
    declared = ActivityType(
        name=name,
        function=target,
        input_type=hints[inputs[0].name],
        output_type=hints["return"],
        takes_context=bool(context),
        input_adapter=_adapter(hints[inputs[0].name], f"{place}: input"),
        output_adapter=_adapter(_without_answers(hints["return"]), f"{place}: output"),
        redactable_input=tuple(_redactable(hints[inputs[0].name])),
        redactable_output=tuple(_redactable(_without_answers(hints["return"]))),
        is_async=inspect.iscoroutinefunction(target),
        **options,
    )
    _check_activity(declared, place)
    return declared


def _adapter(annotation: Any, place: str) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DefinitionInvalid(f"{place}: pydantic cannot validate {annotation!r}: {reason}") from error


def _without_answers(annotation: Any) -> Any:
    """The output type proper: what the return annotation says besides NeedsApproval and Denied."""
    from domain.errors import ActivityAnswer  # noqa: PLC0415 - errors' names stay out of this module's face

    parts = typing.get_args(annotation)
    if not parts or typing.get_origin(annotation) is typing.Annotated:
        return annotation
    kept = [part for part in parts if not (isinstance(part, type) and issubclass(part, ActivityAnswer))]
    if len(kept) == len(parts):
        return annotation
    return typing.Union[tuple(kept)] if kept else type(None)  # noqa: UP007 - built at run time


def _redactable(annotation: Any, prefix: str = "", depth: int = 0) -> list[str]:
    """Pointers of the fields marked Redactable, in nested models, optional ones, lists (`*`) and mappings (`*`) too."""
    if depth > _REDACTABLE_DEPTH:
        return []
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [
            pointer
            for name, info in annotation.model_fields.items()
            for pointer in (
                [f"{prefix}/{info.serialization_alias or name}"]
                if any(isinstance(mark, Redactable) or mark is Redactable for mark in info.metadata)
                else _redactable(info.annotation, f"{prefix}/{info.serialization_alias or name}", depth + 1)
            )
        ]
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _redactable(parts[0], prefix, depth + 1)
    if origin in {typing.Union, types.UnionType}:
        return [pointer for part in parts for pointer in _redactable(part, prefix, depth + 1)]
    if isinstance(origin, type) and issubclass(origin, Mapping | Sequence):
        return [pointer for part in parts for pointer in _redactable(part, f"{prefix}/*", depth + 1)]
    return []


def _check_activity(declared: ActivityType, place: str) -> None:
    if declared.start_to_finish <= timedelta(0):
        raise DefinitionInvalid(f"{place}: start_to_finish must be longer than nothing")
    if declared.schedule_to_finish < declared.start_to_finish:
        raise DefinitionInvalid(
            f"{place}: schedule_to_finish ({declared.schedule_to_finish}) is shorter than start_to_finish "
            f"({declared.start_to_finish}): no attempt could ever end in time"
        )
    if declared.reconcile is not None and declared.effect != "once":
        raise DefinitionInvalid(f"{place}: only an activity with effect='once' has a reconcile probe")
    if declared.pivot and declared.compensation is not None:
        raise DefinitionInvalid(f"{place}: is a pivot (cannot be undone) and names a compensation: choose one")
    if declared.pivot and declared.effect == "pure":
        raise DefinitionInvalid(f"{place}: is pure, so there is nothing that a pivot could mark")
    if not is_name(declared.queue):
        raise DefinitionInvalid(f"{place}: queue {declared.queue!r} must fit {NAME_PATTERN}")
    if declared.concurrency is not None and declared.concurrency < 1:
        raise DefinitionInvalid(f"{place}: concurrency must be at least 1")


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
        self.gates = tuple(gates)
        self._gates_are_for_all = all(ANYONE in gate.steps for gate in self.gates)
        self.approvals = {policy.name: policy for policy in approvals}
        self.default_approval = approvals[0] if approvals else ApprovalPolicy()
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

    def _gather(self, steps: Sequence[Step], activities: Sequence[ActivityType]) -> dict[str, ActivityType]:
        named: dict[str, ActivityType] = {}
        mentioned = [*activities, *(step.activity for step in steps), self.planner, self.artifact]
        for one in mentioned:
            if not isinstance(one, ActivityType):
                continue
            if named.setdefault(one.name, one) is not one:
                raise DefinitionInvalid(f"{self.place}: two activities are called {one.name!r}; rename one with name=…")
        return named

    def _fixed_plan(self, steps: Sequence[Step]) -> tuple[PlannedStep, ...]:
        planned: list[PlannedStep] = []
        for number, step in enumerate(steps):
            before = () if number == 0 else (steps[number - 1].id,)
            try:
                planned.append(
                    PlannedStep(
                        id=step.id,
                        activity=_reference_name(step.activity),
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
                        "list it in activities=[…]"
                    )
        if self.planner is not None and self.planner.effect == "once":
            raise DefinitionInvalid(f"{self.place}: a planner is asked again after a crash: make it pure or idempotent")
        if self.artifact is not None and self.artifact.effect == "once":
            raise DefinitionInvalid(f"{self.place}: the artifact's activity must be pure or idempotent")
        for gate in self.gates:
            if gate.predicate is not None and gate.predicate not in self.predicates:
                raise DefinitionInvalid(f"{self.place}, gate {gate.name!r}: unknown predicate {gate.predicate!r}")
            if gate.approval is not None and gate.approval not in self.approvals:
                raise DefinitionInvalid(f"{self.place}, gate {gate.name!r}: unknown approval policy {gate.approval!r}")
        if self.plan is not None:
            try:
                self.check(self.plan, earlier={}, place=self.place)
            except PlanInvalid as error:
                raise DefinitionInvalid(str(error)) from error

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
