"""The same act on many workflows: which ones, a question before, at a pace, with a summary.

Each act has an id of its own, derived from what it is about. Whoever runs the command again, because it was ended half
way, does nothing twice: what has been decided on leaves a receipt under that id, and a message that is still under way
is met by itself. An act that was refused may be tried again: it then has the next id.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from deploy.cli.act import refused_in
from deploy.cli.exits import ExitCode
from deploy.cli.lines import one_line
from deploy.cli.logs import log_to
from deploy.cli.person import at_terminal
from deploy.cli.session import Session
from deploy.misspelt import nearest
from domain.chain import digest_of
from domain.errors import InputInvalid, Refused
from domain.events import DecisionRefused
from domain.ids import receipt_id
from domain.ports import Decided, Receipt

if TYPE_CHECKING:
    from deploy.remote import RemoteRuntime
    from deploy.runtime import Runtime
    from domain.store.application import WorkflowStore
    from domain.triggers import Intervention

DEFAULT_RATE: Final = 10.0
"""Acts a second, where nothing is said."""
MOST_ACTS: Final = 10_000
"""Acts of one command; the same command again goes on with the others."""
MOST_SHOWN: Final = 1_000
"""Acts that `--dry-run` lists."""
ACTS_AT_ONCE: Final = 16
"""Acts under way at a time, each until it is in the store."""
MOST_REFUSALS: Final = 100
"""How often one act is tried that was refused every time."""
_HERE: Final = "cli"
"""The sender of what is decided here, on a home."""


class Became(StrEnum):
    """What became of an act."""

    DONE = "done"
    ALREADY_DONE = "already_done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Act:
    """One act: on which workflow and step, and on which occasion: another one makes it another act."""

    workflow_id: str
    step: str
    occasion: str
    trigger: Intervention

    def __str__(self) -> str:
        """As it is shown."""
        return f"{self.workflow_id} {self.step}".rstrip()

    def id_of(self, verb: str, number: int) -> str:
        """The id of its message, `number` refusals later."""
        words = "\x1f".join((verb, self.workflow_id, self.step, self.occasion, str(number)))
        return f"cli-{verb}-{hashlib.sha256(words.encode()).hexdigest()[:40]}"


@dataclass(frozen=True, slots=True)
class How:
    """How it is done: `rate` acts a second; `yes` asks nobody; `dry_run` does nothing."""

    rate: float = DEFAULT_RATE
    yes: bool = False
    dry_run: bool = False


class _Here:
    """Decides in a home, in this process."""

    sender = _HERE

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    @property
    def store(self) -> WorkflowStore:
        """The home's store."""
        return self._runtime.store

    async def decide(self, act: Act, act_id: str) -> Decided:
        """Decide and save."""
        receipt = Receipt(
            receipt_id("control", self.sender, act_id), "control", digest_of(act.trigger.model_dump(mode="json"))
        )
        return await self._runtime.decide(
            act.workflow_id, act.trigger, actor=act.trigger.by, cause=receipt.message_id, receipt=receipt
        )


class _Elsewhere:
    """Sends messages to whoever serves the store, and waits for what comes of them."""

    def __init__(self, remote: RemoteRuntime) -> None:
        self._remote = remote
        self.sender = remote.login

    @property
    def store(self) -> WorkflowStore:
        """The shared store."""
        return self._remote.store

    async def decide(self, act: Act, act_id: str) -> Decided:
        """Send, and wait."""
        return await self._remote.decide(act.workflow_id, act.trigger, actor=act.trigger.by, message_id=act_id)


@dataclass(slots=True)
class Many:
    """One command's acts, all of one verb (`retry`)."""

    session: Session
    verb: str
    acts: Sequence[Act]
    how: How
    more: bool = False
    """Whether there are more than were taken."""
    became: Counter[Became] = field(default_factory=Counter)

    def carry_out(self) -> int:
        """Ask, act, and sum up; the exit code."""
        from deploy import process

        screen = self.session.screen
        if not self.acts:
            screen.note(f"nothing to {self.verb}")
            return self._sum_up(ExitCode.COMPLETED)
        if self.more:
            screen.note(f"there are more than {len(self.acts):,}: the same command again takes the others", "yellow")
        if self.how.dry_run:
            return self._show()
        if not self.how.yes and at_terminal() and not agreed(f"{self.verb} {_counted(self.acts)}? [y/N] "):
            screen.note("nothing was done")
            return ExitCode.REFUSED
        log_to(self.session.home)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                process.run(self._act())
        except KeyboardInterrupt:
            self._sum_up(ExitCode.INTERRUPTED)
            screen.note("interrupted: the same command again does what is left, and nothing twice")
            return ExitCode.INTERRUPTED
        except BaseException:
            self._sum_up(ExitCode.INTERNAL)
            raise
        return self._sum_up(ExitCode.REFUSED if self.became[Became.REFUSED] else ExitCode.COMPLETED)

    def _show(self) -> ExitCode:
        for act in self.acts[:MOST_SHOWN]:
            self._tell(act, f"would {self.verb}", "")
        if len(self.acts) > MOST_SHOWN:
            self.session.screen.note(f"and {len(self.acts) - MOST_SHOWN:,} more")
        return self._sum_up(ExitCode.COMPLETED)

    async def _act(self) -> int:
        async with contextlib.AsyncExitStack() as stack:
            desk: _Here | _Elsewhere
            if self.session.shared:
                desk = _Elsewhere(await stack.enter_async_context(self.session.remote()))
            else:
                desk = _Here(await stack.enter_async_context(self.session.runtime((), drive=False)))
            loop = asyncio.get_running_loop()
            began, left = loop.time(), iter(enumerate(self.acts))

            async def work() -> None:
                for number, act in left:
                    await asyncio.sleep(max(0.0, began + number / self.how.rate - loop.time()))
                    became, why = await self._one(desk, act)
                    self.became[became] += 1
                    self._tell(act, became.value, why)

            workers = [asyncio.ensure_future(work()) for _ in range(min(ACTS_AT_ONCE, len(self.acts)))]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
        return ExitCode.COMPLETED

    async def _one(self, desk: _Here | _Elsewhere, act: Act) -> tuple[Became, str]:
        """Have one decided on, unless it was; what became of it, and why where it was refused."""
        store = desk.store
        for number in range(MOST_REFUSALS):
            act_id = act.id_of(self.verb, number)
            receipt = receipt_id("control", desk.sender, act_id)
            if not await store.aside(lambda receipt=receipt: _received(store, receipt)):  # type: ignore[misc]
                break
            if not await store.aside(lambda receipt=receipt: _was_refused(store, act.workflow_id, receipt)):  # type: ignore[misc]
                return Became.ALREADY_DONE, ""
        else:
            return Became.REFUSED, f"it was refused {MOST_REFUSALS} times: `handrail show {act.workflow_id}`"
        try:
            decided = await desk.decide(act, act_id)
        except Refused as error:
            return Became.REFUSED, str(error)
        refusal = refused_in(decided)
        if refusal is not None:
            return Became.REFUSED, refusal.reason
        return (Became.DONE, "") if decided.events else (Became.ALREADY_DONE, decided.ignored or "")

    def _tell(self, act: Act, result: str, why: str) -> None:
        screen = self.session.screen
        if screen.as_json:
            screen.value({"kind": "act", "workflow": act.workflow_id, "step": act.step, "result": result, "why": why})
            return
        screen.text(f"{result:<12} {act}" + (f": {one_line(why, 500)}" if why else ""))

    def _sum_up(self, code: ExitCode) -> ExitCode:
        left = len(self.acts) - self.became.total()
        counts = {became.value: self.became[became] for became in Became}
        if self.session.screen.as_json:
            self.session.screen.value({"kind": "summary", **counts, "left": left, "exit_code": int(code)})
        elif self.acts and not self.how.dry_run:
            words = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in counts.items())
            self.session.screen.note(f"{self.verb}: {words}" + (f", {left:,} left" if left else ""))
            if not self.session.shared and self.became[Became.DONE]:
                self.session.screen.note(f"saved; `{self.session.place.command('resume')}` goes on")
        return code


def retry_all(session: Session, fingerprint: str, trigger_for: Callable[[str], Intervention], how: How) -> int:
    """Retry every step that waits for a person with this failure. Raises InputInvalid where there never was one."""
    from deploy.cli.listing import bring_up_to_date
    from projections.failures import fingerprints_seen, is_known, steps_waiting_with

    behind = bring_up_to_date(session)
    if behind:
        session.screen.note(behind, "yellow")
    with session.store() as store:
        if not is_known(store.query, fingerprint):
            near = nearest(fingerprint, fingerprints_seen(store.query, MOST_SHOWN))
            raise InputInvalid(
                f"there was no failure {fingerprint[:80]!r}{near or ': `handrail failures` lists those there were'}"
            )
        found = steps_waiting_with(store.query, fingerprint, MOST_ACTS + 1)
    acts = [Act(one.workflow_id, one.step, one.since, trigger_for(one.step)) for one in found[:MOST_ACTS]]
    return Many(session, "retry", acts, how, more=len(found) > MOST_ACTS).carry_out()


def cancel_all(
    session: Session, status: str, definition: str, tags: Mapping[str, str], trigger: Intervention, how: How
) -> int:
    """Cancel every workflow of a definition that is in a status, and has these tags.

    Raises InputInvalid where no definition is called so: none that is loaded here, and none of a workflow in the views.
    """
    from deploy.cli.listing import bring_up_to_date
    from deploy.cli.named import definition_named
    from projections.queries import list_workflows

    behind = bring_up_to_date(session)
    if behind:
        session.screen.note(behind, "yellow")
    with session.store() as store:
        definition = definition_named(session, store, definition) or definition
        rows: Iterator[Mapping[str, Any]] = list_workflows(
            store.query, status=status, definition=definition, tags=tags, texts=store.texts
        )
        acts: list[Act] = []
        more = False
        for row in rows:
            if len(acts) == MOST_ACTS:
                more = True
                break
            acts.append(Act(row["workflow_id"], "", row["started_at"] or "", trigger))
    return Many(session, "cancel", acts, how, more=more).carry_out()


def _received(store: WorkflowStore, receipt: str) -> bool:
    return bool(store.query("SELECT 1 FROM inbox WHERE message_id = ?", (receipt,)))


def _was_refused(store: WorkflowStore, workflow_id: str, receipt: str) -> bool:
    """Whether what this message asked for was refused."""
    rows = store.recorder.select_since({workflow_id: 0}).get(workflow_id, [])
    caused = [one for one in (store.mapper.read(*row) for row in rows) if one.cause == receipt]
    return any(isinstance(one.event, DecisionRefused) for one in caused)


def _counted(acts: Sequence[Act]) -> str:
    of_steps = bool(acts[0].step)
    noun = "step" if of_steps else "workflow"
    return f"{len(acts):,} {noun}{'' if len(acts) == 1 else 's'}"


def agreed(question: str) -> bool:
    """Whether the person at the terminal says yes."""
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
