"""Changes to a store by chance, behind Handrail's back, and what a seal that was made before says of them."""

import contextlib
import random
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from domain.store.application import WorkflowStore
from projections.exporting.against import HeldAgainst, heads_in
from projections.exporting.jsonl import JsonLines
from projections.exporting.reading import Histories, Selection
from projections.exporting.redaction import Redaction
from projections.exporting.verifying import Finding
from tests.integration.exports.tampering import SIGNER

Place = tuple[str, int]
Rows = dict[Place, bytes]


def sealed(store: WorkflowStore) -> bytes:
    made = JsonLines(Selection(), Redaction(), SIGNER, seal=True)
    return b"".join(made.lines(Histories(store, store.mapper.clear, Selection())))


def held(store: WorkflowStore, content: bytes) -> list[Finding]:
    """What is wrong with the store by the heads in an export or a seal."""
    against = HeldAgainst()
    against.hold(store, store.mapper.clear, heads_in(content.splitlines(keepends=True)))
    return against.findings


# --- the changes: each says where it was planted --------------------------------------------------------------------


def flip_bit(rows: Rows, chance: random.Random) -> set[Place]:
    place = chance.choice(sorted(rows))
    state = bytearray(rows[place])
    state[chance.randrange(len(state))] ^= 1 << chance.randrange(8)
    rows[place] = bytes(state)
    return {place}


def delete(rows: Rows, chance: random.Random) -> set[Place]:
    place = chance.choice(sorted(rows))
    del rows[place]
    return {place}


def truncate(rows: Rows, chance: random.Random) -> set[Place]:
    """Take the end of a history away, or all of it."""
    workflow, version = chance.choice(sorted(rows))
    for place in [place for place in rows if place[0] == workflow and place[1] >= version]:
        del rows[place]
    return {(workflow, version)}


def swap(rows: Rows, chance: random.Random) -> set[Place]:
    """What one event holds is put into another place, of the same workflow or another, and the other way round."""
    one, other = chance.sample(sorted(rows), 2)
    rows[one], rows[other] = rows[other], rows[one]
    return {one, other}


def swap_payloads(rows: Rows, chance: random.Random) -> set[Place]:
    one, other = chance.sample(sorted(rows), 2)
    heads, payloads = zip(*(rows[place].rsplit(b"\n", 1) for place in (one, other)), strict=True)
    rows[one], rows[other] = b"\n".join((heads[0], payloads[1])), b"\n".join((heads[1], payloads[0]))
    return {one, other} if payloads[0] != payloads[1] else set()


def insert(rows: Rows, chance: random.Random) -> set[Place]:
    """One more event, in a place of its own: whatever is behind it moves on by one."""
    workflow, version = chance.choice(sorted(rows))
    copied = rows[chance.choice(sorted(rows))]
    later = sorted((place for place in rows if place[0] == workflow and place[1] >= version), reverse=True)
    for place in later:
        rows[workflow, place[1] + 1] = rows.pop(place)
    rows[workflow, version] = copied
    # A copy of the very event that was there is that event; what is wrong comes behind it.
    return {(workflow, version), (workflow, version + 1)}


def reorder(rows: Rows, chance: random.Random) -> set[Place]:
    workflow, version = chance.choice([place for place in sorted(rows) if (place[0], place[1] + 1) in rows])
    one, other = (workflow, version), (workflow, version + 1)
    rows[one], rows[other] = rows[other], rows[one]
    return {one}


CHANGES: tuple[Callable[[Rows, random.Random], set[Place]], ...] = (
    flip_bit, delete, truncate, swap, swap_payloads, insert, reorder,
)  # fmt: skip


def store_tampered_with(store: WorkflowStore, home: Path, seeds: Sequence[int]) -> list[str]:
    """What was missed of so many changes, each of the store as it was at first."""
    content, missed = sealed(store), list[str]()
    with contextlib.closing(sqlite3.connect(home / "handrail.db", isolation_level=None)) as connection:
        read = "SELECT originator_id, originator_version, state FROM stored_events"
        before: Rows = {(workflow, version): state for workflow, version, state in connection.execute(read)}
        topics = dict(connection.execute("SELECT originator_id || originator_version, topic FROM stored_events"))
        for seed in seeds:
            rows, change = dict(before), CHANGES[seed % len(CHANGES)]
            planted = change(rows, random.Random(seed))
            connection.execute("BEGIN")
            connection.execute("DELETE FROM stored_events")
            connection.executemany(
                "INSERT INTO stored_events (originator_id, originator_version, topic, state) VALUES (?, ?, ?, ?)",
                [(name, number, topics.get(f"{name}{number}", "-"), state) for (name, number), state in rows.items()],
            )
            connection.execute("COMMIT")
            found = {(one.workflow, one.version) for one in held(store, content)}
            # Of several places in one workflow the first is named.
            first = {(name, min(number for other, number in planted if other == name)) for name, _ in planted}
            if found != first and not (change is insert and found and found <= planted):
                missed.append(f"seed {seed}, {change.__name__}: planted {sorted(planted)}, found {sorted(found)}")
    return missed
