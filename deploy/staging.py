"""The stage of a rehearsal: definitions with stubs, calls noted, crashes counted, deliveries doubled, time read off."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from deploy.holding import Holder
from domain.context import Context
from domain.definitions import ActivityType, Definition
from domain.errors import Refused
from domain.ports import Command
from domain.state import State, wait_key

Stub = Any
"""A function (of the input, or of input and Context), a list of answers one a call, or one answer for every call.

An answer is an output, NeedsApproval, Denied, or an exception to raise.
"""

_KINDS_OF_TIME: Final = ("retry:", "probe:")


class Crash(BaseException):
    """The engine was killed, as far as a process can do that to itself; a rehearsal starts it again."""


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """One call of an activity: its input as the activity got it, and what its context said."""

    activity: str
    input: Any
    step: str
    attempt: int
    idempotency_key: str


class Crashes:
    """Counts the commit points of a process, and kills it at one of them."""

    def __init__(self, crash_at: int | None) -> None:
        self.crash_at = crash_at
        self.points = 0
        self.fired = False
        self.died = asyncio.Event()

    def reached(self, name: str) -> None:
        """A fault point: a dead process comes no further at any of them."""
        if name.startswith("commit."):
            self.points += 1
            if self.points == self.crash_at:
                self.fired = True
                self.died.set()
        if self.died.is_set():
            raise Crash(name)


def staged(definition: Definition, stubs: Mapping[str, Stub], calls: list[Call]) -> Definition:
    """A copy of a definition whose activities are stubs where there are some, and note their calls."""
    staged = copy.copy(definition)
    staged.activities = {name: _noted(one, stubs, calls) for name, one in definition.activities.items()}
    for role in ("planner", "artifact"):
        declared = getattr(definition, role)
        if declared is not None:
            setattr(staged, role, staged.activities[declared.name])
    return staged


def _noted(declared: ActivityType, stubs: Mapping[str, Stub], calls: list[Call]) -> ActivityType:
    def note(given: Any, context: Context) -> None:
        calls.append(Call(declared.name, given, context.step, context.attempt, context.idempotency_key))

    if declared.name in stubs:
        answer = _answering(stubs[declared.name])

        async def stubbed(given: Any, context: Context) -> Any:
            note(given, context)
            value = answer(given, context)
            return await value if inspect.isawaitable(value) else value

        return dataclasses.replace(declared, function=stubbed, takes_context=True, is_async=True)
    if declared.is_async:

        async def called(given: Any, context: Context) -> Any:
            note(given, context)
            return await _call(declared, given, context)

        return dataclasses.replace(declared, function=called, takes_context=True)

    def called_in_thread(given: Any, context: Context) -> Any:
        note(given, context)
        return _call(declared, given, context)

    return dataclasses.replace(declared, function=called_in_thread, takes_context=True)


def _call(original: ActivityType, given: Any, context: Context) -> Any:
    """Call the author's function as the engine does."""
    if not original.takes_context:
        return original.function(given)
    parameter = list(inspect.signature(original.function).parameters.values())[1]
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
        return original.function(given, **{parameter.name: context})
    return original.function(given, context)


def _answering(stub: Stub) -> Callable[[Any, Context], Any]:
    """What a stub answers: a function's value, the next of a list (the last again and again), or always the same."""
    if inspect.isroutine(stub):
        both = len(inspect.signature(stub).parameters) > 1
        return stub if both else lambda given, _: stub(given)
    answers = list(stub) if isinstance(stub, list) else [stub]
    if not answers:
        raise Refused("a stub's list of answers is empty: give at least one")

    def next_answer(_: Any, __: Context) -> Any:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return next_answer


def under_way(family: Sequence[State]) -> bool:
    """Whether something goes on by itself: an attempt, or the news between a child and its parent."""
    return any(
        state.live or (state.ended is not None and number > 0) or _lacks_child(state, family)
        for number, state in enumerate(family)
    )


def _lacks_child(state: State, family: Sequence[State]) -> bool:
    known = {one.workflow_id for one in family}
    return any(wait.reason == "child" and wait.name not in known for wait in state.waits.values())


def moved_by_time(family: Sequence[State]) -> datetime | None:
    """The next instant at which a backoff, a probe or a wait for a time ends; other due instants are the test's."""
    dues: list[datetime] = []
    for state in family:
        if state.paused:
            continue
        for key, due_at in state.dues.items():
            _, _, step = key.partition(":")
            if key.startswith(_KINDS_OF_TIME) or wait_key(step, "time") in state.waits:
                dues.append(due_at)
    return min(dues, default=None)


def deliver_twice(roles: Holder) -> None:
    """Deliver each command once more when its attempt has begun, and once more when it is over."""
    over = roles.runner.ended

    def started(commands: Sequence[Command]) -> None:
        roles.consumer.put(commands)

    def ended(command: Command) -> None:
        over(command)
        roles.consumer.put([command])

    roles.runner.started, roles.runner.ended = started, ended
