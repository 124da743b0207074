"""Covers over payloads: each workflow's are encrypted with a key of its own, which the store keeps wrapped.

What wraps is a key ring outside the store. Of a workflow its row in `workflow_keys` says under which key of the ring
its own key is wrapped, and up to which version its payloads are in clear, because it began before payloads were
covered; both are part of what the wrapping vouches for. So who can write to the database and has no ring can neither
put a payload in clear in the place of a covered one nor move a payload or a key elsewhere: it is found when it is read.

A workflow is erased by destroying its key: its row then holds none, and a row of `erasures` says who did it, and why.
Header and digests were never covered: they are what is left, and the chain still verifies.

Texts outside of events (views, messages kept) are covered with the store's own key, which is kept wrapped too, always
the same way for the same text: rows that are made again come out equal.
"""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Protocol

from domain.errors import EventCorrupt, PayloadWithheld, StoreUnavailable
from domain.ports import Cursor

KEY_BYTES: Final = 32
KEYS_HELD: Final = 8_192
"""How many workflows' keys stay in memory."""
KEY_SECONDS: Final = 60.0
"""For how long a key is used before the store is asked again, by who reads no rows of keys along: a follower."""

ENCRYPTED: Final = "encryption"
"""Name of the fact that marks a store whose payloads are covered; its value holds the store's own key, wrapped."""
ENABLING: Final = "encryption_unfinished"
"""Name of the fact that says that the keys of workflows which began in clear are still being wrapped."""

_MARK: Final = b"\x01"
"""What a covered payload begins with: no JSON does."""
_HIDDEN: Final = "\ue0001:"
"""What a covered text begins with: a character of nobody's."""
_STORE: Final = "the store"
_KEYS_A_QUERY: Final = 256
_KEYS_AHEAD: Final = 16

Query = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]


class Cipher(Protocol):
    """Encrypts what belongs to one key, together with what it is about, which stays clear."""

    def encrypt(self, data: bytes, about: bytes) -> bytes:
        """Data that only the same key opens, and only where it is said to be about the same."""
        ...

    def decrypt(self, data: bytes, about: bytes) -> bytes:
        """The data; raises ValueError where it was changed, or is about something else."""
        ...


class KeyRing(Protocol):
    """The keys that wrap workflows' keys."""

    @property
    def current(self) -> str:
        """Id of the key that wraps new ones."""
        ...

    def wrapping(self, key_id: str) -> Cipher | None:
        """What wraps with a key of the ring; None where it has no such key."""
        ...

    def payloads(self, key: bytes) -> Cipher:
        """What covers payloads with a workflow's key: never twice the same way."""
        ...

    def texts(self, key: bytes) -> Cipher:
        """What covers texts with a key: always the same way."""
        ...


class Texts(Protocol):
    """How texts outside of events are kept in the store's rows."""

    def hide(self, text: str) -> str:
        """The text as it is kept; one that is hidden already stays as it is."""
        ...

    def show(self, text: str) -> str:
        """The text itself."""
        ...


class Clear:
    """Texts as they are: of a store whose payloads are not covered."""

    def hide(self, text: str) -> str:
        """The same text."""
        return text

    def show(self, text: str) -> str:
        """The same text."""
        return text


CLEAR: Final = Clear()


def texts_of(store: object) -> Texts:
    """How a store, or a part of one, keeps texts: as they are, where it does not say."""
    texts: Texts = getattr(store, "texts", CLEAR)
    return texts


class Wrapped(NamedTuple):
    """A key as a row holds it. `clear_upto` is the version up to which the workflow's payloads are in clear."""

    key_id: str | None
    wrapped: str | None
    clear_upto: int | None

    @property
    def is_none(self) -> bool:
        """Whether the row holds no key at all."""
        return self.wrapped is None


NONE: Final = Wrapped(None, None, None)


@dataclass(frozen=True, slots=True)
class Erasure:
    """What is known of an erased workflow: a row of `erasures`. `left` is what its view is built from, in clear."""

    workflow_id: str
    version: int
    erased_at: datetime
    erased_by: str
    reason: str
    left: dict[str, Any] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """When it was erased, by whom and why."""
        return f"erased on {self.erased_at:%Y-%m-%d %H:%M} UTC by {self.erased_by} ({self.reason})"


ERASURE_COLUMNS: Final = "workflow_id, version, erased_at, erased_by, reason, left_over"


def erasure_of(row: Sequence[Any]) -> Erasure:
    """The erasure of a row's columns."""
    workflow_id, version, at, by, reason, left = row
    return Erasure(workflow_id, version, datetime.fromtimestamp(at, UTC), by, reason, json.loads(left))


def erasures_of(query: Query, workflow_ids: Iterable[str]) -> dict[str, Erasure]:
    """The erasures of these workflows, of those that were erased."""
    found: dict[str, Erasure] = {}
    for some in _chunks(list(workflow_ids)):
        marks = ", ".join("?" * len(some))
        rows = query(f"SELECT {ERASURE_COLUMNS} FROM erasures WHERE workflow_id IN ({marks})", some)
        found.update((row[0], erasure_of(row)) for row in rows)
    return found


def withheld(erasure: Erasure, version: int) -> PayloadWithheld:
    """What is raised where a payload of an erased workflow is asked for."""
    return PayloadWithheld(
        f"workflow {erasure.workflow_id} was {erasure.words}: the payload of event {version} cannot be read any more; "
        "headers and digests are kept, `handrail history` and `handrail export` show them",
        workflow_id=erasure.workflow_id,
        version=version,
        left=erasure.left,
    )


@dataclass(slots=True)
class _Key:
    """A workflow's key at hand: what covers with it, or that it was destroyed."""

    cipher: Cipher | None
    clear_upto: int
    until: float
    erasure: Erasure | None = None


class Covers:
    """Covers and uncovers the payloads of one store. Safe to use from several threads."""

    def __init__(self, ring: KeyRing, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`query` is to be set before anything is read; `clock` counts seconds."""
        self.ring = ring
        self.query: Query = _nothing
        self.texts: Texts = CLEAR
        self._clock = clock
        self._guard = threading.Lock()
        self._keys: OrderedDict[str, _Key] = OrderedDict()

    # --- keys -------------------------------------------------------------------------------------------------------

    def wrap(self, owner: str, key: bytes, clear_upto: int = 0) -> Wrapped:
        """A key wrapped with the ring's current one, for its owner alone."""
        key_id = self.ring.current
        cipher = self.ring.wrapping(key_id)
        if cipher is None:
            raise StoreUnavailable(f"the key ring has no key {key_id!r}, which it calls the current one")
        wrapped = base64.b64encode(cipher.encrypt(key, _about(owner, key_id, clear_upto))).decode()
        return Wrapped(key_id, wrapped, clear_upto)

    def unwrap(self, owner: str, row: Wrapped) -> bytes:
        """The key of a row.

        Raises StoreUnavailable where the ring lacks what wraps it, EventCorrupt where the row was changed.
        """
        if row.key_id is None or row.wrapped is None or row.clear_upto is None:
            raise EventCorrupt(
                f"{_named(owner)} has a key in clear, or none, and its payloads are to be covered: somebody changed "
                "the database; restore it from a backup"
            )
        cipher = self.ring.wrapping(row.key_id)
        if cipher is None:
            raise StoreUnavailable(
                f"the key of {_named(owner)} is wrapped with key {row.key_id[:80]!r}, which the key ring lacks: give "
                "the ring that this store was written with (HANDRAIL_ENCRYPTION_KEYS)"
            )
        try:
            wrapped = base64.b64decode(row.wrapped, validate=True)
            return cipher.decrypt(wrapped, _about(owner, row.key_id, row.clear_upto))
        except ValueError as error:
            raise EventCorrupt(
                f"the key of {_named(owner)} does not open with key {row.key_id[:80]!r} of the ring: its row was "
                "changed, or the ring holds another key of this name; restore the row from a backup, or give that ring"
            ) from error

    def begin(self, workflow_id: str) -> Wrapped:
        """A new key for a workflow that begins, kept at hand; as its row holds it."""
        key = os.urandom(KEY_BYTES)
        row = self.wrap(workflow_id, key)
        self._hold(workflow_id, _Key(self.ring.payloads(key), 0, self._until()))
        return row

    def learn(self, workflow_id: str, row: Wrapped) -> None:
        """Take a row that was read along with something else; one that cannot be opened is told of when it is used."""
        if row.is_none:  # erased: what was at hand is not used any more
            self.forget(workflow_id)
            return
        with suppress(EventCorrupt, StoreUnavailable):
            key = self.unwrap(workflow_id, row)
            self._hold(workflow_id, _Key(self.ring.payloads(key), row.clear_upto or 0, self._until()))

    def expect(self, workflow_ids: Iterable[str]) -> None:
        """Read the keys of these workflows that are not at hand: one query for a few hundred of them."""
        now = self._clock()
        with self._guard:
            wanted = list(dict.fromkeys(name for name in workflow_ids if not self._fresh(name, now)))
        for some in _chunks(wanted):
            marks = ", ".join("?" * len(some))
            rows = self.query(
                f"SELECT workflow_id, key_id, wrapped, clear_upto FROM workflow_keys WHERE workflow_id IN ({marks})",
                some,
            )
            for workflow_id, *columns in rows:
                self.learn(workflow_id, Wrapped(*columns))

    def keep(self, workflow_ids: Iterable[str]) -> None:
        """Go on with the keys of workflows that are being decided on: open ones, which nobody erases."""
        until = self._until()
        missing: list[str] = []
        with self._guard:
            for workflow_id in workflow_ids:
                key = self._keys.get(workflow_id)
                if key is None or key.erasure is not None:
                    missing.append(workflow_id)
                else:
                    key.until = until
                    self._keys.move_to_end(workflow_id)
        if missing:
            self.expect(missing)

    def forget(self, workflow_id: str) -> None:
        """Ask the store again at the next use."""
        with self._guard:
            self._keys.pop(workflow_id, None)

    def _hold(self, workflow_id: str, key: _Key) -> None:
        with self._guard:
            self._keys[workflow_id] = key
            self._keys.move_to_end(workflow_id)
            while len(self._keys) > KEYS_HELD:
                self._keys.popitem(last=False)

    def _until(self) -> float:
        return self._clock() + KEY_SECONDS

    def _fresh(self, workflow_id: str, now: float) -> bool:
        key = self._keys.get(workflow_id)
        return key is not None and key.until > now

    def _key(self, workflow_id: str) -> _Key:
        with self._guard:
            key = self._keys.get(workflow_id)
            if key is not None and key.until > self._clock():
                self._keys.move_to_end(workflow_id)
                return key
        return self._asked(workflow_id)

    def _asked(self, workflow_id: str) -> _Key:
        # Whoever reads many histories reads them by their ids, mostly: the next ones are taken along.
        rows = self.query(
            "SELECT workflow_id, key_id, wrapped, clear_upto FROM workflow_keys WHERE workflow_id >= ? "
            "ORDER BY workflow_id LIMIT ?",
            (workflow_id, _KEYS_AHEAD),
        )
        found = {name: Wrapped(*columns) for name, *columns in rows}
        row = found.pop(workflow_id, NONE)
        for name, other in found.items():
            self.learn(name, other)
        if row.is_none:
            erased = erasures_of(self.query, [workflow_id])
            if workflow_id in erased:
                key = _Key(None, 0, self._until(), erased[workflow_id])
                self._hold(workflow_id, key)
                return key
        opened = self.unwrap(workflow_id, row)
        key = _Key(self.ring.payloads(opened), row.clear_upto or 0, self._until())
        self._hold(workflow_id, key)
        return key

    # --- payloads ---------------------------------------------------------------------------------------------------

    def cover(self, workflow_id: str, version: int, about: bytes, payload: bytes) -> bytes:
        """A payload as it is stored; `about` are its header and digests."""
        key = self._key(workflow_id)
        if key.cipher is None or version <= key.clear_upto:
            raise EventCorrupt(f"workflow {workflow_id} event {version}: there is no key to cover it with")
        return _MARK + key.cipher.encrypt(payload, about)

    def uncover(self, workflow_id: str, version: int, about: bytes, payload: bytes) -> bytes:
        """The payload itself. Raises EventCorrupt, naming the event, or PayloadWithheld where its key was destroyed."""
        key = self._key(workflow_id)
        place = f"workflow {workflow_id} event {version}"
        if key.erasure is not None:
            raise withheld(key.erasure, version)
        covered = payload[:1] == _MARK
        if covered != (version > key.clear_upto):
            found, expected = ("covered", "clear") if covered else ("clear", "covered")
            raise EventCorrupt(
                f"{place}: its payload is {found} and must be {expected}: somebody changed the database, or wrote to "
                "it without the keys; restore the store from a backup"
            )
        if not covered or key.cipher is None:
            return payload
        try:
            return key.cipher.decrypt(payload[1:], about)
        except ValueError as error:
            raise EventCorrupt(
                f"{place}: its payload cannot be uncovered: it, its header or its digests were changed, or it belongs "
                "to another event; restore the store from a backup"
            ) from error

    # --- snapshots --------------------------------------------------------------------------------------------------

    def cover_snapshot(self, workflow_id: str, version: int, topic: str, state: bytes) -> bytes:
        """A snapshot as it is stored."""
        cipher = self._key(workflow_id).cipher
        if cipher is None:
            raise EventCorrupt(f"workflow {workflow_id}: there is no key to cover a snapshot with")
        return _MARK + cipher.encrypt(state, _snapshot_of(workflow_id, version, topic))

    def uncover_snapshot(self, workflow_id: str, version: int, topic: str, state: bytes) -> bytes | None:
        """The snapshot itself; None for one that is not usable: snapshots may be lost."""
        try:
            cipher = self._key(workflow_id).cipher
            if cipher is None or state[:1] != _MARK:
                return None
            return cipher.decrypt(state[1:], _snapshot_of(workflow_id, version, topic))
        except (EventCorrupt, ValueError):
            return None


class CoveredTexts:
    """Texts under the store's own key."""

    def __init__(self, cipher: Cipher) -> None:
        """`cipher` covers a text always the same way."""
        self._cipher = cipher

    def hide(self, text: str) -> str:
        """The text as it is kept; nothing stays nothing."""
        if not text or text.startswith(_HIDDEN):
            return text
        covered = self._cipher.encrypt(text.encode("utf-8", "surrogatepass"), b"text")
        return _HIDDEN + base64.b64encode(covered).decode()

    def show(self, text: str) -> str:
        """The text itself; one that is not hidden, or does not open, is as it stands there."""
        if not text.startswith(_HIDDEN):
            return text
        try:
            covered = base64.b64decode(text[len(_HIDDEN) :], validate=True)
            return self._cipher.decrypt(covered, b"text").decode("utf-8", "surrogatepass")
        except ValueError:
            return text


# --- the store's own key ----------------------------------------------------------------------------------------------


def is_marked(cursor: Cursor) -> bool:
    """Whether the store's payloads are covered."""
    return bool(cursor.query("SELECT 1 FROM store_facts WHERE name = ?", (ENCRYPTED,)))


def open_marked(covers: Covers | None, cursor: Cursor, place: str, *, enabling: bool = False) -> Covers:
    """The covers, with the store's own key where it has one already.

    Raises StoreUnavailable where there are none, where they are another store's, or where wrapping has not ended.
    """
    if covers is None:
        raise StoreUnavailable(
            f"the payloads in store {place} are encrypted: name the key ring, HANDRAIL_ENCRYPTION_KEYS=FILE"
        )
    facts = dict(cursor.query("SELECT name, value FROM store_facts WHERE name IN (?, ?)", (ENCRYPTED, ENABLING)))
    mark = facts.get(ENCRYPTED)
    if mark is None:
        return covers
    key_id, _, wrapped = mark.partition(" ")
    try:
        key = covers.unwrap(_STORE, Wrapped(key_id, wrapped, 0))
    except EventCorrupt as error:
        raise StoreUnavailable(
            f"store {place} does not open with the key ring: it is the ring of another store, or one of its keys, or "
            "the store's row, was changed; give the ring that this store was written with"
        ) from error
    if ENABLING in facts and not enabling:
        raise StoreUnavailable(
            f"the keys of store {place} are being wrapped, and that has not ended: run `handrail keys enable` again"
        )
    covers.texts = CoveredTexts(covers.ring.texts(key))
    return covers


class Mark:
    """Statements to run along: from now on the store's payloads are covered; `unfinished`, keys are left to wrap."""

    def __init__(self, covers: Covers, *, unfinished: bool) -> None:
        """The store's own key is made here, once."""
        self._covers = covers
        self._unfinished = unfinished

    def run(self, cursor: Cursor) -> None:
        """Write the mark, unless it is there."""
        row = self._covers.wrap(_STORE, os.urandom(KEY_BYTES))
        facts = [(ENCRYPTED, f"{row.key_id} {row.wrapped}"), *([(ENABLING, "yes")] if self._unfinished else [])]
        cursor.executemany("INSERT INTO store_facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", facts)


class Rewrap:
    """Statements to run along: the store's own key is wrapped with the ring's current one."""

    def __init__(self, covers: Covers) -> None:
        """Nothing is read before it runs."""
        self._covers = covers

    def run(self, cursor: Cursor) -> None:
        """Wrap it anew, where it is not."""
        ((mark,),) = cursor.query("SELECT value FROM store_facts WHERE name = ?", (ENCRYPTED,))
        key_id, _, wrapped = mark.partition(" ")
        if key_id == self._covers.ring.current:
            return
        row = self._covers.wrap(_STORE, self._covers.unwrap(_STORE, Wrapped(key_id, wrapped, 0)))
        cursor.execute("UPDATE store_facts SET value = ? WHERE name = ?", (f"{row.key_id} {row.wrapped}", ENCRYPTED))


def _about(owner: str, key_id: str, clear_upto: int) -> bytes:
    """What a wrapped key is about."""
    return json.dumps(["handrail key 1", owner, key_id, clear_upto]).encode()


def _snapshot_of(workflow_id: str, version: int, topic: str) -> bytes:
    return json.dumps(["handrail snapshot 1", workflow_id, version, topic]).encode()


def _named(owner: str) -> str:
    return owner if owner == _STORE else f"workflow {owner}"


def _nothing(_statement: str, _parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    return []


def _chunks(names: Sequence[str]) -> Iterable[Sequence[str]]:
    for start in range(0, len(names), _KEYS_A_QUERY):
        yield names[start : start + _KEYS_A_QUERY]
