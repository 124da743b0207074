"""What happened in the world, kept apart from the workflow's own lists: which effects are not proven absent."""

from __future__ import annotations

from dataclasses import dataclass, field

from domain import events as e
from domain.triggers import RecordOutcome

Key = tuple[str, int]
"""A step, and a generation of it."""


@dataclass
class Effects:
    """The effects that may stand, those undone and those that a person accepted; pivots have no compensation."""

    scheduled: dict[tuple[str, int], e.StepScheduled] = field(default_factory=dict)
    possible: dict[Key, str | None] = field(default_factory=dict)
    undone: set[Key] = field(default_factory=set)
    accepted: set[Key] = field(default_factory=set)

    def key_of(self, step: str, attempt: int) -> Key:
        return step, self.scheduled[step, attempt].generation

    def began(self, command: e.StepScheduled) -> None:
        """A worker begins an attempt; one that is to happen once may not begin where it may have happened."""
        key = self.key_of(command.step, command.attempt)
        if command.kind == "run" and command.effect == "once":
            assert key not in self.possible, f"{command.message_id} runs although {key} may have been applied"

    def may_stand(self, step: str, attempt: int) -> None:
        """An attempt ended without proof that nothing happened."""
        command = self.scheduled[step, attempt]
        if command.kind == "run" and command.effect != "pure":
            self.possible[self.key_of(step, attempt)] = command.compensation

    def heard(self, outcome: RecordOutcome, *, late: bool) -> None:
        """A worker reported, in time or late."""
        proven_absent = outcome.failure is not None and outcome.failure.absent
        if proven_absent or (late and outcome.status == "failed"):
            return
        self.may_stand(outcome.step, outcome.attempt)
        if late and outcome.kind == "run":
            self.undone.discard(self.key_of(outcome.step, outcome.attempt))

    def observe(self, event: e.Event) -> None:
        """What the workflow recorded."""
        if isinstance(event, e.StepScheduled):
            self.scheduled[event.step, event.attempt] = event
        elif isinstance(event, e.OutcomeReconciled) and not event.applied:
            self.possible.pop(self.key_of(event.step, event.attempt), None)
        elif isinstance(event, e.OutcomeUnknown) and event.revoked:
            self.may_stand(event.step, event.attempt)  # it was only asked about: another one may have had the effect
        elif isinstance(event, e.ChildEnded):
            self.possible.update({(undo.step, undo.generation): undo.compensation for undo in event.effects})
        elif isinstance(event, e.CompensationScheduled):
            key = (event.step, event.generation)
            assert key in self.possible, f"{key} is undone although it is proven absent, or never began"
            assert key not in self.undone, f"{key} is undone twice"
        elif isinstance(event, e.StepCompensated):
            (self.undone if event.accepted_by is None else self.accepted).add((event.step, event.generation))

    def left(self) -> set[Key]:
        """What a compensation must still undo."""
        return {key for key, undo in self.possible.items() if undo is not None} - self.undone - self.accepted
