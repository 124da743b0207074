"""What the outside world remembers of one run, and what it may not be asked to do. Pure: no sockets, no clock.

An outside that honours idempotency keys: the same key gets the same answer, however often it is called. It holds the
engine to its promises while it is being called, and writes down each breach in plain words:

- a step's key never changes between calls;
- a `once` activity is called at most once per proof of absence;
- nothing is applied after it was undone (what an attempt that was given up long ago still sends is turned away);
- the same attempt never calls twice, and all attempts ask for the same;
- a person who settles an outcome says the truth (this one is about the test itself).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Act = Literal["apply", "apply_once", "undo", "ask", "find_absent"]
Word = Literal["applied", "busy", "never", "absent", "undone", "noted", "late"]

CHANGES: frozenset[Act] = frozenset({"apply", "apply_once", "undo"})


class Call(BaseModel):
    """One call from inside. `of` is the key of the effect that an undo or a question is about.

    How the outside is to behave comes with the call: `busy` times it is not ready, `never` it refuses for good,
    `refuse` times it proves that it did nothing, `lose` times it does as asked and its answer is lost. It takes its
    time over it (`takes_seconds`), half of that before the effect and half before the answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    act: Act
    workflow: str
    name: str
    key: str
    of: str = ""
    attempt: int = 0
    busy: int = 0
    never: bool = False
    refuse: int = 0
    lose: int = 0
    takes_seconds: float = 0.0


@dataclass(frozen=True)
class Entry:
    """One call as it was answered."""

    call: Call
    word: Word
    receipt: str
    lost: bool = False


@dataclass
class Books:
    """The outside of one run: every call in order, the effects that stand, and the breaches."""

    entries: list[Entry] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)

    def take(self, call: Call) -> Entry:
        """Answer a call, and remember it."""
        self.breaches += self._breaches_of(call)
        word = self._word_for(call)
        lost = self._answered(call, "applied") < call.lose
        entry = Entry(call, word, receipt_for(call.of or call.key), word == "applied" and lost)
        self.entries.append(entry)
        return entry

    def calls(self, act: Act, name: str) -> list[Entry]:
        """The calls of this kind for this effect."""
        return [entry for entry in self.entries if (entry.call.act, entry.call.name) == (act, name)]

    def effects(self) -> dict[str, int]:
        """How often each effect was applied, by its key; an `idempotent` one's key is honoured."""
        applied = [entry.call for entry in self.entries if entry.word == "applied" and entry.call.act in CHANGES]
        times = Counter(call.key for call in applied if call.act == "apply_once")
        return {**{call.key: 1 for call in applied}, **times}

    def undone(self) -> list[str]:
        """The keys of the effects that were undone, in the order in which they first were."""
        return list(dict.fromkeys(entry.call.of for entry in self.entries if entry.word == "undone"))

    def stands(self, key: str) -> bool:
        """Whether the effect of this key was applied and not undone since."""
        standing = False
        for entry in self.entries:
            if entry.word == "applied" and entry.call.act in CHANGES and entry.call.key == key:
                standing = True
            elif entry.word == "undone" and entry.call.of == key:
                standing = False
        return standing

    def _word_for(self, call: Call) -> Word:
        if call.act == "find_absent" or self._is_late(call):
            return "noted" if call.act == "find_absent" else "late"
        if call.act == "ask":
            return "applied" if self.stands(call.of) else "absent"
        if call.never:
            return "never"
        if self._answered(call, "busy") < call.busy:
            return "busy"
        if self._answered(call, "absent") < call.refuse:
            return "absent"
        return "undone" if call.act == "undo" else "applied"

    def _answered(self, call: Call, word: Word) -> int:
        return sum(entry.word == word for entry in self.calls(call.act, call.name))

    def _breaches_of(self, call: Call) -> Iterator[str]:
        if not call.key:
            yield f"{call.name}: called without a key"
        keys = {entry.call.key for entry in self.calls(call.act, call.name) if entry.call.workflow == call.workflow}
        if call.act in CHANGES and keys - {call.key}:
            yield f"{call.name}: the key of its {call.act} changed from {sorted(keys)} to {call.key!r}"
        if call.act in {"apply", "apply_once"} and self._is_undone(call.key) and not self._is_late(call):
            yield f"{call.name}: called again after it was undone"
        yield from self._breaches_of_repeat(call)
        if call.act == "apply_once" and self._unproven(call.key):
            yield f"{call.name}: `once` was called again without proof that the call before did nothing"
        if call.act == "find_absent" and self.stands(call.of):
            yield f"{call.name}: a person said that it was not applied, but it was"

    def _breaches_of_repeat(self, call: Call) -> Iterator[str]:
        """All attempts under a key ask for the same, and each of them once; a call without an attempt is a test's."""
        if not call.attempt:
            return
        before = [entry.call for entry in self.calls(call.act, call.name) if entry.call.key == call.key]
        if any(one.attempt == call.attempt for one in before):
            yield f"{call.name}: attempt {call.attempt} of its {call.act} called twice"
        if any(one.model_copy(update={"attempt": call.attempt}) != call for one in before):
            yield f"{call.name}: asked for something else under the same key"

    def _is_undone(self, key: str) -> bool:
        return any(entry.word == "undone" and entry.call.of == key for entry in self.entries)

    def _is_late(self, call: Call) -> bool:
        """Whether it comes from an attempt that was given up: a newer one has called since, and was undone."""
        newest = max((entry.call.attempt for entry in self.entries if entry.call.key == call.key), default=0)
        return call.attempt < newest and self._is_undone(call.key)

    def _unproven(self, key: str) -> bool:
        """Whether a call was made of which nobody has heard that it did nothing."""
        unproven = False
        for entry in self.entries:
            if entry.call.act == "apply_once" and entry.call.key == key:
                unproven = entry.word != "absent"
            elif entry.call.of == key and (entry.word == "absent" or entry.call.act == "find_absent"):
                unproven = False
        return unproven

    def as_json(self) -> dict[str, Any]:
        """Everything, for whoever checks it in another process."""
        entries = [{**asdict(entry), "call": entry.call.model_dump()} for entry in self.entries]
        return {"entries": entries, "breaches": self.breaches}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Books:
        """The books that `as_json` gave."""
        entries = [Entry(Call(**one.pop("call")), **one) for one in given["entries"]]
        return cls(entries, list(given["breaches"]))


def receipt_for(key: str) -> str:
    """What the outside answers for a key: the same in every run, so that outputs can be compared."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]
