"""Following a workflow until it ends or a person must act: prints its lines, decides in advance, asks at a terminal.

The drive folds what it follows, so it knows as exactly as the engine when nothing is under way any more. Child
workflows are followed too: their lines go to stderr, and what they wait for counts as what their parent waits for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deploy.cli.aside import describe, tell_aside
from deploy.cli.exits import ExitCode, exit_code_of_status
from deploy.cli.lines import Earlier, one_line, tell
from deploy.cli.pending import Pending, Place, at_rest, pendings, votes
from deploy.cli.person import Answer, Person
from deploy.cli.screen import Screen
from domain import events as e
from domain.chain import GENESIS
from domain.errors import HandrailError, WorkflowUnknown
from domain.evolve import evolve
from domain.recorded import RecordedEvent
from domain.state import Ballot, State
from domain.triggers import RecordDecision

if TYPE_CHECKING:
    from deploy.runtime import Runtime


@dataclass(slots=True)
class Advance:
    """Decisions made in advance: who grants, and under which conditions."""

    deciders: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()


@dataclass(slots=True)
class _Member:
    """One workflow of the family that is followed."""

    state: State
    earlier: Earlier = field(default_factory=Earlier)


class Drive:
    """One workflow with its children, on its way to its next rest."""

    def __init__(
        self,
        engine: Runtime,
        screen: Screen,
        place: Place,
        *,
        advance: Advance | None = None,
        person: Person | None = None,
        patient: bool = False,
    ) -> None:
        """`person` is who is asked at the terminal; without one, a block ends the drive, unless it is `patient`."""
        self._engine = engine
        self._screen = screen
        self._place = place
        self._advance = advance or Advance()
        self._person = person
        self._patient = patient
        self._family: dict[str, _Member] = {}
        self._queue: asyncio.Queue[RecordedEvent | BaseException] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._question: asyncio.Task[Answer | None] | None = None
        self._asked: tuple[str, str] = ("", "")
        self._put_off: set[tuple[str, str]] = set()
        self._tried: set[tuple[str, str, str]] = set()
        self._noted: tuple[Any, ...] = ()
        self._refused = False
        self._root = ""
        self.resting = False
        """Whether the workflow rests: an interrupt then finds it waiting, not working."""

    async def go(self, state: State) -> ExitCode:
        """Follow from this state on, until the workflow ends or rests for a person; the exit code that says so."""
        self._root = state.workflow_id
        self._watch(state)
        try:
            while True:
                code = await self._look()
                if code is not None:
                    return code
                await self._hear()
        except asyncio.CancelledError:
            if self.resting:
                self._hint()
            raise
        finally:
            await self._stop()

    @property
    def state(self) -> State:
        """The workflow's state as far as it was followed."""
        return self._family[self._root].state

    def pendings(self) -> list[Pending]:
        """All that the family waits for."""
        return [one for member in self._family.values() for one in pendings(member.state, self._place)]

    # --- following ----------------------------------------------------------------------------------------------

    def _watch(self, state: State) -> None:
        """Follow a workflow from this state on, and the children that it waits for there."""
        self._family[state.workflow_id] = _Member(state)
        self._tasks.append(asyncio.create_task(self._listen(state.workflow_id, state.version)))
        for wait in state.waits.values():
            if wait.reason == "child" and wait.name and wait.name not in self._family:
                self._watch(self._child(wait.name))

    def _child(self, workflow_id: str) -> State:
        try:
            return self._engine.store.load(workflow_id)
        except WorkflowUnknown:  # it has been asked for, and has not begun
            return State(workflow_id, head=GENESIS)

    async def _listen(self, workflow_id: str, after: int) -> None:
        try:
            async for recorded in self._engine.follow(workflow_id, after_version=after):
                self._queue.put_nowait(recorded)
            self._queue.put_nowait(HandrailError("the runtime was closed while a workflow was followed; run it again"))
        except HandrailError as error:
            self._queue.put_nowait(error)

    async def _hear(self) -> None:
        """Wait for the next event, or for the person's answer."""
        if self._question is None:
            self._take(await self._queue.get())
        else:
            heard = asyncio.create_task(self._queue.get())
            await asyncio.wait((heard, self._question), return_when=asyncio.FIRST_COMPLETED)
            if heard.done():
                self._take(heard.result())
            else:
                heard.cancel()
        while not self._queue.empty():
            self._take(self._queue.get_nowait())

    def _take(self, recorded: RecordedEvent | BaseException) -> None:
        if isinstance(recorded, BaseException):
            raise recorded
        member = self._family[recorded.originator_id]
        if recorded.originator_version <= member.state.version:
            return
        evolve(member.state, recorded)
        own = recorded.originator_id == self._root
        for line in tell(recorded, member.earlier):
            if own:
                self._screen.line(line, recorded)
            else:
                self._screen.note(f"{recorded.originator_id} {line}")
        whose = "" if own else f"{recorded.originator_id} "
        tell_aside(self._screen, recorded, whose=whose)
        if isinstance(recorded.event, e.ApprovalRecorded):
            self._note_vote(recorded.originator_id, recorded.event, whose)
        if isinstance(recorded.event, e.ChildStarted) and recorded.event.child_workflow not in self._family:
            self._watch(State(recorded.event.child_workflow, head=GENESIS))

    def _note_vote(self, workflow_id: str, event: e.ApprovalRecorded, whose: str) -> None:
        """Say that a vote counted, where one does not decide."""
        ballot = self._family[workflow_id].state.ballots.get(event.step)
        if ballot is not None and (ballot.request.required > 1 or ballot.request.rejections > 1):
            words = f"{event.step}: {event.decision} by {event.decided_by} counted; {votes(ballot)}"
            self._screen.note(f"{whose}{one_line(words)}")

    # --- looking where it stands ------------------------------------------------------------------------------------

    async def _look(self) -> ExitCode | None:
        """What is to be done where the workflow stands now; the exit code where nothing more is."""
        self._withdraw()
        if self._question is not None and self._question.done():
            await self._answered(self._question)
        state = self.state
        if state.ended is not None:
            return exit_code_of_status(state.ended)
        if await self._decide_in_advance():
            return None
        self.resting = self._rests()
        return self._rest() if self.resting and self._question is None else None

    def _rest(self) -> ExitCode | None:
        """The workflow rests: wait on, ask, or leave it to whoever must act."""
        waiting = self.pendings()
        if not any(one.needs_person for one in waiting):
            self._note_waits(waiting)
            return None
        if self._ask():
            return None
        if self._patient:
            self._note_waits(waiting)
            return None
        self._hint()
        return ExitCode.REFUSED if self._refused else ExitCode.WAITING

    def _rests(self) -> bool:
        """Whether nothing is under way in the whole family, as of the newest events."""
        for member in self._family.values():
            state = member.state
            if state.ended is None and not at_rest(state):
                return False
        versions = {name: member.state.version for name, member in self._family.items()}
        return not self._engine.store.recorder.select_since(versions)

    def _ballots(self) -> list[tuple[str, Ballot]]:
        """The open approvals of the family."""
        return [(name, ballot) for name, member in self._family.items() for ballot in member.state.ballots.values()]

    async def _decide_in_advance(self) -> bool:
        """Let those decide who were named beforehand; whether that changed something."""
        moved = False
        for name, ballot in self._ballots():
            for who in self._advance.deciders:
                key = (name, ballot.request.approval_id, who)
                if key in self._tried:
                    continue
                self._tried.add(key)
                moved = True
                answer = Answer("approve", who, self._advance.controls)
                if await self._decide(name, ballot, answer) is not None:
                    break
        return moved

    async def _decide(self, workflow_id: str, ballot: Ballot, answer: Answer) -> str | None:
        """Hand a decision in; how the round ended, or None where it goes on or the decision was refused."""
        decided = await self._engine.decide(
            workflow_id, decision_of(ballot, answer), actor=answer.decided_by, cause=f"cli:{answer.decision}"
        )
        for recorded in decided.events:
            if isinstance(recorded.event, e.DecisionRefused):
                self._refused = True
            elif isinstance(recorded.event, e.ApprovalGranted | e.ApprovalRejected):
                return recorded.name
        return None

    # --- the person at the terminal ---------------------------------------------------------------------------------

    def _ask(self) -> bool:
        """Begin to ask about the first approval that was not put off; whether there is one."""
        if self._person is None:
            return False
        for name, ballot in self._ballots():
            key = (name, ballot.request.digest)
            if key not in self._put_off:
                self._asked = key
                self._question = asyncio.create_task(self._person.decide(name, ballot))
                return True
        return False

    async def _answered(self, question: asyncio.Task[Answer | None]) -> None:
        self._question = None
        answer = question.result()
        name, digest = self._asked
        if answer is None:
            self._put_off.add(self._asked)
            return
        for workflow_id, ballot in self._ballots():
            if (workflow_id, ballot.request.digest) == (name, digest):
                await self._decide(workflow_id, ballot, answer)
                # The person sees a refusal and is asked again: that is no failure of the command.
                self._refused = False

    def _withdraw(self) -> None:
        """Take back a question that was answered elsewhere."""
        if self._question is None or self._question.done():
            return
        if self._asked not in [(name, ballot.request.digest) for name, ballot in self._ballots()]:
            self._question.cancel()
            self._question = None
            self._screen.note("\ndecided elsewhere")

    # --- what is said at a rest -------------------------------------------------------------------------------------

    def _note_waits(self, waiting: Sequence[Pending]) -> None:
        """Say once what is waited for, while it is waited for here."""
        key = tuple((one.workflow_id, one.step, one.reason, one.due_at) for one in waiting)
        if key == self._noted:
            return
        self._noted = key
        for one in waiting:
            self._screen.note(describe(one))

    def _hint(self) -> None:
        for one in self.pendings():
            if one.needs_person or one.commands:
                self._screen.note(describe(one), "yellow")

    async def _stop(self) -> None:
        tasks = [*self._tasks, *([self._question] if self._question is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def decision_of(ballot: Ballot, answer: Answer) -> RecordDecision:
    """The trigger of a decision on this approval as it stands."""
    asked = ballot.request
    return RecordDecision(
        approval_id=asked.approval_id,
        round=asked.round,
        digest=asked.digest,
        decision="approve" if answer.decision == "approve" else "reject",
        decided_by=answer.decided_by,
        reason=answer.reason,
        controls=answer.controls,
    )
