"""Which stored histories would have gone another way under other policies, and where first.

Every trigger is decided again, with the recorded facts, under the other policies. What an approval asks for may come
out otherwise without anything going another way: the votes that are recorded are then counted by the other terms, and
what falls due falls due by them. The first event that is another one, or is not there, is where a history parts. What
would have come of it nobody knows, and nothing behind it is looked at.

That the policies are the reason is made sure of: the same history is decided again under those at hand up to there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from domain import events as e
from domain.definitions import Definition
from domain.ports import Definitions
from domain.progress import MISSING
from domain.recorded import RecordedEvent
from domain.replay import DecidingAgain, Divergence, same_fact
from domain.state import State
from domain.store.tombstones import tombstones_of
from projections.replaying.reading import Decode
from projections.replaying.streaming import EVERYWHERE, Range, Stream, View, Walk
from projections.replaying.verdict import UNDECIDABLE
from projections.replaying.whatif_changes import Change, change_of, overdue
from projections.replaying.whatif_facts import OtherFacts, Turned, Unjudged
from projections.replaying.whatif_policies import OtherPolicies

NOT_LOADED: Final = "definition_missing"
NOT_READ: Final = "unreadable"
WITHHELD: Final = "withheld"
OTHERWISE: Final = "decided_otherwise"
UNKNOWN: Final = "not_in_record"
UNFIT: Final = "policies_do_not_fit"
"""Why of some workflows nothing can be said."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of one workflow: nothing else (`change` None), another way, or nothing can be said (`why`)."""

    workflow: str
    definition: str
    definition_version: str
    events: int
    change: Change | None = None
    unjudged: str = ""
    why: str = ""


class WhatIf:
    """A question to the histories of a store; `position` is the newest event that it looks at."""

    def __init__(self, view: View, decode: Decode, definitions: Definitions, policies: OtherPolicies) -> None:
        """Begin at what the log has now."""
        self._view = view
        self._stream = Stream(view, decode)
        self._decode = decode
        self._definitions = definitions
        self._policies = policies
        self._instant = self._stream.instant()
        self.position = self._stream.position

    def over_all(
        self, wanted: Callable[[str], bool], since: datetime | None = None, *, among: Range = EVERYWHERE
    ) -> Iterator[Asked]:
        """Ask the workflows of the definitions wanted that the policies concern, those with events since then."""
        first = 0 if since is None else self._stream.first_since(since)
        walks = self._stream.walks(lambda name, key: self._walk(name, key, wanted), first=first, among=among)
        yield from self._answers(walks)

    def over(self, names: Sequence[str]) -> Iterator[Asked]:
        """Ask these workflows; one of a definition that the policies do not concern goes no other way."""
        yield from self._answers(self._stream.walk(names, lambda name, key: self._walk(name, key, None)))

    def _walk(self, name: str, key: bytes, wanted: Callable[[str], bool] | None) -> _Asking:
        return _Asking(name, key, self._decode, self._definitions, self._policies, wanted)

    def _answers(self, walks: Iterator[_Asking]) -> Iterator[Asked]:
        for walk in walks:
            if walk.left_out:
                continue
            unjudged, why, change = walk.unjudged, walk.why, None
            if not unjudged and (not walk.sound or not walk.events):
                if self._archived_meanwhile(walk.name):
                    continue
                unjudged, why = NOT_READ, "its record is damaged, or cannot be read"
                if walk.withheld:
                    unjudged, why = WITHHELD, "payloads of it are withheld: what was decided on them is not known"
            if not unjudged:
                change = walk.change or self._overdue(walk)
            if change is not None and walk.change is not None:
                otherwise = self._otherwise_at_hand(walk.name, change.version)
                if otherwise is not None:
                    unjudged, change = OTHERWISE, None
                    why = f"the code at hand decides event {otherwise} otherwise than it is recorded, policies or not"
            yield Asked(walk.name, *walk.definition, walk.events, change, unjudged, why)

    def _archived_meanwhile(self, name: str) -> bool:
        """Whether the events of a workflow went while they were read."""
        with self._view() as cursor:
            return bool(tombstones_of(cursor.query, [name]))

    def _overdue(self, walk: _Asking) -> Change | None:
        """What of an open workflow would have fallen due by the instant of the newest event of the log."""
        return walk.overdue(self._instant) if self._instant is not None else None

    def _otherwise_at_hand(self, name: str, version: int) -> int | None:
        """The first event, up to one, that comes out otherwise under the policies at hand; None where none does."""
        for walk in self._stream.walk([name], lambda name, key: _AtHand(name, key, self._decode, self._definitions)):
            if walk.otherwise is not None and walk.otherwise <= version:
                return walk.otherwise
        return None


class _AtHand(Walk):
    """One history under the policies at hand."""

    def __init__(self, name: str, key: bytes, decode: Decode, definitions: Definitions) -> None:
        super().__init__(name, key, decode)
        self._again = DecidingAgain(name, definitions)
        self.otherwise: int | None = None

    def begins(self) -> bool:
        """It was asked for."""
        return True

    def decide(self, decision: list[RecordedEvent]) -> bool:
        """Decide again, to the first event that comes out otherwise."""
        try:
            divergence = self._again.decide(decision)
        except UNDECIDABLE:
            self.otherwise = decision[0].originator_version
            return False
        if divergence is not None:
            self.otherwise = divergence.version
        return divergence is None


class _Notes:
    """What is found on the way; apart from the walk, so that nothing holds itself and is gone as soon as it is told."""

    def __init__(self) -> None:
        self.base: Definition | None = None
        self.turned: dict[str, Turned] = {}
        """Steps that the gate sends another way in this decision."""
        self.terms: dict[str, e.ApprovalRequested] = {}
        """Recorded requests that would have had other terms, by their steps."""

    def facts(self, decision: Sequence[RecordedEvent]) -> OtherFacts:
        """The facts of a decision under the other policies."""
        return OtherFacts(decision, self.base, self.turned.__setitem__)

    def same(self, recorded: RecordedEvent, decided: RecordedEvent) -> bool:
        """Whether both take the workflow the same way. The terms of an approval may differ: votes will tell."""
        if same_fact(recorded, decided):
            return True
        was, would = recorded.event, decided.event
        if isinstance(was, e.ApprovalRequested) and isinstance(would, e.ApprovalRequested):
            if was.digest != would.digest:
                return False
            self.terms[was.step] = was
            return True
        if isinstance(was, e.DecisionRefused) and isinstance(would, e.DecisionRefused):
            return (was.approval_id, was.decided_by) == (would.approval_id, would.decided_by)
        return False


class _Asking(Walk):
    """One history under the other policies, to the first event that would be another one."""

    def __init__(
        self,
        name: str,
        key: bytes,
        decode: Decode,
        definitions: Definitions,
        policies: OtherPolicies,
        wanted: Callable[[str], bool] | None,
    ) -> None:
        super().__init__(name, key, decode)
        self.change: Change | None = None
        self.unjudged = ""
        self.why = ""
        self._definitions = definitions
        self._policies = policies
        self._wanted = wanted
        self._notes = _Notes()
        self._concerned = True
        self._again = DecidingAgain(name, policies, facts=self._notes.facts, same=self._notes.same)

    def begins(self) -> bool:
        """Whether it is asked: a definition that is not loaded, or that the policies do not fit, cannot be."""
        name, version = self.definition
        if self._wanted is not None and not self._wanted(name):
            return False
        self._notes.base = self._definitions.find(name, version)
        if self._notes.base is None and self._policies.may_concern(name):
            self.unjudged, self.why = NOT_LOADED, f"definition {name!r} version {version!r} is not loaded"
        elif self._policies.why_not(name, version):
            self.unjudged, self.why = UNFIT, self._policies.why_not(name, version)
        elif not self._policies.concerns(name, version):
            self._concerned = False
        return self._concerned or self._wanted is None

    def decide(self, decision: list[RecordedEvent]) -> bool:
        """Decide under the other policies; whether nothing has parted yet."""
        if self.unjudged or not self._concerned:
            return not self.unjudged
        self._notes.turned.clear()
        try:
            divergence = self._again.decide(decision)
        except Unjudged as unjudged:
            self.unjudged, self.why = UNKNOWN, str(unjudged)
            return False
        except UNDECIDABLE:
            self.unjudged, self.why = NOT_READ, "its record does not hang together"
            return False
        if divergence is not None:
            self.change = self._change(divergence, decision)
        return divergence is None

    def overdue(self, instant: datetime) -> Change | None:
        """What would have fallen due by an instant where nothing was recorded of it."""
        state: State = self._again.state
        if state.ended is not None or state.paused or MISSING in state.waits:
            return None
        return overdue(state, self._notes.terms, instant)

    def _change(self, divergence: Divergence, decision: Sequence[RecordedEvent]) -> Change:
        place = min(divergence.version, decision[-1].originator_version)
        at = next(one.timestamp for one in decision if one.originator_version == place)
        return change_of(divergence, at, self._notes.turned, self._again.state)
