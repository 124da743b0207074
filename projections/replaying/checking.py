"""Every history of a store against the code at hand: a check for CI, in constant memory.

Of a history that comes out as it is recorded, nothing is kept. One that does not is read once more, and looked at as
`handrail replay ID` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from domain.ports import Definitions
from domain.recorded import RecordedEvent
from domain.replay import DecidingAgain
from domain.store.tombstones import tombstones_of
from projections.replaying.reading import Decode, History, read_history
from projections.replaying.report import foldable
from projections.replaying.streaming import EVERYWHERE, Range, Stream, View, Walk
from projections.replaying.verdict import UNDECIDABLE, Verdict, Word, verdict_of


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of one workflow. `verdict` is None where its record is damaged before anything could be decided."""

    workflow: str
    definition: str
    definition_version: str
    events: int
    word: str
    version: int | None = None
    event: str = ""
    words: str = ""
    verdict: Verdict | None = None

    @property
    def differs(self) -> bool:
        """Whether it is not as the code at hand decides it, and that is somebody's fault."""
        return self.word in _DIFFERING


DAMAGED: Final = "damaged"
_DIFFERING: Final = frozenset({DAMAGED, Word.DIFFERS.value, Word.UNDECIDABLE.value})


class CheckingAll:
    """The check of a whole store; `position` is the newest event that it looks at."""

    def __init__(self, view: View, decode: Decode, definitions: Definitions, position: int | None = None) -> None:
        """Begin at what the log has now, or had at a position."""
        self._view = view
        self._decode = decode
        self._definitions = definitions
        self._stream = Stream(view, decode, position)
        self.position = self._stream.position

    def ranges(self, workflows: int) -> Iterator[Range]:
        """Ranges that together hold all workflows, each about so many."""
        return self._stream.ranges(workflows)

    def run(
        self, wanted: Callable[[str], bool], since: datetime | None = None, *, among: Range = EVERYWHERE
    ) -> Iterator[Checked]:
        """Check the workflows whose definition's name is wanted, those with events since then, by their ids."""
        first = 0 if since is None else self._stream.first_since(since)
        for walk in self._stream.walks(
            lambda name, key: _Check(name, key, self._decode, self._definitions, wanted), first=first, among=among
        ):
            if walk.left_out:
                continue
            checked = Checked(walk.name, *walk.definition, walk.events, walk.word)
            if checked.word == Word.AGREES.value:
                yield checked
            elif (found := self._looked_at(checked)) is not None:
                yield found

    def _looked_at(self, checked: Checked) -> Checked | None:
        """Read a history once more, and say what is wrong with it.

        None where its events went to an archive while they were read, and for that only did not fit.
        """
        with self._view() as cursor:
            history = read_history(cursor, self._decode, checked.workflow, upto=self.position)
            if history is None:
                return None if tombstones_of(cursor.query, [checked.workflow]) else checked
        return looked_at(history, self._definitions, checked)


def looked_at(history: History, definitions: Definitions, checked: Checked) -> Checked:
    """What is wrong with a history: damage first, then how it is decided otherwise."""
    events, _ = foldable(history.sound)
    verdict = verdict_of(history, events, definitions) if events or history.withheld else None
    damages = [(one.version, one.name, one.why) for one in history.unreadable]
    if history.broken is not None:
        damages.append((history.broken.version, "", history.broken.words))
    if not history.entries:
        damages.append((1, "", "all of its events are missing"))
    parts = (checked.workflow, checked.definition, checked.definition_version, len(history.entries))
    if damages:
        version, name, words = min(damages)
        if verdict is None or verdict.version is None or version <= verdict.version:
            return Checked(*parts, DAMAGED, version, name, words, verdict)
    if verdict is None:
        return checked
    return Checked(*parts, verdict.word.value, verdict.version, verdict.event, verdict.words, verdict)


class _Check(Walk):
    """One history, decided as it is read. It only finds out whether all is as it must be."""

    def __init__(
        self, name: str, key: bytes, decode: Decode, definitions: Definitions, wanted: Callable[[str], bool]
    ) -> None:
        super().__init__(name, key, decode)
        self._wanted = wanted
        self._again = DecidingAgain(name, definitions)
        self._agrees = True

    @property
    def word(self) -> str:
        """What it came to."""
        fits = self.sound and self._agrees and self.events > 0
        return Word.AGREES.value if fits else Word.UNDECIDABLE.value

    def begins(self) -> bool:
        """Whether the history is asked for."""
        return self._wanted(self.definition[0])

    def decide(self, decision: list[RecordedEvent]) -> bool:
        """Decide again; whether to go on."""
        try:
            self._agrees = self._again.decide(decision) is None
        except UNDECIDABLE:
            self._agrees = False
        return self._agrees
