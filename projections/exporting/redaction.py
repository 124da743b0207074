"""What an export leaves out: values by rule, or whole payloads, in such a way that the rest still verifies.

A rule is a path of member names, `input.bank.*`, which holds wherever such a path occurs in a payload, at any depth:
what a step was given stands in its command, in the plan, in what would undo it. `*` stands for any one member or number
of a list, and everything below a place that a rule meets is meant. `@marked` means every value that its model marks
`Redactable`.

A marked value is cut out: a digest of it, salted, stands in its place, and the payload's digest stays the same. Where a
rule meets a value that is not marked, the whole payload is withheld: its digest was made of the bytes as they were.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

from domain.chain import Key, canonical, is_sealed, marked_places, salt_of, seal
from domain.errors import InputInvalid

MARKED: Final = "@marked"
MOST_RULES: Final = 100
RULE_CHARACTERS: Final = 500

_RULE: Final = re.compile(r"[^\s.]+(\.[^\s.]+)*")
_ANY: Final = "*"


class Shown(NamedTuple):
    """What an export shows of a payload: None where it is withheld.

    `salts` belongs to a payload with marked values, and has one, in hex, for each of them that is shown, by pointer.
    `cut` counts those that this export cut out.
    """

    payload: bytes | None
    salts: dict[str, str] | None = None
    cut: int = 0


class Redaction:
    """The rules of one export."""

    def __init__(self, rules: Sequence[str] = ()) -> None:
        """Raises InputInvalid for what is no rule."""
        if len(rules) > MOST_RULES:
            raise InputInvalid(f"--redact: at most {MOST_RULES} rules, {len(rules)} were given")
        for rule in rules:
            if len(rule) > RULE_CHARACTERS or (rule != MARKED and _RULE.fullmatch(rule) is None):
                raise InputInvalid(
                    f"--redact {rule[:80]!r} is no rule: give names with dots between them, for example "
                    f"'input.bank.*', or {MARKED}"
                )
        self.rules = sorted(set(rules))
        """As the manifest names them."""
        self._all_marked = MARKED in self.rules
        self._ways = [tuple(rule.split(".")) for rule in self.rules if rule != MARKED]

    def show(self, payload: bytes, key: Key, version: int) -> Shown:
        """What is shown of a payload that is sound; `key` is what its salts come of, `version` the event's.

        An empty one, which no event has, is that of an event whose payload is withheld already.
        """
        if not payload:
            return Shown(None)
        marks = b'"redactable":["' in payload
        if not marks and not self._ways:
            return Shown(payload)
        document = json.loads(payload)
        redactable = redactable_in(document) if marks else ()
        places = {pointer for _, _, pointer in marked_places(document, redactable)}
        chosen = set(places) if self._all_marked else set[str]()
        for pointer, value in self._met(document):
            found = list(_marks_over(pointer, value, places))
            if None in found:
                return Shown(None)
            chosen.update(one for one in found if one is not None)
        if not redactable:
            return Shown(payload)
        cut = _cut(document, redactable, chosen, key, version) if chosen else 0
        salts = {
            pointer: salt_of(key, pointer, version).hex()
            for container, name, pointer in marked_places(document, redactable)
            if not is_sealed(container[name])
        }
        if not isinstance(key, bytes):
            # Of an import, what the export had cut out is cut out of this one, too.
            cut_by_now = sum(is_sealed(holder[name]) for holder, name, _ in marked_places(document, redactable))
            return Shown(canonical(document) if cut else payload, salts, cut_by_now)
        return Shown(canonical(document) if cut else payload, salts, cut)

    def _met(self, document: Any) -> Iterator[tuple[str, Any]]:
        """The places that a rule meets: pointer and value."""
        if not self._ways:
            return
        waiting: list[tuple[str, Any, tuple[tuple[str, ...], ...]]] = [("", document, ())]
        while waiting:
            walked, place, begun = waiting.pop()
            for name, value in _members(place):
                here = [way[1:] for way in (*self._ways, *begun) if way[0] in (_ANY, name)]
                if () in here:
                    if value is not None:
                        yield f"{walked}/{name}", value
                else:
                    waiting.append((f"{walked}/{name}", value, tuple(here)))


def redactable_in(document: Any) -> tuple[str, ...]:
    """The pointers of what is marked, as a payload itself names them."""
    named = document.get("redactable") if isinstance(document, dict) else None
    return tuple(one for one in named if isinstance(one, str)) if isinstance(named, list) else ()


def digest_shown(document: Any, redactable: Sequence[str], salts: dict[str, str]) -> str | None:
    """Digest of a payload with marked values, from what is shown of it; None where the salts are not those it needs."""
    left = dict(salts)
    for container, name, pointer in marked_places(document, redactable):
        if is_sealed(container[name]):
            continue
        salt = left.pop(pointer, None)
        if salt is None:
            return None
        container[name] = seal(container[name], bytes.fromhex(salt))
    return None if left else sha256(canonical(document)).hexdigest()


def _cut(document: Any, redactable: Sequence[str], chosen: set[str], key: Key, version: int) -> int:
    """Cut the values at the chosen pointers out of the document; how many were."""
    whole = json.loads(json.dumps(document))
    seals: dict[str, dict[str, str]] = {}
    for container, name, pointer in marked_places(whole, redactable):
        salt = b"" if is_sealed(container[name]) else salt_of(key, pointer, version)
        seals[pointer] = container[name] = seal(container[name], salt)
    cut = 0
    for container, name, pointer in marked_places(document, redactable):
        if pointer in chosen and not is_sealed(container[name]):
            container[name] = seals[pointer]
            cut += 1
    return cut


def _marks_over(pointer: str, value: Any, places: set[str]) -> Iterator[str | None]:
    """The marked places that together hold a value; None among them where a part of it is not marked."""
    parts = pointer.split("/")
    above = next((one for end in range(len(parts), 1, -1) if (one := "/".join(parts[:end])) in places), None)
    if above is not None:
        yield above
    elif isinstance(value, dict | list) and value:
        for name, part in _members(value):
            yield from _marks_over(f"{pointer}/{name}", part, places)
    elif value is not None:
        yield None


def _members(place: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(place, dict):
        yield from place.items()
    elif isinstance(place, list):
        yield from ((str(number), part) for number, part in enumerate(place))
