"""What a fork would do again, and what it counts on that is not there any more: told before it is begun.

A fork runs every step that had not settled at its cut. Whatever the source ran of those, before the cut or after it, is
run again, under other idempotency keys: nobody outside can tell that it was done before. What had settled at the cut
belongs to the source; where the source has undone it since, the fork goes on as if it still were there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from domain import events as e
from domain.forking import Cut, nearest
from domain.ids import ARTIFACT_STEP, PLAN_STEP, attempts_made
from domain.recorded import RecordedEvent

MOST_LISTED: Final = 1_000
"""How many steps are listed at most, those of children included."""
MOST_DEEP: Final = 10
"""How many generations of children are looked into."""

NEVER_BEGUN: Final = "never begun"
UNDER_WAY: Final = "under way"

Family = Callable[[str], Sequence[RecordedEvent] | None]
"""The events of a child, None where the store has none."""


@dataclass(slots=True)
class Tried:
    """One attempt: its number, the event that scheduled it, and how it ended."""

    attempt: int
    version: int
    outcome: str = UNDER_WAY


@dataclass(slots=True)
class Repeated:
    """A step of the source, or of a child of it, that would run again, with the attempts that were made.

    `effect` is pure, idempotent or once; `undone` says that the source has undone it since; `maybe` that it is run
    again only if the planner plans it again; `child` is the child workflow that the step began.
    """

    workflow: str
    step: str
    activity: str
    effect: str
    attempts: list[Tried] = field(default_factory=list)
    undone: bool = False
    maybe: bool = False
    child: str | None = None

    @property
    def once(self) -> bool:
        """Whether doing it twice is what its activity was declared against."""
        return self.effect == "once"


@dataclass(frozen=True, slots=True)
class Gone:
    """A step that had settled at the cut and was undone since, by which event, and where to cut to have it done again.

    `before` is 0 where there is no such cut.
    """

    step: str
    version: int
    before: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is to be known before a fork is begun. `kept` are the steps that are not run again."""

    repeated: tuple[Repeated, ...]
    gone: tuple[Gone, ...]
    kept: tuple[str, ...]
    more: bool = False
    """Whether there is more to repeat than is listed."""

    @property
    def harmless(self) -> bool:
        """Whether nothing would be done twice, and nothing is missing."""
        return not self.repeated and not self.gone


def forecast(events: Sequence[RecordedEvent], cut: Cut, family: Family) -> Forecast:
    """What a fork of this whole history would do again, and what it would miss."""
    state = cut.state
    found = [*_repeated(events, cut, family)][: MOST_LISTED + 1]
    kept = sorted(state.settled, key=lambda name: state.settled[name].number)
    return Forecast(tuple(found[:MOST_LISTED]), tuple(_gone(events, cut)), tuple(kept), len(found) > MOST_LISTED)


def _repeated(events: Sequence[RecordedEvent], cut: Cut, family: Family) -> Iterator[Repeated]:
    """What the source ran of steps that had not settled at the cut."""
    state = cut.state
    for one in _ran(events):
        if one.step in (PLAN_STEP, ARTIFACT_STEP):
            under_way = state.steps[one.step].live if one.step in state.steps else None
            one.attempts = [
                tried
                for tried in one.attempts
                if tried.version > cut.version or (under_way is not None and tried.version == under_way.version)
            ]
            if one.attempts:
                yield one
        elif one.step not in state.settled:
            one.maybe = one.step not in state.steps
            yield one
            yield from _of_child(one, family, MOST_DEEP)


def _of_child(parent: Repeated, family: Family, deep: int) -> Iterator[Repeated]:
    """All that a child ran: a fork begins one anew."""
    events = family(parent.child) if parent.child is not None and deep else None
    for one in _ran(events or ()):
        one.maybe = parent.maybe
        yield one
        yield from _of_child(one, family, deep - 1)


def _gone(events: Sequence[RecordedEvent], cut: Cut) -> Iterator[Gone]:
    undone: dict[str, int] = {}
    for recorded in events[cut.version :]:
        event = recorded.event
        if isinstance(event, e.CompensationScheduled):
            undone.setdefault(event.step.partition(":")[0], recorded.originator_version)
        elif isinstance(event, e.StepCompensated) and event.accepted_by is not None:
            undone.pop(event.step.partition(":")[0], None)
    for step, version in undone.items():
        if step in cut.state.settled:
            settled = [one.originator_version for one in events[: cut.version] if _settles(one.event, step)]
            yield Gone(step, version, nearest(events, settled[-1])[0] if settled else 0)


def _settles(event: e.Event, step: str) -> bool:
    return isinstance(event, e.StepSucceeded | e.ChildEnded) and event.step == step


# --- what was run -----------------------------------------------------------------------------------------------------


def _ran(events: Sequence[RecordedEvent]) -> list[Repeated]:
    """The steps of a history of which anything was begun, with their attempts, in the order in which they began."""
    found = _Found()
    for recorded in events:
        found.take(recorded)
    for one in found.steps.values():
        one.attempts = [tried for tried in one.attempts if tried.outcome != NEVER_BEGUN]
    return [one for one in found.steps.values() if one.attempts or one.child is not None]


class _Found:
    """The steps of one history."""

    def __init__(self) -> None:
        self.steps: dict[str, Repeated] = {}
        self._tried: dict[tuple[str, str, int], Tried] = {}
        self._commands: dict[str, Tried] = {}

    def take(self, recorded: RecordedEvent) -> None:
        """Look at the next event."""
        event = recorded.event
        for command in getattr(event, "revoked", ()):
            if command in self._commands:
                self._commands[command].outcome = NEVER_BEGUN
        if isinstance(event, e.StepScheduled):
            self._scheduled(recorded, event)
        elif isinstance(event, e.ChildStarted):
            step = self._step(recorded, event.step, f"child workflow of {event.definition}", "child")
            step.child = event.child_workflow
        elif isinstance(event, e.StepCompensated) and event.accepted_by is None and event.step in self.steps:
            self.steps[event.step].undone = True
        elif isinstance(event, e.PlanProposed | e.PlanRejected):
            self._end_plan("ok" if isinstance(event, e.PlanProposed) else "rejected")
        else:
            self._end(event)

    def _scheduled(self, recorded: RecordedEvent, event: e.StepScheduled) -> None:
        if event.kind not in ("run", "plan", "artifact"):  # a probe only asks; undoing is no part of doing again
            return
        step = self._step(recorded, event.step, event.activity, event.effect)
        step.undone = False
        tried = Tried(attempts_made(event.attempt), recorded.originator_version)
        step.attempts.append(tried)
        self._tried[event.step, event.kind, event.attempt] = self._commands[event.message_id] = tried

    def _step(self, recorded: RecordedEvent, name: str, activity: str, effect: str) -> Repeated:
        return self.steps.setdefault(name, Repeated(recorded.originator_id, name, activity, effect))

    def _end(self, event: Any) -> None:
        words = _ENDS.get(type(event))
        if words is None:
            return
        kind = "artifact" if isinstance(event, e.ArtifactRecorded) else getattr(event, "kind", "run")
        tried = self._tried.get((event.step, kind, getattr(event, "attempt", None) or 0))
        if tried is not None and tried.outcome != NEVER_BEGUN:
            tried.outcome = words(event)

    def _end_plan(self, outcome: str) -> None:
        if PLAN_STEP in self.steps and self.steps[PLAN_STEP].attempts[-1].outcome == UNDER_WAY:
            self.steps[PLAN_STEP].attempts[-1].outcome = outcome


_ENDS: Final[dict[type[e.Event], Callable[[Any], str]]] = {
    e.StepSucceeded: lambda one: "ok" if one.supplied_by is None else f"output supplied by {one.supplied_by}",
    e.ArtifactRecorded: lambda _: "ok",
    e.ApprovalRequested: lambda _: "asked for an approval",
    e.AttemptFailed: lambda one: f"failed ({one.failure.kind.value})",
    e.AttemptLapsed: lambda _: "lost",
    e.StepTimedOut: lambda _: "timed out",
    e.OutcomeUnknown: lambda _: "outcome unknown",
    e.OutcomeReconciled: lambda one: "applied" if one.applied else "not applied",
    e.LateOutcomeRecorded: lambda one: f"{one.status}, reported late",
    e.CommandDeadLettered: lambda _: "given up by the transport",
}
