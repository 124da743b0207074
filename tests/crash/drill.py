"""A drill: a workflow is run undisturbed and watched, then again and again, killed at one passage of a point each.

Between two commands nothing runs, so that a folder copied then is where a killed run may begin: only the command that
is killed is run again, not all that came before it. The outside is copied with it.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from domain.state import State
from tests.crash.checks import Record, compare, look, record_of
from tests.crash.ledger import When
from tests.crash.outside import Outside
from tests.crash.person import Person
from tests.crash.processes import KILLED, Ended, Hit, Place
from tests.crash.starting import Starter

COMMANDS_AT_MOST = 12
"""Commands of one workflow, until it has ended: one that needs more goes in circles."""

WATCHED_ALSO = 2
"""How many further times a command is watched, to learn which passages come every time."""

TRIES = 5
"""How often a kill is tried: how often a point is passed may depend on what comes together in one turn."""

GOOD_CODES = frozenset({0, 1, 3})
"""Exit codes of a command that did its work: the workflow completed, ended otherwise, or waits for a person."""

UNKNOWN_WORKFLOW = 2
"""Exit code of a command for a workflow that is not in the store: it was killed before it was."""


@dataclass(frozen=True)
class Stage:
    """A command, and the folder and the outside as they are when it begins."""

    arguments: tuple[str, ...]
    home: Path
    outside: Outside
    ended: Ended
    """How it ended when nobody disturbed it."""
    calls: int
    """How often it called the outside."""
    surely: Mapping[str, int]
    """How often it passed each fault point at least, of several times that it was run from here."""

    def __str__(self) -> str:
        return " ".join(self.arguments)


@dataclass
class Drill:
    """All runs of one workflow, in folders below `root`."""

    person: Person
    outside: Outside
    root: Path
    starter: Starter
    kills: int = 0
    points: set[str] = field(default_factory=set)
    """The fault points at which a process was killed."""
    findings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)

    # --- undisturbed ------------------------------------------------------------------------------------------------

    def watch(self) -> tuple[list[Stage], Record]:
        """Run the workflow to its end, undisturbed: its commands, and what came of it."""
        place = self._fresh()
        stages = list(self._stages(place))
        return stages, record_of(place)

    def _stages(self, place: Place) -> Iterator[Stage]:
        for sent in self.person.before():
            yield self._stage(place, sent)
        for _ in range(COMMANDS_AT_MOST):
            arguments = self.person.next_command(self._stands(place), place.outside)
            if arguments is None:
                return
            yield self._stage(place, arguments)
        raise AssertionError(f"{self.person.workflow} does not end")

    def _stage(self, place: Place, arguments: tuple[str, ...]) -> Stage:
        """Run a command undisturbed, and keep from where."""
        before = self._copied(place.home, place.outside)
        calls = len(before.outside.books().entries)
        counts = [self._passed(before, arguments) for _ in range(WATCHED_ALSO)]
        ended = place.run(*arguments)
        if ended.code != UNKNOWN_WORKFLOW:
            self._must_end(ended)
        surely = {point: min(most, *(also.get(point, 0) for also in counts)) for point, most in ended.passed.items()}
        calls = len(place.outside.books().entries) - calls
        return Stage(arguments, before.home, before.outside, ended, calls, surely)

    def _passed(self, before: Place, arguments: tuple[str, ...]) -> Mapping[str, int]:
        """How often the command passes each fault point, this time."""
        place = self._copied(before.home, before.outside)
        passed = place.run(*arguments).passed
        self._forget(place)
        return passed

    # --- disturbed --------------------------------------------------------------------------------------------------

    def kill_at(self, stage: Stage, hits: Iterable[Hit], undisturbed: Record) -> None:
        """For each hit: the stage's command is killed there, and a person goes on until the end, which is checked."""
        for hit in hits:
            title = f"{stage}, killed at {hit}"
            place = self._killed(stage, hit, title)
            if place is not None:
                self._finish(place, title, self._restarts(stage, hit), undisturbed)

    def kill_in_calls(self, stage: Stage, whens: Iterable[When], undisturbed: Record) -> None:
        """Kill the stage's command from outside, in the middle of each call that it makes to the outside."""
        for number, when in itertools.product(range(1, stage.calls + 1), whens):
            place = self._copied(stage.home, stage.outside)
            place.outside.hold(number, when)
            running = place.start(*stage.arguments)
            try:
                place.outside.until_held()
            finally:
                running.kill()
            self.kills += 1
            title = f"{stage}, killed {when} call {number} took effect"
            self._finish(place, title, (self.person.go_on(),), undisturbed)

    def kill_twice(self, stage: Stage, hit: Hit, undisturbed: Record) -> None:
        """Kill at a hit, then kill the restart at the first passage of each point that it passes."""
        title = f"{stage}, killed at {hit}"
        place = self._killed(stage, hit, title)
        if place is None:
            return
        restart = self._restart(place, stage, hit)
        for second in restart.ended.hits(every=False):
            title_of_both = f"{title}, then {restart}, killed at {second}"
            again = self._killed(restart, second, title_of_both)
            if again is not None:
                self._finish(again, title_of_both, self._restarts(restart, second), undisturbed)

    def kill_often(self, hits: Sequence[Hit], undisturbed: Record) -> None:
        """Begin, and kill one life after the other, each at its hit if it comes to that; then let it end."""
        place, title = self._fresh(), "begun"
        for sent in self.person.before():
            self._must_end(place.run(*sent))
        arguments: tuple[str, ...] | None = self.person.begin()
        for hit in hits:
            if arguments is None:
                break
            ended = place.run(*arguments, armed=hit)
            title = f"{title}, {' '.join(arguments)} → {hit if ended.code == KILLED else ended.code}"
            if ended.code == KILLED:
                self.kills += 1
                arguments = self.person.begin()
            else:
                arguments = self.person.next_command(self._stands(place), place.outside)
        self._finish(place, title, (self.person.begin(),), undisturbed)

    def _killed(self, stage: Stage, hit: Hit, title: str) -> Place | None:
        """The place after the stage's command was killed at the hit; None, and a finding, where it never came there.

        A passage that does not come every time, undisturbed, is tried as often, and is no finding.
        """
        for _ in range(TRIES):
            place = self._copied(stage.home, stage.outside)
            ended = place.run(*stage.arguments, armed=hit)
            if ended.code == KILLED and ended.fired == hit:
                self.kills += 1
                self.points.add(hit.point)
                return place
            self._must_end(ended)
            self._forget(place)
        if hit.number <= stage.surely[hit.point]:
            self.findings.append(f"{title}: the armed point never fired")
        return None

    def _restart(self, place: Place, killed: Stage, hit: Hit) -> Stage:
        """What a person does first after a crash, as a stage that can be killed in turn."""
        for arguments in self._restarts(killed, hit):
            stage = self._stage(place, arguments)
            if stage.ended.code != UNKNOWN_WORKFLOW:
                return stage
        raise AssertionError(f"{self.person.workflow} cannot be started again: {stage.ended}")

    def _restarts(self, killed: Stage, hit: Hit) -> tuple[tuple[str, ...], ...]:
        """The same command again, or `resume`: a person may do either, so both are tried, by turns.

        What was sent before the workflow began is sent again: nobody can tell whether it got through.
        """
        if killed.arguments in self.person.before():
            return (killed.arguments,)
        if hit.point.endswith(".before"):
            return (self.person.begin(),)
        return (self.person.go_on(), self.person.begin())

    def _finish(self, place: Place, title: str, restarts: Sequence[tuple[str, ...]], undisturbed: Record) -> None:
        """Bring a killed workflow to its end, and check it."""
        lives: list[Ended] = []
        try:
            self._live_on(place, restarts, lives)
            wrong = [*_unforeseen(lives), *compare(record_of(place), undisturbed)]
        except TimeoutError as late:
            wrong = [f"does not end: {late}"]
        if wrong:
            self.findings.append("\n".join([title, *wrong, f"in {place.home}", *map(str, lives)]))
        else:
            self._forget(place)

    def _live_on(self, place: Place, restarts: Sequence[tuple[str, ...]], lives: list[Ended]) -> None:
        for arguments in restarts:
            lives.append(place.run(*arguments))
            if lives[-1].code != UNKNOWN_WORKFLOW:
                break
        for _ in range(COMMANDS_AT_MOST):
            following = self.person.next_command(self._stands(place), place.outside)
            if following is None:
                return
            lives.append(place.run(*following))

    def _stands(self, place: Place) -> State | None:
        return self.person.stands(lambda workflow: look(place, workflow))

    # --- places -----------------------------------------------------------------------------------------------------

    def _fresh(self) -> Place:
        number = next(self._numbers)
        return Place(
            self.root / f"{number}", Outside(self.outside.port, f"{self.outside.world}/{number}"), self.starter
        )

    def _copied(self, home: Path, outside: Outside) -> Place:
        place = self._fresh()
        if home.exists():
            shutil.copytree(home, place.home, symlinks=True)
        return Place(place.home, outside.copied(place.outside.world), self.starter)

    def _forget(self, place: Place) -> None:
        shutil.rmtree(place.home, ignore_errors=True)

    def _must_end(self, ended: Ended) -> None:
        if ended.code not in GOOD_CODES:
            raise AssertionError(str(ended))


def _unforeseen(lives: Iterable[Ended]) -> list[str]:
    """The commands that ended as none does that went well: wrong use and trouble inside."""
    return [
        f"ended unforeseen: {ended}"
        for ended in lives
        if ended.code not in GOOD_CODES and ended.code != UNKNOWN_WORKFLOW
    ]
