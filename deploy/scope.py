"""Which workflows a process drives: all, or those it was asked for, their children, and what is new in the log."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable


class Scope:
    """Grows: a workflow that somebody decided on since this process began to drive is driven from then on."""

    def __init__(self, workflow_ids: Collection[str] | None, family: Callable[[str], Iterable[str]]) -> None:
        """Drive these and their families; None: everything."""
        self._ids: set[str] | None = None if workflow_ids is None else set()
        self._family = family
        self._new: dict[str, None] = {}
        self.begun_at = 0
        """Position of the log behind which everything is driven."""
        for workflow_id in workflow_ids or ():
            self.add(workflow_id)

    @property
    def ids(self) -> Collection[str] | None:
        """The workflows that are driven, or None for all."""
        return self._ids

    def add(self, workflow_id: str, *, begun_now: bool = False) -> bool:
        """Drive a workflow too; whether it was not before. One that has only just begun has nothing left behind."""
        if self._ids is None or workflow_id in self._ids:
            return False
        members = [workflow_id] if begun_now else [workflow_id, *self._family(workflow_id)]
        self._ids.update(members)
        if not begun_now:
            self._new.update(dict.fromkeys(members))
        return True

    def drives(self, workflow_id: str, position: int, version: int) -> bool:
        """Whether an event's workflow is driven; it is if the event is new, whoever decided it."""
        if self._ids is None or workflow_id in self._ids:
            return True
        if position <= self.begun_at:
            return False
        self.add(workflow_id, begun_now=version == 1)
        return True

    def take_new(self) -> list[str]:
        """The workflows that came in since the last call, and may have been left behind by former owners."""
        new, self._new = list(self._new), {}
        return new
