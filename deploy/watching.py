"""Waiting for a workflow: until it ends, or until only a person can move it; and following its events.

What this process decides is seen as it is committed, in memory; what others decide is seen in the log. Waiting costs
nothing while the workflow goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Final

from deploy.following import PatientFollower
from domain.errors import HandrailError, WorkflowUnknown
from domain.ports import Along, Decided
from domain.recorded import RecordedEvent
from domain.state import State, wait_key
from domain.store.application import WorkflowStore
from domain.store.mapper import EventRow

RECENT_HELD: Final = 512
"""Workflows whose states stay at hand for who asks right after a decision."""

_DEFINITION: Final = wait_key("", "definition")


class Watch:
    """One who waits. `every` is for who wants to hear of every event; others hear when there may be something."""

    def __init__(self, *, every: bool) -> None:
        """Nothing has happened yet."""
        self.every = every
        self.names: set[str] = set()
        self._seen: dict[str, int] = {}
        self._woken = asyncio.Event()
        self._trouble: HandrailError | None = None

    def hear(self, workflow_id: str, version: int, *, worth_a_look: bool) -> None:
        """A workflow has come to a version."""
        if version > self._seen.get(workflow_id, 0):
            self._seen[workflow_id] = version
            if worth_a_look or self.every:
                self._woken.set()

    def fail(self, trouble: HandrailError) -> None:
        """The runtime is in trouble."""
        self._trouble = trouble
        self._woken.set()

    async def wait(self) -> None:
        """Until there is something to look at; raises the trouble that the runtime is in."""
        await self._woken.wait()
        self._woken.clear()
        if self._trouble is not None:
            trouble, self._trouble = self._trouble, None
            raise trouble


class Watchers:
    """All who wait in this process: a companion of the store, and a follower of its log."""

    def __init__(self, store: WorkflowStore) -> None:
        """Nobody waits yet."""
        self._store = store
        self._watches: dict[str, set[Watch]] = {}
        self._recent: OrderedDict[str, State] = OrderedDict()

    # --- hearing of what happens ------------------------------------------------------------------------------------

    def along(self, _: Sequence[Decided]) -> Sequence[Along]:
        """Nothing: who waits writes nothing."""
        return ()

    def committed(self, turn: Sequence[Decided]) -> None:
        """Keep the states at hand, and wake those who wait for a workflow that may rest now."""
        recent, watches = self._recent, self._watches
        for decided in turn:
            state = decided.state
            workflow_id = state.workflow_id
            recent[workflow_id] = state
            if workflow_id in watches:
                for watch in watches[workflow_id]:
                    watch.hear(workflow_id, state.version, worth_a_look=_may_rest(state))
        while len(recent) > RECENT_HELD:
            recent.popitem(last=False)

    async def run(self, follower: PatientFollower) -> None:
        """Hear of what is committed, by others too, until the follower is closed."""
        recent, watches = self._recent, self._watches
        while batch := await follower.next_batch():
            for notification in batch:
                recorded = notification.event
                workflow_id, version = recorded.originator_id, recorded.originator_version
                known = recent.get(workflow_id)
                if known is not None and known.version < version:
                    # Somebody else has decided: what is at hand is old.
                    del recent[workflow_id]
                for watch in watches.get(workflow_id, ()):
                    watch.hear(workflow_id, version, worth_a_look=True)

    def fail(self, trouble: HandrailError) -> None:
        """Tell everyone who waits that the runtime is in trouble."""
        for watch in {watch for watches in self._watches.values() for watch in watches}:
            watch.fail(trouble)

    # --- waiting ----------------------------------------------------------------------------------------------------

    async def rest(self, workflow_id: str) -> State:
        """A workflow's state as soon as it is over, or only a person can move it."""
        with self._watching(workflow_id, every=False) as watch:
            while True:
                state = self._recent.get(workflow_id)
                if state is None or (state.ended is None and _may_rest(state)):
                    state = await self._store.aside(lambda: self._store.load(workflow_id))
                if state.ended is not None or await self._rests(state, watch):
                    return state
                await watch.wait()

    async def follow(self, workflow_id: str, after_version: int) -> AsyncIterator[RecordedEvent]:
        """A workflow's events behind a version, as they are committed; without an end."""
        with self._watching(workflow_id, every=True) as watch:
            while True:
                for row in await self._since(workflow_id, after_version):
                    after_version = row.version
                    yield self._store.mapper.read(*row)
                await watch.wait()

    async def _since(self, workflow_id: str, version: int) -> list[EventRow]:
        since = await self._store.aside(lambda: self._store.recorder.select_since({workflow_id: version}))
        return since.get(workflow_id, [])

    def family(self, workflow_id: str) -> Iterator[str]:
        """The children that a workflow waits for, and theirs. Asks the store here and now: for a home of one's own."""
        for state in self._loaded([workflow_id]):
            for child in _children_of(state):
                yield child
                yield from self.family(child)

    async def _rests(self, state: State, watch: Watch) -> bool:
        """Whether nothing but people can move a workflow, or the children that it waits for; those are watched too."""
        if state.ended is not None or not _may_rest(state):
            return False
        if state.paused or _DEFINITION in state.waits or state.people_waits():
            return True
        children = _children_of(state)
        for child in children:
            self._add(child, watch)
        # A child that is still to be asked to stop does not rest, whatever it waits for.
        for loaded in await self._store.aside(lambda: list(self._loaded(children))):
            if (state.stopping is None or loaded.stopping is not None) and await self._rests(loaded, watch):
                return True
        return False

    def _loaded(self, workflow_ids: Iterable[str]) -> Iterator[State]:
        for workflow_id in workflow_ids:
            with contextlib.suppress(WorkflowUnknown):
                yield self._store.load(workflow_id)

    @contextlib.contextmanager
    def _watching(self, workflow_id: str, *, every: bool) -> Iterator[Watch]:
        watch = Watch(every=every)
        self._add(workflow_id, watch)
        try:
            yield watch
        finally:
            for name in watch.names:
                watches = self._watches[name]
                watches.discard(watch)
                if not watches:
                    del self._watches[name]

    def _add(self, workflow_id: str, watch: Watch) -> None:
        watch.names.add(workflow_id)
        self._watches.setdefault(workflow_id, set()).add(watch)


def _may_rest(state: State) -> bool:
    """Whether a workflow is over, or nothing of it is under way; a look at what it waits for says the rest."""
    return state.ended is not None or state.blocked or (state.paused and not state.live)


def _children_of(state: State) -> list[str]:
    return [wait.name for wait in state.waits.values() if wait.reason == "child" and wait.name]
