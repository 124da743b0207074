"""Changes to an export by chance, and what both verifiers say of them.

A change is planted where the file first differs from what it was. It is found when the first finding of each verifier
names that line; for a line that was taken out, the line that stands in its place.
"""

import io
import random
import re
from collections.abc import Callable, Sequence

from deploy.verify_export import Export, lines_of
from projections.exporting.jsonl import Signer
from projections.exporting.verifying import CheckSignature, Verification

KEY_ID = "ab" * 32
VALUE = re.compile(rb'"((?:[^"\\]|\\.)*)":("(?:[^"\\]|\\.)*"|-?[0-9]+)')

RULES = ("others.*.iban", "requested_by")
"""With these, some values are cut out, others shown with their salts, and some payloads withheld."""

Lines = list[bytes]


def stand_in_signature(signed: bytes) -> bytes:
    """Stands for Ed25519, which a test of its own holds: here it is only the place of it in the file that matters."""
    return (signed[:7] + bytes(64))[:57] + sum(signed).to_bytes(7, "big")


SIGNER = Signer(KEY_ID, stand_in_signature)
CHECK: CheckSignature = lambda named, signed, value: named == KEY_ID and value == stand_in_signature(signed)  # noqa: E731


def verdicts(content: bytes, check: CheckSignature | None = CHECK) -> list[tuple[str, list[tuple[int, str, int, str]]]]:
    """What each verifier says: of the signature, and where it found what."""
    ours = Verification(check).run(io.BytesIO(content))
    alone = Export(check, demanded=check is not None)
    alone.read(lines_of(io.BytesIO(content)))
    return [
        (ours.signature, [(one.line, one.workflow, one.version, str(one.check)) for one in ours.findings]),
        (alone.signature, [(one["line"], one["workflow"], one["version"], one["check"]) for one in alone.findings]),
    ]


def planted_at(before: bytes, after: bytes) -> int:
    """The first line that differs, counted from 1."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    same = next((number for number, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), None)
    return (min(len(old), len(new)) if same is None else same) + 1


# --- the changes ----------------------------------------------------------------------------------------------------


def flip_bit(lines: Lines, chance: random.Random) -> Lines:
    content = bytearray(b"".join(lines))
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return [bytes(content)]


def change_field(lines: Lines, chance: random.Random) -> Lines:
    """Another value of the same kind, somewhere: the line stays JSON."""
    number = chance.randrange(len(lines))
    found = chance.choice(list(VALUE.finditer(lines[number])))
    value = found[2]
    if value.startswith(b'"'):
        other = value[:-1] + b'x"' if len(value) < 10 else value[:1] + value[:0:-1][1:] + b'"'
        if other == value:
            other = b'"x"'
    else:
        other = str(int(value) + chance.choice((-1, 1, 10))).encode()
    begin, end = found.span(2)
    return [*lines[:number], lines[number][:begin] + other + lines[number][end:], *lines[number + 1 :]]


def delete(lines: Lines, chance: random.Random) -> Lines:
    begin = chance.randrange(len(lines))
    return lines[:begin] + lines[begin + chance.choice((1, 1, 1, 2, 5)) :]


def insert(lines: Lines, chance: random.Random) -> Lines:
    at, line = chance.randrange(len(lines) + 1), chance.choice(lines)
    return [*lines[:at], chance.choice((line, b"\n", b"{}\n", b"not JSON\n", line)), *lines[at:]]


def reorder(lines: Lines, chance: random.Random) -> Lines:
    one, other = sorted(chance.sample(range(len(lines)), 2))
    changed = list(lines)
    if chance.random() < 0.5:
        changed[one], changed[other] = changed[other], changed[one]
    else:
        changed.insert(other, changed.pop(one))
    return changed


def swap(lines: Lines, chance: random.Random) -> Lines:
    """Swap between workflows: whole events, their payloads, or all events of two workflows."""
    blocks = blocks_of(lines)
    one, other = sorted(chance.sample(range(len(blocks)), 2))
    if chance.random() < 0.2:
        first, second = blocks[one], blocks[other]
        return [
            *lines[: first.start], *lines[second.start : second.stop], *lines[first.stop : second.start],
            *lines[first.start : first.stop], *lines[second.stop :],
        ]  # fmt: skip
    left, right = chance.choice(blocks[one][1:]), chance.choice(blocks[other][1:])
    changed = list(lines)
    if chance.random() < 0.5:
        changed[left], changed[right] = lines[right], lines[left]
        return changed
    mark = b',"payload":'
    if mark in lines[left] and mark in lines[right]:
        heads, tails = zip(*(lines[at].split(mark, 1) for at in (left, right)), strict=True)
        changed[left], changed[right] = mark.join((heads[0], tails[1])), mark.join((heads[1], tails[0]))
    return changed


def truncate(lines: Lines, chance: random.Random) -> Lines:
    if chance.random() < 0.5:
        return lines[: chance.randrange(len(lines))]
    content = b"".join(lines)
    return [content[: chance.randrange(len(content))]]


def blocks_of(lines: Lines) -> list[range]:
    """The lines of each workflow, its own line first."""
    begins = [number for number, line in enumerate(lines) if line.startswith(b'{"workflow":')]
    end = next(number for number, line in enumerate(lines) if line.startswith(b'{"manifest":'))
    return [range(begin, stop) for begin, stop in zip(begins, [*begins[1:], end], strict=True)]


CHANGES: tuple[Callable[[Lines, random.Random], Lines], ...] = (
    flip_bit, change_field, delete, insert, reorder, swap, truncate,
)  # fmt: skip


def missed(content: bytes, seed: int, *, check: CheckSignature | None = CHECK) -> str | None:
    """Plant one change: what was wrong with how it was found, or None."""
    chance = random.Random(seed)
    change = CHANGES[seed % len(CHANGES)]
    lines = content.splitlines(keepends=True)
    changed = b"".join(change(lines, chance))
    while changed == content:
        changed = b"".join(change(lines, chance))
    at = planted_at(content, changed)
    ours, alone = verdicts(changed, check)
    if not ours[1] or not alone[1] or ours[1][0][0] != at:
        return f"seed {seed}, {change.__name__} at line {at}: found {ours[1][:2]}"
    if ours[1][0] != alone[1][0] or ours[0] != alone[0]:
        return f"seed {seed}, {change.__name__} at line {at}: {ours[1][:2]}, and alone {alone[1][:2]}"
    return None


def tampered_with(content: bytes, seeds: Sequence[int], *, check: CheckSignature | None = CHECK) -> list[str]:
    """What was missed of so many changes."""
    return [words for seed in seeds if (words := missed(content, seed, check=check)) is not None]
