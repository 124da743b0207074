"""What never changes about a workflow, remembered for as many as fit: its definition, who asked for it, its parent."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from domain.events import WorkflowForked, WorkflowStarted
from domain.messages.announcements import GOAL_CHARACTERS_SHOWN
from domain.recorded import RecordedEvent

FACTS_HELD: Final = 4_096
_GOAL_CHARACTERS: Final = GOAL_CHARACTERS_SHOWN + 1  # so that it can be seen that there is more


@dataclass(frozen=True, slots=True)
class WorkflowFacts:
    """From a workflow's first event. A fork has no parent: nobody waits for it."""

    definition: str
    definition_version: str
    requested_by: str
    goal: str = ""
    """Only its beginning: as much as is shown of it."""
    parent_workflow: str | None = None
    parent_step: str | None = None


class KnownWorkflows:
    """The facts of the workflows last seen; others are read from the store."""

    def __init__(self, read_first: Callable[[str], RecordedEvent], *, most: int = FACTS_HELD) -> None:
        """`read_first` reads a workflow's first event from the store."""
        self._read_first = read_first
        self._most = most
        self._known: OrderedDict[str, WorkflowFacts] = OrderedDict()

    def note(self, first: RecordedEvent) -> WorkflowFacts:
        """Remember a workflow by its first event."""
        facts = self._known[first.originator_id] = facts_of(first)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return facts

    def unknown(self, workflow_ids: Iterable[str]) -> list[str]:
        """Those of the workflows that would have to be read from the store, each once."""
        return [workflow_id for workflow_id in dict.fromkeys(workflow_ids) if workflow_id not in self._known]

    def of(self, workflow_id: str) -> WorkflowFacts:
        """The facts of a workflow; raises what reading its first event raises."""
        known = self._known.get(workflow_id)
        return known if known is not None else self.note(self._read_first(workflow_id))


def facts_of(first: RecordedEvent) -> WorkflowFacts:
    """What a workflow's first event says."""
    event = first.event
    if isinstance(event, WorkflowStarted):
        return WorkflowFacts(
            event.definition,
            event.definition_version,
            event.requested_by,
            event.goal[:_GOAL_CHARACTERS],
            event.parent_workflow,
            event.parent_step,
        )
    if isinstance(event, WorkflowForked):
        return WorkflowFacts(
            str(event.state.get("definition", "")),
            str(event.state.get("definition_version", "")),
            event.requested_by,
            str(event.state.get("goal", ""))[:_GOAL_CHARACTERS],
        )
    raise TypeError(f"{type(event).__name__} does not begin a workflow")
