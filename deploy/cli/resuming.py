"""Going on with everything outstanding: follows the whole log, and ends when nothing moves by itself any more.

Which workflows still move is read from the views, and only when the log is quiet: a hundred thousand workflows that
wait for people cost one query, and none of them is loaded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from deploy.cli.aside import describe, tell_aside
from deploy.cli.exits import ExitCode
from deploy.cli.lines import Earlier, Line, tell
from deploy.cli.pending import at_rest, pendings
from deploy.cli.screen import counted
from deploy.cli.session import Session
from domain.events import TERMINAL_EVENTS, WorkflowCompleted
from domain.ports import Notification
from domain.recorded import RecordedEvent
from domain.store.log import BATCH, LogFollower
from domain.store.positions import position_of
from producers.relay import RELAY
from projections.queries import moving_workflows, open_workflows
from projections.schema import POSITION

if TYPE_CHECKING:
    from deploy.runtime import Runtime

QUIET_SECONDS: Final = 0.05
"""The log is quiet when nothing came for so long."""
NAMED_AT_MOST: Final = 5
"""So many workflows that wait for people are described at the end; the others are counted."""


async def resume_all(session: Session) -> ExitCode:
    """Drive everything to its rest; the exit code of the worst seen: failed before waiting before completed."""
    with session.store() as store:
        behind = store.newest()
    async with session.runtime(None) as runtime:
        return await Resumed(session, runtime, behind).go()


class Resumed:
    """Everything outstanding, on its way to its next rest."""

    def __init__(self, session: Session, runtime: Runtime, behind: int) -> None:
        """Print what comes behind this position of the log."""
        self._session = session
        self._runtime = runtime
        self._screen = session.screen
        self._behind = behind
        self._earlier: dict[str, Earlier] = {}
        self._touched: dict[str, None] = {}
        self._speaker = ""
        self._failed = False
        self._reading: asyncio.Task[list[Notification]] | None = None

    async def go(self) -> ExitCode:
        """Follow the log until nothing moves by itself."""
        store = self._runtime.store
        follower = store.follow(self._behind)
        self._trouble = asyncio.create_task(self._hear_trouble())
        try:
            while True:
                batch = await self._next(follower, QUIET_SECONDS)
                for notification in batch:
                    self._hear(notification.event)
                if batch:
                    continue
                if not self._followers_are_up_to_date():
                    continue
                if not self._moving():
                    return self._sum_up()
                # What moves says so in the log: until then there is nothing to look at.
                for notification in await self._next(follower):
                    self._hear(notification.event)
        finally:
            self._trouble.cancel()
            if self._reading is not None:
                self._reading.cancel()
            follower.close()
            store.unfollow(follower)

    async def _next(self, follower: LogFollower, seconds: float | None = None) -> Sequence[Notification]:
        """The next batch, or nothing where none comes in time; raises the trouble that the runtime is in.

        Whoever waits no longer leaves the reading to the next who does: a batch that was taken must not get lost.
        """
        reading = self._reading = self._reading or asyncio.create_task(follower.next_batch(BATCH))
        await asyncio.wait((reading, self._trouble), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if self._trouble.done():
            self._trouble.result()
        if not reading.done():
            return ()
        self._reading = None
        return reading.result()

    async def _hear_trouble(self) -> None:
        """Raise the trouble that the runtime gets into. No workflow has this id; who follows one hears of trouble."""
        async for _ in self._runtime.follow("_"):
            pass

    def _hear(self, recorded: RecordedEvent) -> None:
        name = recorded.originator_id
        tell_aside(self._screen, recorded, whose=f"{name} ")
        for line in tell(recorded, self._earlier.setdefault(name, Earlier())):
            if name != self._speaker and line.kind != "workflow":
                resumed = Line("workflow", f"id={name} resumed", {"id": name, "status": "resumed"})
                self._screen.line(resumed, recorded)
            self._speaker = name
            self._screen.line(line, recorded)
        if isinstance(recorded.event, TERMINAL_EVENTS):
            self._failed = self._failed or not isinstance(recorded.event, WorkflowCompleted)
            self._earlier.pop(name, None)
            self._touched.pop(name, None)
        else:
            self._touched[name] = None

    def _followers_are_up_to_date(self) -> bool:
        """Whether views and relay have seen all of the log, in whichever process they run."""
        store = self._runtime.store
        newest = store.newest()
        with store.reading() as cursor:
            return all(position_of(cursor, name) >= newest for name in (POSITION, RELAY))

    def _moving(self) -> bool:
        """Whether any workflow goes on without a person."""
        store = self._runtime.store
        for name, status, reasons in moving_workflows(store.query):
            if status == "blocked" and reasons <= {"child"}:
                continue  # the child is looked at itself
            if reasons and status in {"stopping", "compensating"} and at_rest(store.load(name)):
                continue
            return True
        return False

    def _sum_up(self) -> ExitCode:
        """Say who waits for whom; the exit code."""
        store = self._runtime.store
        waiting = sum(1 for _ in open_workflows(store.query))
        described = 0
        for name in list(self._touched)[:NAMED_AT_MOST]:
            for one in pendings(store.load(name), self._session.place):
                self._screen.note(describe(one), "yellow")
            described += 1
        if waiting > described:
            more = f"{counted(waiting - described, 'workflow')} more {'waits' if waiting - described == 1 else 'wait'}"
            self._screen.note(f"{more}; `{self._session.place.looking('list')}` shows them")
        code = ExitCode.ENDED if self._failed else ExitCode.WAITING if waiting else ExitCode.COMPLETED
        if self._screen.as_json:
            self._screen.value({"kind": "summary", "waiting": waiting, "exit_code": int(code)})
        return code
