"""One attempt under way in this process, and the room there is for further ones."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Protocol

from consumers.context import AttemptContext
from consumers.threads import ThreadPool
from domain.definitions import ActivityType
from domain.ports import Command, Definitions
from domain.state import State


class Stop(Enum):
    """Why an attempt was told to stop before it ended by itself."""

    TIMED_OUT = "ran out of its start-to-finish time-out"
    CANCELLED = "did not end in the time that a cancelled workflow grants it"
    LOST = "lost its claim"
    CLOSING = "is left behind by a process that ends"


@dataclass(frozen=True, slots=True)
class Prepared:
    """An activity type, with what need not be looked up for every attempt."""

    declared: ActivityType
    context_name: str | None
    context_position: bool

    @classmethod
    def of(cls, declared: ActivityType) -> Prepared:
        """Look at the function's parameters once."""
        parameters = list(inspect.signature(declared.function).parameters.values())
        context = next((one for one in parameters[1:]), None) if declared.takes_context else None
        return cls(
            declared,
            context.name if context is not None else None,
            context is not None and context.kind is not inspect.Parameter.KEYWORD_ONLY,
        )

    def call(self, given: Any, context: AttemptContext) -> Any:
        """Call the author's function: its value, or its coroutine."""
        if self.context_name is None:
            return self.declared.function(given)
        if self.context_position:
            return self.declared.function(given, context)
        return self.declared.function(given, **{self.context_name: context})


class Activities:
    """The activity types that are loaded, found by a command's words."""

    def __init__(self, definitions: Definitions) -> None:
        """Look up in these definitions."""
        self._definitions = definitions
        self._found: dict[tuple[str, str, str], Prepared] = {}

    def find(self, definition: str, version: str, activity: str) -> Prepared | None:
        """The activity type, or None where the definition is not loaded or does not know it."""
        key = (definition, version, activity)
        prepared = self._found.get(key)
        if prepared is None:
            loaded = self._definitions.find(definition, version)
            declared = loaded.activities.get(activity) if loaded is not None else None
            if declared is None:
                return None
            prepared = self._found[key] = Prepared.of(declared)
        return prepared


class AttemptMeter(Protocol):
    """Counts attempts, and how long they take. Nothing is raised here."""

    def began(self, command: Command, at: datetime) -> None:
        """The activity's code is called now."""
        ...

    def ended(self, command: Command, outcome: str, seconds: float | None) -> None:
        """An attempt ended, as its status or the class of its failure says.

        `seconds` is how long its code ran; None where it was not called.
        """
        ...


@dataclass(slots=True, eq=False)
class Attempt:
    """One attempt under way. `reported` says that its end was recorded although its code still runs.

    `called` says that the activity's code was.
    """

    command: Command
    prepared: Prepared
    context: AttemptContext
    claimed_at: datetime
    started_at: datetime | None = None
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    stop: Stop | None = None
    called: bool = False
    reported: bool = False
    holds_room: bool = True

    def ask_to_end(self) -> None:
        """Cancel the code where that can be done: a thread cannot be."""
        if self.prepared.declared.is_async and self.task is not None:
            self.task.cancel()


@dataclass(slots=True)
class Occupied:
    """How many attempts are under way, in all and by activity."""

    most: int
    threads: ThreadPool
    total: int = 0
    by_activity: dict[str, int] = field(default_factory=dict)

    def take(self, declared: ActivityType) -> None:
        """One more."""
        self.total += 1
        self.by_activity[declared.name] = self.by_activity.get(declared.name, 0) + 1

    def leave(self, declared: ActivityType) -> None:
        """One less."""
        self.total -= 1
        left = self.by_activity[declared.name] - 1
        if left:
            self.by_activity[declared.name] = left
        else:
            del self.by_activity[declared.name]


class Rooms:
    """The room for further attempts, counted down as a turn or a batch of deliveries plans them."""

    __slots__ = ("_activities", "_left", "_left_by_activity", "_occupied", "_serves", "_threads_left")

    def __init__(
        self, activities: Activities, occupied: Occupied, *, closed: bool, serves: Callable[[str], bool]
    ) -> None:
        """Count what is free now; nothing, where the runner is closing. `serves` tells whether a queue is served."""
        self._activities = activities
        self._occupied = occupied
        self._left = 0 if closed else occupied.most - occupied.total
        self._threads_left = occupied.threads.free
        self._left_by_activity: dict[str, int] = {}
        self._serves = serves

    @property
    def left(self) -> int:
        """Room in all."""
        return self._left

    def take_for(self, state: State, activity: str) -> bool:
        """Plan an attempt that is claimed as it is scheduled; False where there is no room, or it is not for that.

        Limits over all processes are looked at in the claim's own transaction only, and a foreign activity, or one of
        a queue that this process does not serve, is not run by us at all.
        """
        prepared = self._activities.find(state.definition, state.definition_version, activity)
        if prepared is None or prepared.declared.limits is not None or prepared.declared.foreign:
            return False
        return self._serves(prepared.declared.queue) and self._take(prepared)

    def take(self, definition: str, version: str, activity: str) -> bool:
        """Plan an attempt; False where there is no room, or the activity is not loaded."""
        prepared = self._activities.find(definition, version, activity)
        return prepared is not None and self._take(prepared)

    def _take(self, prepared: Prepared) -> bool:
        if self._left <= 0:
            return False
        declared = prepared.declared
        if declared.concurrency is not None:
            left = self._left_by_activity.get(declared.name)
            if left is None:
                left = declared.concurrency - self._occupied.by_activity.get(declared.name, 0)
            if left <= 0:
                return False
            self._left_by_activity[declared.name] = left - 1
        if not declared.is_async:
            if self._threads_left <= 0:
                return False
            self._threads_left -= 1
        self._left -= 1
        return True
