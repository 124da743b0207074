"""Sending a goal from the command line, and following its workflow in a store that others work on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from deploy.cli.aside import describe, tell_aside
from deploy.cli.exits import ExitCode, exit_code_of_status
from deploy.cli.lines import Earlier, tell
from deploy.cli.pending import Pending, Place, pendings
from deploy.cli.screen import Screen
from deploy.client import Client, Submitted
from deploy.lookout import StoreLookout
from domain.chain import GENESIS
from domain.errors import StoreError, StoreUnavailable, WorkflowUnknown
from domain.evolve import evolve
from domain.state import State

_FIRST_LOOK_SECONDS: Final = 0.02
_LONGEST_LOOK_SECONDS: Final = 1.0
_FAMILY_SECONDS: Final = 10.0
_MOST_OF_A_FAMILY: Final = 1_000


@dataclass(frozen=True, slots=True)
class Submission:
    """What is asked for, and how long to wait for it."""

    goal: str
    definition: str | None
    input: Mapping[str, Any]
    tags: Mapping[str, str]
    requested_by: str | None
    message_id: str | None
    timeout_seconds: float
    wait: bool


async def deliver(submission: Submission, broker_url: str, store_url: str | None, screen: Screen) -> ExitCode:
    """Send it, say which workflow it is, and follow that if it was asked for. Raises what `Client.submit` raises."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + submission.timeout_seconds
    async with Client(broker_url, store_url, name="handrail submit") as client:
        submitted = await client.submit(
            submission.goal,
            submission.definition,
            submission.input,
            tags=submission.tags,
            requested_by=submission.requested_by,
            message_id=submission.message_id,
            timeout=submission.timeout_seconds,
        )
    _say(submitted, screen)
    if not submission.wait or store_url is None:
        return ExitCode.COMPLETED
    lookout = await StoreLookout.open(store_url)
    follower = Follower(lookout, submitted, screen)
    try:
        async with asyncio.timeout_at(deadline):
            return await follower.follow()
    except TimeoutError:
        return await follower.given_up()
    finally:
        await lookout.close()


class Follower:
    """Prints a workflow's lines as its events come into the store, whoever decides them."""

    def __init__(self, lookout: StoreLookout, workflow_id: str, screen: Screen) -> None:
        """From its first event."""
        self._lookout = lookout
        self._workflow_id = str(workflow_id)
        self._screen = screen
        self._earlier = Earlier()
        self._state = State(self._workflow_id, head=GENESIS)
        self._told: set[Pending] = set()

    async def follow(self) -> ExitCode:
        """Until the workflow ends; the exit code that says how. Trouble with the store on the way is waited out."""
        pause = _FIRST_LOOK_SECONDS
        while self._state.ended is None:
            try:
                moved = await self._look()
                self._tell_waits([self._state])
            except StoreUnavailable as error:
                self._screen.note(str(error), "yellow")
                moved = False
            pause = _FIRST_LOOK_SECONDS if moved else min(1.5 * pause, _LONGEST_LOOK_SECONDS)
            if self._state.ended is None:
                await asyncio.sleep(pause)
        return exit_code_of_status(self._state.ended)

    async def given_up(self) -> ExitCode:
        """The time is over: say where the workflow stands, which goes on without us.

        What its children wait for counts as what it waits for itself, as on a home.
        """
        family = [self._state]
        try:
            async with asyncio.timeout(_FAMILY_SECONDS):
                await self._gather(family)
        except (StoreError, TimeoutError) as error:
            self._screen.note(f"what its children wait for is not known: {str(error) or 'no answer in time'}", "yellow")
        if self._tell_waits(family):
            return ExitCode.WAITING
        self._screen.note(
            f"{self._workflow_id} is {self._state.status}, and goes on; nobody waits for it here any more"
        )
        return ExitCode.INTERNAL

    def _tell_waits(self, family: Iterable[State]) -> bool:
        """Say what a person is waited for, and the commands that move it, each wait once; whether there are any."""
        waits = [one for state in family for one in pendings(state, Place()) if one.needs_person]
        for one in waits:
            if one not in self._told:
                self._told.add(one)
                self._screen.note(describe(one), "yellow")
        return bool(waits)

    async def _gather(self, family: list[State]) -> None:
        """Put the children that are waited for into the family, and theirs, as far as they have begun."""
        for state in family:  # grows on the way
            children = [wait.name for wait in state.waits.values() if wait.reason == "child" and wait.name]
            for child in children[: _MOST_OF_A_FAMILY - len(family)]:
                with contextlib.suppress(WorkflowUnknown):
                    family.append(await self._lookout.state(child))

    async def _look(self) -> bool:
        """Print what is new; whether anything was."""
        events = await self._lookout.events(self._workflow_id, self._state.version)
        for recorded in events:
            evolve(self._state, recorded)
            for line in tell(recorded, self._earlier):
                if recorded.originator_version > 1:  # that it was accepted has been said
                    self._screen.line(line, recorded)
            tell_aside(self._screen, recorded)
        return bool(events)


def _say(submitted: Submitted, screen: Screen) -> None:
    word = "accepted" if submitted.accepted else "submitted"
    line = f"[workflow] id={submitted} {word}"
    if not submitted.accepted:
        screen.note(
            "the broker has it; whether it is accepted is seen in the store only (HANDRAIL_STORE): "
            f"`handrail dead show {submitted.message_id}` says whether it was refused, and why"
        )
    if not screen.as_json:
        screen.text(line)
        return
    screen.value({"line": line, "kind": word, "workflow": str(submitted), "message_id": submitted.message_id})
