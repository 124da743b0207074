"""What an author declares of one activity: its types, its effect, its bounds; checked when it is declared.

`@activity` turns a function into an ActivityType. Every mistake is a DefinitionInvalid whose message names the place.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final, Literal, overload

from pydantic import BaseModel, ConfigDict, TypeAdapter

from domain.durations import LONGEST
from domain.errors import DefinitionInvalid
from domain.ids import NAME_PATTERN, is_name
from domain.limits import Limits
from domain.policies import RetryPolicy

Effect = Literal["pure", "idempotent", "once"]

DEFAULT_QUEUE: Final = "default"
DEFAULT_START_TO_FINISH: Final = timedelta(minutes=1)
DEFAULT_SCHEDULE_TO_FINISH: Final = timedelta(hours=24)
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
    """The declaration of an activity, with the code that runs it. Calling it calls the code, as tests of authors do.

    `concurrency` bounds its attempts within each process, `limits` those of all processes together. A `foreign` one is
    run by a consumer in another language; its function is only a signature, and is never called.
    """

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
    limits: Limits | None = None
    foreign: bool = False
    input_adapter: TypeAdapter[Any] = field(repr=False, compare=False, default_factory=lambda: TypeAdapter(Any))
    output_adapter: TypeAdapter[Any] = field(repr=False, compare=False, default_factory=lambda: TypeAdapter(Any))
    redactable_input: tuple[str, ...] = ()
    redactable_output: tuple[str, ...] = ()
    is_async: bool = True
    companions: tuple[ActivityType, ...] = field(repr=False, compare=False, default=())
    """Its compensation and its reconcile probe, where they were given as activities and not by name."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the author's function; raises DefinitionInvalid for a foreign one, which has none."""
        if self.foreign:
            raise DefinitionInvalid(
                f"activity {self.name!r} is foreign: a consumer of queue {self.queue!r} in another language runs it; "
                "there is nothing to call here"
            )
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
    limits: Limits | None = None,
    foreign: bool = False,
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
    limits: Limits | None = None,
    foreign: bool = False,
) -> ActivityType | Callable[[Callable[..., Any]], ActivityType]:
    """Declare a function as an activity.

    The function is async or plain (then it runs in a thread); its first parameter is its input, annotated with a
    pydantic model or another type pydantic validates; a parameter annotated `Context` gets the attempt's context; its
    return annotation is the output's type. Raises DefinitionInvalid, naming the function, where that does not hold.

    `effect` says what an end without proof means: `pure` and `idempotent` are run again, `once` never is. `secrets`
    names the secrets that its context may open. `concurrency` bounds its attempts within one process, `limits` those
    of all processes together.

    `foreign=True` declares an activity that a consumer in another language runs: the function gives name and types
    only; its body, `raise NotImplementedError`, is never run. It names a queue that foreign ones alone use, is `pure`
    or `idempotent` (whoever runs it may run it twice), takes no Context, opens no secrets and has no `concurrency` or
    `limits`: its consumer bounds itself. Its attempt ends by the outcome that this consumer publishes, or with the
    schedule-to-finish time-out; `start_to_finish` is not watched from here.
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
            limits=limits,
            foreign=foreign,
            companions=tuple(one for one in (compensation, reconcile) if isinstance(one, ActivityType)),
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
    if declared.foreign:
        _check_foreign(declared, place)
    if declared.limits is not None and not declared.limits.name:
        return replace(declared, limits=declared.limits.model_copy(update={"name": declared.name}))
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
    if declared.schedule_to_finish > LONGEST:
        raise DefinitionInvalid(f"{place}: schedule_to_finish must be {LONGEST.days} days at most")
    if not timedelta(0) <= declared.settle_after <= LONGEST:
        raise DefinitionInvalid(f"{place}: settle_after must be between nothing and {LONGEST.days} days")
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


def _check_foreign(declared: ActivityType, place: str) -> None:
    if declared.effect == "once":
        raise DefinitionInvalid(
            f"{place}: is foreign, so it may run twice: make it pure or idempotent, by the idempotency key it is given"
        )
    if declared.queue == DEFAULT_QUEUE:
        raise DefinitionInvalid(f"{place}: is foreign: give queue=…, which its own consumer serves")
    if declared.takes_context or declared.secrets:
        raise DefinitionInvalid(f"{place}: is foreign: a Context and secrets are for what runs here; leave them out")
    if declared.concurrency is not None or declared.limits is not None:
        raise DefinitionInvalid(f"{place}: is foreign: its own consumer bounds it; leave concurrency and limits out")
