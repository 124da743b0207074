"""What a command runs in: a loop with Ctrl-C handled, a log file, and the runtime or the store of a home."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Collection, Coroutine, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from deploy.cli.drive import Advance, Drive
from deploy.cli.exits import ExitCode
from deploy.cli.lines import Earlier, tell
from deploy.cli.logs import log_to
from deploy.cli.pending import Place, pendings
from deploy.cli.person import Person, at_terminal
from deploy.cli.place import existing_home, folder_of, home_of, is_shared, modules_of, program_name
from deploy.cli.screen import Screen
from domain.recorded import RecordedEvent
from domain.state import State

if TYPE_CHECKING:
    from deploy.remote import RemoteRuntime
    from deploy.runtime import Runtime
    from domain.store.application import WorkflowStore


class Session:
    """One command's use of a home."""

    def __init__(self, home: str | None, modules: list[str] | None, *, as_json: bool) -> None:
        """Nothing is opened yet; raises InputInvalid where options and environment do not go together."""
        self.shared = is_shared(home)
        """Whether the store is one that others serve: then this command looks, and sends what is decided."""
        self.home = folder_of(home)
        self.modules = modules_of(modules or [])
        self.place = Place(home, tuple(modules or ()), program_name())
        self.screen = Screen(as_json=as_json)
        self.home_option = home
        self._drive: Drive | None = None

    def must_exist(self) -> None:
        """Refuse a home where nothing is."""
        if not self.shared:
            existing_home(self.home_option)

    def needs_home(self) -> None:
        """Refuse a shared store: this command runs what it starts itself."""
        home_of(self.home_option)

    def run(self, work: Coroutine[Any, Any, ExitCode]) -> int:
        """Run to the exit code. Ctrl-C while the workflow rests leaves it waiting, at any other time interrupts it."""
        from deploy import process

        log_to(self.home)
        try:
            # What an activity prints must not stand among the lines that scripts read; the screen has the real stdout.
            with contextlib.redirect_stdout(sys.stderr):
                return process.run(work)
        except KeyboardInterrupt:
            if self._drive is not None and self._drive.resting:
                return ExitCode.WAITING
            self.screen.note(f"interrupted; `{self.place.command('resume')}` goes on")
            return ExitCode.INTERRUPTED

    @contextlib.asynccontextmanager
    async def runtime(self, scope: Collection[str] | None, *, drive: bool = True) -> AsyncIterator[Runtime]:
        """The runtime of this home, driving the workflows of this scope (None: all), or none without `drive`."""
        if self.shared:
            async with self.remote() as remote:
                yield cast("Runtime", remote)  # of a runtime, whoever follows uses what both have
            return
        from deploy.runtime import Runtime

        async with Runtime(self.home, self.modules, scope=scope, drive=drive) as runtime:
            if drive and not runtime.holder:
                self.screen.note("another process runs the workflows of this home; following it")
            yield runtime

    def remote(self) -> RemoteRuntime:
        """The store that others serve, and its broker."""
        from deploy.remote import RemoteRuntime
        from deploy.settings import load_settings

        return RemoteRuntime(load_settings())

    @contextlib.contextmanager
    def store(self, *, read_only: bool = True) -> Iterator[WorkflowStore]:
        """The store of this home alone: nothing runs. Raises InputInvalid where there is none."""
        if self.shared:
            from deploy.cli.stores import open_any_store

            with open_any_store(self.home_option) as shared:
                yield shared
            return
        from deploy.loading import LoadedDefinitions
        from deploy.opened import open_store

        self.must_exist()
        opened = open_store(self.home, LoadedDefinitions(), read_only=read_only)
        try:
            yield opened
        finally:
            opened.close()

    def standing(self, workflow_id: str) -> State:
        """Where a workflow stands before anything runs here: what is decided on opening is printed like the rest.

        Raises ImportedReadOnly before it reads, for of an import not all may be known, and WorkflowUnknown.
        """
        with self.store() as store:
            if store.imported is not None:
                raise store.imported.refusal(store.recorder.place)
            return store.load(workflow_id)

    async def drive(
        self, runtime: Runtime, state: State, advance: Advance | None = None, *, patient: bool = False
    ) -> ExitCode:
        """Follow a workflow to its next rest, or (`patient`) to its end, and sum it up where that was asked for."""
        person = Person(self.screen) if at_terminal() and not self.screen.as_json else None
        self._drive = Drive(runtime, self.screen, self.place, advance=advance, person=person, patient=patient)
        code = await self._drive.go(state)
        self.sum_up(self._drive.state, code)
        return code

    def leave(self, before: State, decided: Sequence[RecordedEvent], after: State) -> ExitCode:
        """Print what a decision recorded, and leave the rest to another process."""
        earlier = Earlier()
        for recorded in decided:
            if recorded.originator_version > before.version:
                for line in tell(recorded, earlier):
                    self.screen.line(line, recorded)
        self.sum_up(after, ExitCode.COMPLETED)
        return ExitCode.COMPLETED

    def sum_up(self, state: State, code: ExitCode) -> None:
        """The last object of `--json`."""
        if not self.screen.as_json:
            return
        folder = self.home / "workflows" / state.workflow_id
        self.screen.value(
            {
                "kind": "summary",
                "workflow": state.workflow_id,
                "status": str(state.status),
                "exit_code": int(code),
                "reason": state.ended_reason,
                "output": state.output,
                "controls": state.controls,
                "artifacts": [
                    {**artifact.model_dump(), "path": str(folder / artifact.name)}
                    for artifact in state.artifacts.values()
                ],
                "waits": [one.as_dict() for one in pendings(state, self.place)],
            }
        )
