"""The runtime: a home folder opened, and everything that runs on it put together.

    async with Runtime(".handrail") as runtime:
        workflow_id = await runtime.start("vendor onboarding review", requested_by="alice")
        state = await runtime.wait(workflow_id)

Any process may open a home, decide and save; only the holder of the home's lock claims, runs and relays. A second
runtime stands by: it saves, follows the log, and takes over when the holder is gone.
"""

from __future__ import annotations

import asyncio
import getpass
import logging
import os
import socket
import uuid
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from consumers.redaction import Redactor
from deploy import faults
from deploy.collecting import fewer_collections
from deploy.forking import begin_fork, check_fork
from deploy.holding import Holder
from deploy.loading import LoadedDefinitions, check_input, check_output, load
from deploy.lock import HomeLock
from deploy.metrics import ProcessMetrics
from deploy.open_home import OpenHome
from deploy.scope import Scope
from deploy.settings import Settings, load_settings
from domain.definitions import Definition
from domain.durations import LAST_YEAR, LONGEST
from domain.errors import HandrailError, InputInvalid, Refused, StoreError, WorkflowArchived, WorkflowConflict
from domain.events import DecisionRefused, ForkTaken
from domain.ids import check_name
from domain.payloads import check_payload
from domain.ports import Clock, Decided, Receipt, Request
from domain.recorded import RecordedEvent
from domain.state import State
from domain.store.application import WorkflowStore
from domain.triggers import ForkHere, SettleOutcome, StartWorkflow, SupplyOutput, Trigger
from producers.signals import Signal

__all__ = ["Runtime", "check_goal", "login_name", "utc_now"]

_log: Final = logging.getLogger("handrail.deploy")

DEFAULT_HOME: Final = ".handrail"
GOAL_CHARACTERS: Final = 1_000_000
MOST_TAGS: Final = 100
TAG_CHARACTERS: Final = 200
NAME_CHARACTERS: Final = 200
LED: Final = ("projector", "relay", "timer")
"""What only the holder of a home does, by the names that serving processes have for it."""
_TRIES: Final = 100
"""How often a new local id may turn out to be taken before something is wrong."""


def utc_now() -> datetime:
    """The present instant."""
    return datetime.now(UTC)


class Runtime:
    """One process's use of a home. Made with `async with`; its methods are for the event loop it was opened in.

    `modules` are imported for their definitions, `definitions` are taken as they are, `examples` adds the built-in
    ones. `scope` names the workflows that this process drives besides what is new; None: everything. `clock` gives
    the instant of each decision. `views` keeps the views up to the log while this runtime is the holder. Without
    `drive` it never is: it decides and saves, and leaves it to others to run what follows.
    """

    def __init__(  # noqa: PLR0913 - what an embedding program may choose
        self,
        home: Path | str = DEFAULT_HOME,
        modules: Sequence[str] = (),
        *,
        definitions: Iterable[Definition] = (),
        examples: bool = True,
        clock: Clock = utc_now,
        scope: Collection[str] | None = None,
        settings: Settings | None = None,
        views: bool = True,
        drive: bool = True,
    ) -> None:
        """Load the definitions; nothing is opened yet. Raises DefinitionInvalid or InputInvalid."""
        self.home = Path(home)
        self.settings = settings if settings is not None else load_settings()
        self.definitions: LoadedDefinitions = load(modules, definitions, examples=examples)
        self._clock = clock
        self._asked_scope = scope
        self._views = views
        self._may_hold = drive
        self._owner = f"{socket.gethostname()[:32]}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._lock = HomeLock(self.home)
        self._redactor = Redactor()
        self._open: OpenHome | None = None
        self._scope: Scope | None = None
        self._holder: Holder | None = None
        self._standing_by: asyncio.Task[None] | None = None
        self._while_open = ExitStack()

    # --- opening and closing ----------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Open the home, and take it over if nobody holds it. Raises StoreUnavailable or StoreNewer."""
        faults.arm_from_environment()
        opened = self._open = OpenHome(self.home, self._owner, self.definitions, self.settings, self._clock)
        if self._may_hold:
            opened.metrics.leads(LED, lambda: LED if self.holder else ())
        self._while_open.enter_context(fewer_collections())
        try:
            opened.begin()
            self._scope = Scope(self._asked_scope, opened.watchers.family)
            if self._may_hold and not await self._take_over():
                self._standing_by = asyncio.create_task(self._stand_by(), name="standby")
        except BaseException:
            await self._shut(hurry=True)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let attempts under way end within the grace, and close; after an error only those of `once` activities."""
        await self._shut(hurry=error is not None)

    async def abandon(self) -> None:
        """Leave everything as it stands, as a process does that is killed: for tests of what comes after."""
        tasks = [self._standing_by] if self._standing_by is not None else []
        if self._holder is not None:
            tasks += self._holder.drop()
        if self._open is not None:
            tasks += self._open.drop()
        for task in tasks:
            task.cancel()
        self._holder = self._open = None
        await asyncio.gather(*tasks, return_exceptions=True)
        self._lock.release()
        self._while_open.close()

    async def _shut(self, *, hurry: bool) -> None:
        try:
            if self._standing_by is not None:
                self._standing_by.cancel()
                await asyncio.gather(self._standing_by, return_exceptions=True)
            if self._holder is not None:
                await self._holder.end(hurry=hurry)
            if self._open is not None:
                await self._open.close()
        finally:
            self._holder = self._open = None
            self._lock.release()
            self._while_open.close()

    async def _take_over(self) -> bool:
        """Become the holder, if nobody is."""
        if not self._lock.try_acquire():
            return False
        opened = self._opened
        holder = Holder(
            home=self.home,
            owner=self._owner,
            opened=opened,
            definitions=self.definitions,
            scope=self._scoped,
            clock=self._clock,
            settings=self.settings,
            redactor=self._redactor,
            views=self._views,
        )
        self._holder = holder
        await holder.begin()
        return True

    async def _stand_by(self) -> None:
        """Try for the lock until it is had."""
        while True:
            await asyncio.sleep(self.settings.standby_poll_seconds)
            try:
                if await self._take_over():
                    _log.info("took over home %s", self.home)
                    return
            except HandrailError as error:
                self._opened.watchers.fail(error)
                _log.warning("home %s could not be taken over: %s", self.home, error)

    # --- what is open -----------------------------------------------------------------------------------------------

    @property
    def _opened(self) -> OpenHome:
        if self._open is None:
            raise StoreError("the runtime is not open: use it within `async with Runtime(…) as runtime`")
        return self._open

    @property
    def _scoped(self) -> Scope:
        if self._scope is None:
            raise StoreError("the runtime is not open: use it within `async with Runtime(…) as runtime`")
        return self._scope

    @property
    def store(self) -> WorkflowStore:
        """The event store."""
        return self._opened.store

    @property
    def metrics(self) -> ProcessMetrics:
        """What this process tells of itself."""
        return self._opened.metrics

    @property
    def holder(self) -> bool:
        """Whether this runtime claims, runs and relays, or stands by."""
        return self._holder is not None

    @property
    def roles(self) -> Holder | None:
        """What runs here while this runtime is the holder; None on a standby."""
        return self._holder

    @property
    def busy(self) -> bool:
        """Whether attempts are under way in this process."""
        return self._holder is not None and self._holder.busy

    @property
    def owner(self) -> str:
        """The name of this runtime's claims, and of the worker in the record."""
        return self._owner

    def look_at_clock(self) -> None:
        """The clock that was handed in has been set: decide what is due by it now."""
        if self._holder is not None:
            self._holder.timer.look_again()

    # --- what one may ask -------------------------------------------------------------------------------------------

    async def start(
        self,
        goal: str,
        definition: Definition | str | None = None,
        input: Mapping[str, Any] | None = None,
        *,
        requested_by: str | None = None,
        tags: Mapping[str, str] | None = None,
        workflow_id: str | None = None,
        deadline: datetime | timedelta | None = None,
        receipt: Receipt | None = None,
    ) -> str:
        """Accept a goal: the workflow's id, once its start is in the store.

        The definition is the newest whose name the goal has, or the one named. With a `workflow_id` that exists, goes
        on with that workflow, and raises WorkflowConflict where goal, definition or input are others. The `receipt` of
        the message that brought the goal makes a repeat a repeat. Raises DefinitionUnknown, InputInvalid,
        StoreUnavailable.
        """
        recipe = self._definition_for(goal, definition)
        _check_home(recipe)
        given = dict(input or {})
        check_payload(given, "input")
        given = check_input(recipe, given)
        check_goal(goal, tags or {})
        at = self._clock()
        if isinstance(deadline, timedelta) and deadline > LONGEST:
            raise InputInvalid(f"deadline must be {LONGEST.days} days at most; leave it out where there is none")
        deadline_at = at + deadline if isinstance(deadline, timedelta) else deadline
        if deadline_at is not None and deadline_at.tzinfo is None:
            raise InputInvalid("deadline has no time zone: give it one, for example timezone.utc")
        if deadline_at is not None and deadline_at.year > LAST_YEAR:
            raise InputInvalid(f"deadline lies after the year {LAST_YEAR}: leave it out where there is none")
        trigger = StartWorkflow(
            goal=goal,
            definition=recipe.name,
            definition_version=recipe.version,
            input=given,
            requested_by=requested_by if requested_by is not None else login_name(),
            tags=dict(tags or {}),
            deadline_at=deadline_at,
        )
        if workflow_id is None:
            return await self._start_with_new_id(trigger)
        check_name(workflow_id, "workflow id")
        cause = "start" if receipt is None else receipt.message_id
        decided = await self.decide(workflow_id, trigger, actor=trigger.requested_by, cause=cause, receipt=receipt)
        return decided.request.workflow_id

    async def decide(
        self,
        workflow_id: str,
        trigger: Trigger,
        *,
        actor: str,
        cause: str = "command",
        receipt: Receipt | None = None,
    ) -> Decided:
        """Have a workflow decide on a trigger: what became of it, once that is in the store.

        With the `receipt` of a message it is ignored where that message was received before. Raises WorkflowUnknown
        and other refusals, StoreUnavailable.
        """
        if isinstance(trigger, SupplyOutput | SettleOutcome):
            check_output(self.definitions, self.store.load(workflow_id), trigger)
        if isinstance(trigger, ForkHere):
            salt = "" if receipt is None else receipt.message_id
            trigger = check_fork(self.definitions, self.store, workflow_id, trigger, salt=salt)
        request = Request(workflow_id, trigger, self._clock(), cause, actor, receipt=receipt)
        decided = await self._opened.turns.decide(request)
        begun = bool(decided.events) and decided.events[0].originator_version == 1
        self._drive(workflow_id, begun_now=begun)
        return decided

    async def fork(
        self,
        workflow_id: str,
        version: int,
        *,
        by: str | None = None,
        reason: str = "",
        input: Mapping[str, Any] | None = None,
        salt: str = "",
    ) -> str:
        """Begin a new workflow from another's events up to a version: the fork's id, once it is in the store.

        `input` puts keys of the source's input in other values' place, for all that is still to run. The same again is
        the same fork; with another `salt` it is a further one. The source is not driven. Raises WorkflowUnknown,
        InputInvalid where there is no such cut, DefinitionMissing, Refused, StoreUnavailable.
        """
        who = by if by is not None else login_name()
        asked = ForkHere(by=who, reason=reason or "no reason given", version=version, input=dict(input or {}) or None)
        trigger = check_fork(self.definitions, self.store, workflow_id, asked, salt=salt)
        decided = await self._opened.turns.decide(Request(workflow_id, trigger, self._clock(), "fork", who))
        for recorded in decided.events:
            if isinstance(recorded.event, DecisionRefused):
                raise Refused(f"workflow {workflow_id} was not forked: {recorded.event.reason}")
        await self._begin_fork(workflow_id, trigger.fork)
        return trigger.fork

    async def _begin_fork(self, source: str, fork: str) -> None:
        """Begin what was taken, as the relay does that comes by; whoever comes second meets the workflow."""
        for recorded in self.store.read(source):
            event = recorded.event
            if isinstance(event, ForkTaken) and event.fork == fork:
                begin = begin_fork(self.definitions, self.store, source, event)
                if begin is not None:
                    await self.decide(fork, begin, actor=event.by, cause=f"{source}/{recorded.originator_version}")

    async def signal(
        self,
        name: str,
        correlation: str,
        payload: Any = None,
        *,
        sender: str | None = None,
        message_id: str | None = None,
    ) -> list[str]:
        """Send a signal: the workflows that took it. It is kept for a week where none waits for it yet.

        The same `message_id` again is a repeat, and nothing is sent. Raises InputInvalid, Refused, StoreUnavailable.
        """
        signal = Signal(
            message_id or f"signal-{uuid.uuid4().hex}",
            name,
            correlation,
            payload,
            sender if sender is not None else login_name(),
        )
        return await self._opened.signals.receive(signal)

    async def wait(self, workflow_id: str, timeout: float | None = None) -> State:  # noqa: ASYNC109 - the caller's word
        """The workflow's state as soon as it is over, or only a person can move it (approval, intervention, pause …).

        Raises WorkflowUnknown, TimeoutError after `timeout` seconds, and the trouble that the runtime is in, if it is.
        """
        self._drive(workflow_id)
        resting = self._opened.watchers.rest(workflow_id)
        return await (resting if timeout is None else asyncio.wait_for(resting, timeout))

    def follow(self, workflow_id: str, after_version: int = 0) -> AsyncIterator[RecordedEvent]:
        """A workflow's events behind a version, as they are committed, by whichever process; without an end."""
        return self._opened.watchers.follow(workflow_id, after_version)

    # --- details ----------------------------------------------------------------------------------------------------

    def _drive(self, workflow_id: str, *, begun_now: bool = False) -> None:
        if self._scoped.add(workflow_id, begun_now=begun_now) and self._holder is not None:
            self._holder.scope_grew()

    def _definition_for(self, goal: str, definition: Definition | str | None) -> Definition:
        if isinstance(definition, Definition):
            if self.definitions.find(definition.name, definition.version) is not definition:
                self.definitions.add(definition)
            return definition
        return self.definitions.for_goal(goal) if definition is None else self.definitions.named(definition)

    async def _start_with_new_id(self, trigger: StartWorkflow) -> str:
        for _ in range(_TRIES):
            workflow_id = self._opened.numbers.next_id()
            try:
                decided = await self.decide(workflow_id, trigger, actor=trigger.requested_by, cause="start")
            except (WorkflowConflict, WorkflowArchived):
                self._opened.numbers.taken()
                continue
            if decided.events and decided.events[0].originator_version == 1:
                return workflow_id
            self._opened.numbers.taken()
        raise StoreError(f"no free id for a local workflow was found in {_TRIES} tries; give one with --id")


def _check_home(definition: Definition) -> None:
    """Raise InputInvalid where a definition needs consumers that a home does not have."""
    foreign = sorted(name for name, declared in definition.activities.items() if declared.foreign)
    if foreign:
        raise InputInvalid(
            f"definition {definition.name!r} has activities in other languages ({', '.join(foreign)}): they need a "
            "broker, `handrail serve`, and their own consumers"
        )


def check_goal(goal: str, tags: Mapping[str, str]) -> None:
    """Raise InputInvalid where a goal or its tags are not what may be recorded."""
    if not goal.strip():
        raise InputInvalid("the goal is empty: say what is to be done")
    if len(goal) > GOAL_CHARACTERS:
        raise InputInvalid(
            f"the goal has {len(goal)} characters, at most {GOAL_CHARACTERS}; put the rest into an input"
        )
    check_payload(goal, "goal", most_bytes=4 * GOAL_CHARACTERS)
    if len(tags) > MOST_TAGS:
        raise InputInvalid(f"{len(tags)} tags, at most {MOST_TAGS}")
    for key, value in tags.items():
        if not 0 < len(key) <= TAG_CHARACTERS or len(value) > TAG_CHARACTERS:
            raise InputInvalid(f"tag {key[:80]!r}: key and value have at most {TAG_CHARACTERS} characters")
        check_payload({key: value}, "tags")


def login_name() -> str:
    """Who runs this process, or `unknown` where the system does not say."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
