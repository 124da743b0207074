"""A backup that is put back: the workflow forgets what came after it, and the world does not."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from domain import events as e
from domain.triggers import RestoreWorkflow

if TYPE_CHECKING:
    from tests.properties.driver import Driver

_KEPT: Final = ("effects", "approvals", "children", "born", "open", "claimed", "lost", "told", "paused", "stopping")
"""What the driver knows of what was true when the backup was taken."""


@dataclass
class Lost:
    """What only the world knows of times that were lost: attempts that began in them, and the message ids given out."""

    begun: set[tuple[str, str, int]] = field(default_factory=set)
    given_out: set[str] = field(default_factory=set)

    def observe(self, event: e.Event, generations: dict[tuple[str, int], e.StepScheduled]) -> None:
        """Whoever looked says that it has not happened, or a person takes it on them to undo it once more."""
        if isinstance(event, e.StepScheduled):
            assert event.message_id not in self.given_out, f"{event.message_id} was given out in a time that was lost"
        elif isinstance(event, e.OutcomeReconciled) and not event.applied:
            self.begun.discard(("run", event.step, generations[event.step, event.attempt].generation))
        elif isinstance(event, e.InterventionApplied) and event.act == "retry":
            self.begun = {one for one in self.begun if one[:2] != ("compensate", event.step)}

    def check_begins(self, command: e.StepScheduled, *, only_once: bool) -> None:
        """What may run but once does not run unasked where it may have run."""
        key = (command.kind, command.step, command.generation)
        assert not (only_once and key in self.begun), (
            f"{command.message_id} runs, and may have run in a time that was lost"
        )


class Backups:
    """The last backup of a driver's workflow, and putting it back."""

    def __init__(self) -> None:
        self.lost = Lost()
        self.epoch = 1
        self._length = 0
        self._kept: dict[str, Any] | None = None

    def take(self, driver: Driver) -> None:
        self._length = len(driver.history)
        self._kept = copy.deepcopy({name: getattr(driver, name) for name in _KEPT})

    def put_back(self, driver: Driver) -> None:
        """Forget what came after the backup, and tell the workflow so."""
        if self._kept is None:
            return
        self.lost.given_out |= {one.message_id for one in driver.effects.scheduled.values()}
        self.lost.begun |= driver.begun
        del driver.history[self._length :]
        for name, value in copy.deepcopy(self._kept).items():
            setattr(driver, name, value)
        driver.restart()
        driver.shadow = driver.folded()
        self.epoch += 1
        live = driver.open | driver.claimed
        driver.lost.clear()  # their reports end in the dead queue
        for command in live.values():
            driver.effects.may_stand(command.step, command.attempt)
        driver.open, driver.claimed = {}, {}
        driver.decide(RestoreWorkflow(epoch=self.epoch, by="oscar", reason="the disk broke"))
