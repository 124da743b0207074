"""Plans: what a planner proposes, as data, validated once.

A planned step is an activity, a wait for a time, a wait for a signal, or a child workflow. Its input may hold
references, `{"$ref": "steps.docs_collect.papers"}`, that are resolved when the step is about to be scheduled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domain.durations import FIRST_YEAR, LAST_YEAR, LONGEST
from domain.errors import PlanInvalid
from domain.ids import NAME_PATTERN

REFERENCE: Final = "$ref"
REFERENCE_ROOTS: Final = ("goal", "input", "steps", "approvals", "workflow", "tags")
STEPS_PER_PLAN: Final = 1_000
STEPS_PER_WORKFLOW: Final = 20_000

Name = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
OnTimeout = Literal["fail", "skip", "ok"]


class PlanData(BaseModel):
    """What the parts of a plan share: frozen; an unknown field is refused, since a plan is written by code."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SignalWait(PlanData):
    """A wait for another service's message: its name and the key that tells this workflow's from others'."""

    name: Name
    correlation: str | dict[str, str]


class TimeWait(PlanData):
    """A wait for an instant, or for a duration from the moment the wait begins; exactly one of the two."""

    until: datetime | None = None
    duration: timedelta | None = Field(default=None, ge=timedelta(0), le=LONGEST)

    @model_validator(mode="after")
    def _one_of_two(self) -> TimeWait:
        if (self.until is None) == (self.duration is None):
            message = "a wait for a time gives either until=… or duration=…"
            raise ValueError(message)
        if self.until is not None and self.until.tzinfo is None:
            message = "until=… needs a time zone, for example datetime(2030, 1, 1, tzinfo=timezone.utc)"
            raise ValueError(message)
        if self.until is not None and not FIRST_YEAR <= self.until.year <= LAST_YEAR:
            message = f"until=… must lie between the years {FIRST_YEAR} and {LAST_YEAR}"
            raise ValueError(message)
        return self


class ChildSpec(PlanData):
    """A child workflow: the definition's name, the goal (by default the parent's), and its input."""

    definition: str
    goal: str | None = None
    input: dict[str, Any] = Field(default_factory=dict)


class PlannedStep(PlanData):
    """One position in a plan. `after` names the steps that must have settled first.

    Exactly one of `activity`, `wait_time`, `wait_signal` and `child` is given. `timeout` bounds a wait or a child;
    `on_timeout` says what running out of it does. `approval` names an approval policy that the step always needs.
    """

    id: Name
    activity: str | None = None
    input: dict[str, Any] | None = None
    after: tuple[str, ...] = ()
    wait_time: TimeWait | None = None
    wait_signal: SignalWait | None = None
    child: ChildSpec | None = None
    timeout: timedelta | None = Field(default=None, gt=timedelta(0), le=LONGEST)
    on_timeout: OnTimeout = "fail"
    approval: str | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> PlannedStep:
        kinds = [self.activity, self.wait_time, self.wait_signal, self.child]
        if sum(kind is not None for kind in kinds) != 1:
            message = f"step {self.id!r} must be exactly one of activity, wait_time, wait_signal, child"
            raise ValueError(message)
        if self.approval is not None and self.activity is None and self.child is None:
            message = f"step {self.id!r} only waits: there is nothing to approve; name the policy on the step behind it"
            raise ValueError(message)
        return self


class Observation(PlanData):
    """How one step ended, as a planner sees it."""

    step: str
    activity: str | None = None
    status: str
    output: Any = None
    failure: str | None = None


class PlanRequest(PlanData):
    """What a planner is asked with. `observations` are in the order in which the steps settled.

    They are bounded: where they would not fit a command, the oldest are left out and `truncated` says so.
    """

    goal: str
    input: dict[str, Any] = Field(default_factory=dict)
    round: int = 1
    observations: tuple[Observation, ...] = ()
    truncated: bool = False

    def observed(self, step: str) -> Observation | None:
        """The observation of a step, or None where it has not settled."""
        return next((seen for seen in self.observations if seen.step == step), None)


class PlanProposal(PlanData):
    """What a planner answers: further steps, whether they are the last, and why, for the record."""

    steps: tuple[PlannedStep, ...] = ()
    done: bool = True
    reason: str = Field(default="", max_length=2_000)


def ref(path: str) -> dict[str, str]:
    """Refer to a value that is known only when the step is scheduled.

    Roots: `goal`, `input.…`, `steps.<step>.…` (a step's output), `approvals.<step>`, `workflow.id`, `tags.…`.
    A path that leads nowhere resolves to null; a definition refuses those of its fixed plan that it can tell. Raises
    PlanInvalid for another root.
    """
    if path.split(".", 1)[0] not in REFERENCE_ROOTS:
        message = f"ref({path!r}): a reference begins with one of {', '.join(REFERENCE_ROOTS)}"
        raise PlanInvalid(message)
    return {REFERENCE: path}


def references(value: object) -> Iterable[str]:
    """All reference paths within a planned input."""
    if isinstance(value, Mapping):
        if set(value) == {REFERENCE} and isinstance(value[REFERENCE], str):
            yield value[REFERENCE]
        else:
            for part in value.values():
                yield from references(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from references(part)


def referenced_step(path: str, known: Iterable[str]) -> str | None:
    """The step that a reference is about, or None; step ids may hold dots, so the longest known one wins."""
    root, _, rest = path.partition(".")
    if root not in ("steps", "approvals"):
        return None
    fitting = [step for step in known if rest == step or rest.startswith(f"{step}.")]
    return max(fitting, key=len, default=rest)


def sources(step: PlannedStep, known: Callable[[str], bool]) -> tuple[str, ...]:
    """The steps that a step comes after, and those that its input refers to; `known` says what is a step."""
    found = dict.fromkeys(step.after)
    for path in references(referring(step)):
        root, *parts = path.split(".")
        if root in {"steps", "approvals"}:
            names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
            found.update(dict.fromkeys([name for name in names if known(name)][:1]))
    return tuple(found)


def referring(step: PlannedStep) -> list[object]:
    """The parts of a step that may hold references."""
    return [
        step.input or {},
        step.child.input if step.child is not None else {},
        step.wait_signal.correlation if step.wait_signal is not None else "",
    ]


def check_plan(
    steps: Sequence[PlannedStep],
    *,
    activities: frozenset[str],
    approvals: frozenset[str],
    earlier: Mapping[str, object],
    place: str,
) -> None:
    """Raise PlanInvalid, naming the place, where a plan breaks a rule.

    Rules: at most STEPS_PER_PLAN steps and STEPS_PER_WORKFLOW in the workflow, ids new over all plans of the workflow,
    known activities and approval policies, `after` and references to known steps, no cycle.
    """
    if len(steps) > STEPS_PER_PLAN:
        raise PlanInvalid(f"{place}: {len(steps)} steps, but a plan holds at most {STEPS_PER_PLAN}; plan in rounds")
    if len(steps) + len(earlier) > STEPS_PER_WORKFLOW:
        raise PlanInvalid(f"{place}: a workflow holds at most {STEPS_PER_WORKFLOW} steps; use child workflows")
    own: dict[str, PlannedStep] = {}
    for step in steps:
        if step.id in own or step.id in earlier:
            raise PlanInvalid(f"{place}: two steps are called {step.id!r}; give each its own id")
        own[step.id] = step
    for step in steps:
        _check_step(step, own, earlier, activities, approvals, place)
    _check_acyclic(own, place)


def _check_step(
    step: PlannedStep,
    own: Mapping[str, PlannedStep],
    earlier: Mapping[str, object],
    activities: frozenset[str],
    approvals: frozenset[str],
    place: str,
) -> None:
    where = f"{place}, step {step.id!r}"
    if step.activity is not None and step.activity not in activities:
        known = ", ".join(sorted(activities)) or "none"
        raise PlanInvalid(f"{where}: unknown activity {step.activity!r}; known are: {known}")
    if step.approval is not None and step.approval not in approvals:
        raise PlanInvalid(f"{where}: unknown approval policy {step.approval!r}; declare it in approvals=[…]")
    for name in step.after:
        if name not in own and name not in earlier:
            raise PlanInvalid(f"{where}: after={name!r} names no step of this workflow")
        if name == step.id:
            raise PlanInvalid(f"{where}: comes after itself")
    for path in references(referring(step)):
        root = path.split(".", 1)[0]
        if root not in REFERENCE_ROOTS:
            raise PlanInvalid(f"{where}: reference {path!r} must begin with one of {', '.join(REFERENCE_ROOTS)}")
        target = referenced_step(path, (*own, *_possible(path, earlier)))
        if target is not None and target not in own and target not in earlier:
            raise PlanInvalid(f"{where}: reference {path!r} names no step of this workflow")


def _possible(path: str, earlier: Mapping[str, object]) -> list[str]:
    """The earlier steps that a path might name, without walking through all of them."""
    parts = path.split(".")[1:]
    names = [".".join(parts[: length + 1]) for length in range(len(parts))]
    return [name for name in names if name in earlier]


def _check_acyclic(own: Mapping[str, PlannedStep], place: str) -> None:
    remaining = {step.id: {name for name in step.after if name in own} for step in own.values()}
    dependents: dict[str, list[str]] = {}
    for name, needs in remaining.items():
        for need in needs:
            dependents.setdefault(need, []).append(name)
    free = [name for name, needs in remaining.items() if not needs]
    done = 0
    while free:
        name = free.pop()
        done += 1
        for dependent in dependents.get(name, ()):
            remaining[dependent].discard(name)
            if not remaining[dependent]:
                free.append(dependent)
    if done < len(own):
        cycle = " → ".join(sorted(name for name, needs in remaining.items() if needs)[:10])
        raise PlanInvalid(f"{place}: the steps wait for one another in a circle: {cycle}")
