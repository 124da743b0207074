#!/usr/bin/env python3
"""Verifies an export of Handrail by itself: this one file, Python 3.9 or newer, and nothing else.

    python3 verify_export.py FILE [--key PUBLIC.pem] [--json]

It shares no code with Handrail, so that whoever is to trust an export need not trust the program that made it. What the
lines of an export mean, and what each check says, is told in deploy/docs/exports.md. It opens FILE and the key, and
nothing else.

Exit codes: 0 nothing is wrong; 1 something is, and every finding says the line; 2 it could not be checked at all (no
such file, wrong usage); 3 nothing is wrong, but the export is signed and the signature was not checked, because no key
was given or the package `cryptography` is not installed.
"""

from __future__ import annotations

import argparse
import decimal
import hashlib
import io
import json
import math
import os
import sys
from array import array
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Holds = Callable[[str, bytes, bytes], bool]
    """Whether a signature holds: the id of the key that is named, what is signed, the signature."""

FORMAT = "handrail.export.v1"
SEAL = "handrail.seal.v1"
"""A file of heads alone: of each workflow its own line, without its events."""
NOTHING_BEFORE = "0" * 64
LONGEST_LINE = 64 * 1024 * 1024
MOST_FINDINGS = 20
SHOWN_CHARACTERS = 500
DIGEST_CHARACTERS = 64
SIGNATURE_CHARACTERS = 128
WHOLE_DIGITS = 21
"""ECMAScript writes numbers of so many digits without an exponent."""
ZEROS = 6
"""And so many zeros behind the point."""
LARGEST_INTEGER = 2**53 - 1
HEX = frozenset("0123456789abcdef")
END = b"\n"
BEFORE_CHECK = b',"check":"'

SOUND, WRONG, NOT_CHECKABLE, UNSIGNED = 0, 1, 2, 3
"""Exit codes."""


class BadLine(Exception):
    """A line is not of the form that it claims."""


# --- canonical JSON (RFC 8785) --------------------------------------------------------------------------------------


def canonical(value: object) -> str:
    """The one way to write a JSON value. Raises ValueError for what has none."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        if abs(value) > LARGEST_INTEGER:
            raise ValueError("an integer beyond what JSON's readers hold")
        return str(value)
    if isinstance(value, float):
        return canonical_number(value)
    if isinstance(value, str):
        return canonical_text(value)
    if isinstance(value, list):
        return "[" + ",".join(canonical(part) for part in value) + "]"
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(canonical_text(name) + ":" + canonical(value[name]) for name in names) + "}"
    raise ValueError("not a JSON value")


def canonical_text(text: str) -> str:
    """A text: only what must be escaped is."""
    text.encode("utf-8")  # lone surrogates have no form
    return json.dumps(text, ensure_ascii=False)


def canonical_number(number: float) -> str:
    """A number as ECMAScript writes it: the shortest digits that read back as the same."""
    if not math.isfinite(number):
        raise ValueError("not a JSON number")
    if number == 0:
        return "0"
    sign, parts, exponent = decimal.Decimal(repr(number)).normalize().as_tuple()
    digits = "".join(str(one) for one in parts)
    point = len(digits) + int(exponent)  # where the decimal point stands, counted from the first digit
    if 0 < point <= WHOLE_DIGITS:
        text = digits + "0" * (point - len(digits)) if point >= len(digits) else digits[:point] + "." + digits[point:]
    elif -ZEROS < point <= 0:
        text = "0." + "0" * -point + digits
    else:
        power = point - 1
        text = (
            digits[0] + ("." + digits[1:] if digits[1:] else "") + "e" + ("+" if power > 0 else "-") + str(abs(power))
        )
    return "-" + text if sign else text


def sha256(text: bytes) -> str:
    """SHA-256, in hex."""
    return hashlib.sha256(text).hexdigest()


# --- reading lines --------------------------------------------------------------------------------------------------


class Scanner:
    """Reads one line from left to right: fixed texts, digests, and JSON values whose exact bytes matter."""

    def __init__(self, line: bytes) -> None:
        try:
            self.text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadLine("not UTF-8") from error
        self.at = 0

    def follows(self, text: str) -> bool:
        """Whether this text is next; then it is passed."""
        if not self.text.startswith(text, self.at):
            return False
        self.at += len(text)
        return True

    def expect(self, text: str) -> None:
        """Pass this text; raises BadLine."""
        if not self.follows(text):
            raise BadLine(f"lacks {text!r}")

    def digest(self) -> str:
        """Pass a digest in quotes."""
        self.expect('"')
        found = self.text[self.at : self.at + DIGEST_CHARACTERS]
        if not is_digest(found):
            raise BadLine("lacks a digest")
        self.at += DIGEST_CHARACTERS
        self.expect('"')
        return found

    def value(self, kind: type) -> tuple[Any, bytes]:
        """Pass a JSON value of a kind; the value, and its bytes as they stand."""
        begin = self.at
        try:
            found, self.at = DECODER.raw_decode(self.text, self.at)
            if "\\u" in self.text[begin : self.at]:
                json.dumps(found, ensure_ascii=False).encode("utf-8")  # half of a pair of surrogates has no form
        except (ValueError, RecursionError) as error:
            raise BadLine("is not JSON") from error
        if type(found) is not kind:
            raise BadLine("holds another kind of value")
        return found, self.text[begin : self.at].encode("utf-8")

    def rest(self) -> bytes:
        """What is left but for the bracket and the line end that close the line."""
        if not self.text.endswith("}\n") or len(self.text) - 2 < self.at:
            raise BadLine("does not end with a bracket")
        found = self.text[self.at : -2]
        self.at = len(self.text)
        return found.encode("utf-8")


DECODER = json.JSONDecoder()


def is_digest(text: object) -> bool:
    """Whether a text is a SHA-256 in hex."""
    return isinstance(text, str) and len(text) == DIGEST_CHARACTERS and HEX.issuperset(text)


def is_count(value: object) -> bool:
    """Whether this is a whole number, and not below 0."""
    return type(value) is int and value >= 0


def are_texts(value: object) -> bool:
    """Whether this is a list of texts."""
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def is_selection(value: object) -> bool:
    """Whether this says what was asked for, as a manifest does."""
    if not isinstance(value, dict) or not set(value) <= {"all", "upto", "workflows", *SELECTED_BY_TEXT}:
        return False
    fits = value.get("all", True) is True and is_count(value.get("upto", 0)) and are_texts(value.get("workflows", []))
    return fits and all(isinstance(value.get(name, ""), str) for name in SELECTED_BY_TEXT)


SELECTED_BY_TEXT = ("definition", "ended_before", "since")
KINDS: dict[str, Callable[[object], bool]] = {
    "cut": is_count,
    "redacted": are_texts,
    "selection": is_selection,
    "signer": is_digest,
}
"""What else a manifest may say: what is counted is held against what there is."""


class Met:
    """Which workflows were met before: eight bytes of each, in a table that is half empty at least."""

    def __init__(self) -> None:
        self.table = array("Q", bytes(8 * 1024))
        self.size = 0

    def again(self, workflow: str) -> bool:
        """Whether this one was met before; from now on it is."""
        short = int.from_bytes(hashlib.sha256(workflow.encode("utf-8")).digest()[:8], "big") or 1
        place = self.place(short)
        if self.table[place]:
            return True
        self.table[place] = short
        self.size += 1
        if self.size * 2 > len(self.table):
            before, self.table = self.table, array("Q", bytes(16 * len(self.table)))
            for one in before:
                if one:
                    self.table[self.place(one)] = one
        return False

    def place(self, short: int) -> int:
        """Where it stands, or would."""
        place = short % len(self.table)
        while self.table[place] not in (0, short):
            place = (place + 1) % len(self.table)
        return place


def plain(text: str) -> str:
    """A text from a file that anybody may have made, as a terminal may be shown it."""
    return "".join(mark if mark.isprintable() else "?" for mark in text[:SHOWN_CHARACTERS])


def is_manifest_end(line: bytes) -> bool:
    """Whether a line ends as a manifest's does: a bracket, then its check."""
    _, found, check = line.rpartition(BEFORE_CHECK)
    ends = check[DIGEST_CHARACTERS:] == b'"}\n' and set(check[:DIGEST_CHARACTERS]) <= set(b"0123456789abcdef")
    return bool(found) and ends and line[: -len(BEFORE_CHECK + check)].endswith(b"}")


def moment(text: str) -> datetime:
    """An instant; what cannot be read as one is the last there is."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime.max.replace(tzinfo=timezone.utc)  # noqa: UP017 - Python 3.9 has no other name for it
    return found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)  # noqa: UP017 - Python 3.9 has no other name for it


# --- what marked values enter a digest as ---------------------------------------------------------------------------


def is_cut(value: object) -> bool:
    """Whether this stands for a value that was cut out."""
    return isinstance(value, dict) and list(value) == ["$redacted"]


def put_digests(document: Any, salts: dict[str, str]) -> set[str]:
    """Put the digest of each marked value in its place; the pointers whose salts were used. Raises KeyError."""
    used = set()
    marked = document.get("redactable") if isinstance(document, dict) else None
    for pattern in marked if isinstance(marked, list) else []:
        if not isinstance(pattern, str):
            continue
        places = [(document, "")]
        ways = pattern.strip("/").split("/")
        for depth, part in enumerate(ways):
            following = []
            for place, walked in places:
                if isinstance(place, dict):
                    names = list(place) if part == "*" else [part]
                    names = [name for name in names if place.get(name) is not None]
                elif isinstance(place, list) and part == "*":
                    names = list(range(len(place)))
                else:
                    names = []
                for name in names:
                    pointer = f"{walked}/{name}"
                    if depth + 1 < len(ways):
                        following.append((place[name], pointer))
                    elif not is_cut(place[name]):
                        salted = bytes.fromhex(salts[pointer]) + canonical(place[name]).encode("utf-8")
                        place[name] = {"$redacted": sha256(salted)}
                        used.add(pointer)
            places = following
    return used


# --- the check ------------------------------------------------------------------------------------------------------


class Export:
    """Everything that was learnt of one file, line by line."""

    def __init__(self, signature_holds: Holds | None, *, demanded: bool) -> None:
        """`signature_holds` is None where signatures cannot be checked; `demanded`: there must be one."""
        self.signature_holds = signature_holds
        self.demanded = demanded
        self.findings: list[dict[str, Any]] = []
        self.more = 0
        self.line = 0
        self.format = FORMAT
        # The workflow whose events come now.
        self.workflow, self.last, self.head = "", 0, ""
        self.met = Met()
        self.version, self.version_line = 0, 0
        self.may_follow: set[str] | None = {NOTHING_BEFORE}
        # What the manifest must say.
        self.content = hashlib.sha256()
        self.workflows = self.events = self.withheld = self.damaged = 0
        self.by_type: dict[str, int] = {}
        self.earliest = self.latest = ""
        self.leaves: list[tuple[int, bytes]] = []  # of the tree: (height, digest) of each whole part
        self.manifest: dict[str, Any] | None = None
        self.manifest_bytes = b""
        self.signature = "none"

    def find(self, check: str, words: str, workflow: str = "", version: int = 0, line: int = 0) -> None:
        """Note what is wrong."""
        if len(self.findings) == MOST_FINDINGS:
            self.more += 1
        else:
            at = line or self.line
            found = {"line": at, "workflow": plain(workflow), "version": version, "check": check, "words": plain(words)}
            self.findings.append(found)

    def read(self, lines: Iterable[bytes]) -> None:
        """Check all lines, each with its line end."""
        for line in lines:
            self.line += 1
            if self.line == 1 and line == b'{"format":"' + SEAL.encode() + b'"}\n':
                self.format = SEAL
            elif self.line == 1 and line != b'{"format":"' + FORMAT.encode() + b'"}\n':
                self.find("format", f'is not {{"format":"{FORMAT}"}}: this is no such export')
                return
            if self.manifest is not None:
                self.after_manifest(line)
            elif line.startswith(b'{"manifest":{') and is_manifest_end(line):
                self.read_manifest(line)
            else:
                self.content.update(line)
                if self.line > 1:
                    self.read_line(line)
        self.line += 1
        self.end()

    def read_line(self, line: bytes) -> None:
        """A line between the first and the manifest."""
        if not line.endswith(END):
            self.find("line", "ends before its line end")
            return
        try:
            scanner = Scanner(line)
            if scanner.follows('{"workflow":'):
                self.read_workflow(scanner)
            elif self.format == SEAL:
                self.find("line", "is no line of an export")
            elif scanner.follows('{"header":'):
                self.read_event(scanner)
            elif scanner.follows('{"damaged":'):
                self.read_damaged(scanner)
            else:
                self.find("line", "is no line of an export")
        except BadLine as error:
            self.find("line", str(error))

    def read_workflow(self, scanner: Scanner) -> None:
        """The line before a workflow's events."""
        workflow, _ = scanner.value(str)
        scanner.expect(',"number":')
        number, _ = scanner.value(int)
        scanner.expect(',"last":')
        last, _ = scanner.value(int)
        scanner.expect(',"head":')
        head, _ = scanner.value(str)
        begin = scanner.text[: scanner.at].encode("utf-8")
        scanner.expect(',"check":')
        check = scanner.digest()
        scanner.expect("}\n")
        if number < 0 or last < 0 or not (head == "" or HEX.issuperset(head)):
            raise BadLine("holds what no workflow's line holds")
        if sha256(begin) != check:
            self.find("digest", "was changed: it does not fit its own check", workflow)
        elif number != self.workflows + 1:
            words = f"is workflow {number}, and {self.workflows + 1} is next: some are missing or moved"
            self.find("order", words, workflow)
            if number <= self.workflows:
                return
        elif self.met.again(workflow):
            self.find("order", "is there a second time: a file has each workflow once", workflow)
        self.close_workflow()
        self.workflows = number if number > self.workflows else self.workflows + 1
        self.workflow, self.last, self.head = workflow, last, head
        self.version, self.version_line = 0, self.line
        self.may_follow = {NOTHING_BEFORE}
        if self.format == SEAL:
            self.events += last
            if is_digest(head):
                self.take_leaf(bytes.fromhex(head))
        if not last or not head:
            self.find("damaged", "had no event, or no last one that could be read, in the store", workflow)

    def close_workflow(self) -> None:
        """Whether all events came that the workflow's line promised; a seal has none."""
        if self.format == SEAL:
            return
        if self.version < self.last:
            missing = self.version + 1
            words = f"comes where event {missing} should be: the workflow has {self.last}"
            self.find("version", words, self.workflow, missing)
        elif self.last and self.may_follow is not None and self.head not in self.may_follow:
            words = "is the last event, and has another digest than the workflow's line says"
            self.find("head", words, self.workflow, self.version, self.version_line)

    def read_event(self, scanner: Scanner) -> None:
        """An event: whole in itself, then in its place."""
        fields, header = scanner.value(dict)
        scanner.expect(',"previous":')
        previous = scanner.digest()
        scanner.expect(',"payload_digest":')
        payload_digest = scanner.digest()
        scanner.expect(',"digest":')
        stated = scanner.digest()
        salts = payload = None
        if scanner.follows(',"salts":'):
            known, known_bytes = scanner.value(dict)
            scanner.expect(',"bytes":')
            salts = (known, known_bytes, scanner.digest())
        if scanner.follows(',"withheld":true'):
            scanner.expect("}\n")
        else:
            scanner.expect(',"payload":')
            payload = scanner.rest()
        try:
            workflow, version = fields["workflow"], fields["version"]
            name = str(fields["name"]) if fields["shape"] == 1 else f"{fields['name']}@{fields['shape']}"
        except KeyError as error:
            raise BadLine("has a header that cannot be read") from error
        if type(workflow) is not str or type(version) is not int or type(fields["name"]) is not str:
            raise BadLine("has a header that cannot be read")
        self.events += 1
        self.by_type[name] = self.by_type.get(name, 0) + 1
        self.take_moment(fields.get("at"))
        digest = sha256(b"%b\n%b\n%b" % (header, previous.encode(), payload_digest.encode()))
        self.take_leaf(bytes.fromhex(digest))
        if digest != stated:
            words = "was changed: header, preceding digest and payload digest do not give its digest"
            self.find("digest", words, self.workflow, self.version + 1)
            self.pass_event(self.version + 1, {digest, stated})
            return
        if payload is None:
            self.withheld += 1
            if salts is not None:
                self.find("salts", "withholds its payload, and has salts", workflow, version)
        else:
            self.check_payload((workflow, version), payload, payload_digest, salts)
        self.check_place(workflow, version, previous, digest)

    def check_payload(
        self, event: tuple[str, int], payload: bytes, digest: str, salts: tuple[dict[str, str], bytes, str] | None
    ) -> None:
        """Whether a payload is that of its digest; `salts`: what they are, their bytes, the digest of the payload."""
        if salts is None:
            if sha256(payload) != digest:
                self.find("payload", "has another payload than its digest is of", *event)
            return
        known, known_bytes, shown = salts
        if sha256(payload) != shown:
            self.find("payload", "has another payload than was exported", *event)
            return
        try:
            document = json.loads(payload.decode("utf-8"))
            fit = canonical(known).encode("utf-8") == known_bytes and all(map(is_digest, known.values()))
            fit = fit and put_digests(document, known) == set(known)
            found = sha256(canonical(document).encode("utf-8")) if fit else ""
        except (ValueError, KeyError, RecursionError):
            fit, found = False, ""
        if not fit:
            self.find("salts", "has salts that do not fit its payload", *event)
        elif found != digest:
            self.find("payload", "has other marked values than its digest is of", *event)

    def check_place(self, workflow: str, version: int, previous: str, digest: str) -> None:
        """Whether an event is where it belongs."""
        following = self.version + 1
        if workflow != self.workflow:
            self.find("order", f"is of another workflow than its place, {self.workflow}", workflow, version)
            return
        if version < following:
            self.find("version", f"is event {version} once more: {following} is next", workflow, version)
            return
        if version > self.last:
            self.find("version", f"is behind the last event, {self.last}", workflow, version)
            return
        if version > following:
            self.find("version", f"comes where event {following} should be: missing", workflow, following)
        elif self.may_follow is not None and previous not in self.may_follow:
            self.find("previous", "does not follow the event before it", workflow, version)
        self.pass_event(version, {digest})

    def pass_event(self, version: int, may_follow: set[str] | None) -> None:
        """Go on behind an event; None: anything may follow."""
        self.version, self.version_line, self.may_follow = version, self.line, may_follow

    def read_damaged(self, scanner: Scanner) -> None:
        """An event that was damaged in the store."""
        document, _ = scanner.value(dict)
        scanner.expect("}\n")
        self.damaged += 1
        workflow, version = document.get("workflow"), document.get("version")
        if type(workflow) is not str or type(version) is not int:
            raise BadLine("is no line of an export")
        self.find("damaged", "was damaged in the store when it was exported", workflow, version)
        if workflow == self.workflow and version == self.version + 1:
            self.pass_event(version, None)

    def take_moment(self, at: object) -> None:
        """Note the earliest and the latest instant."""
        if isinstance(at, str):
            if not self.earliest or moment(at) < moment(self.earliest):
                self.earliest = at
            if not self.latest or moment(at) > moment(self.latest):
                self.latest = at

    def take_leaf(self, digest: bytes) -> None:
        """One more leaf of the tree: parts of the same height become one."""
        part = (0, hashlib.sha256(b"\x00" + digest).digest())
        while self.leaves and self.leaves[-1][0] == part[0]:
            height, left = self.leaves.pop()
            part = (height + 1, hashlib.sha256(b"\x01" + left + part[1]).digest())
        self.leaves.append(part)

    def root(self) -> str:
        """The root of the tree."""
        if not self.leaves:
            return sha256(b"")
        parts = [digest for _, digest in self.leaves]
        while len(parts) > 1:
            right = parts.pop()
            parts[-1] = hashlib.sha256(b"\x01" + parts[-1] + right).digest()
        return parts[0].hex()

    def read_manifest(self, line: bytes) -> None:
        """What the export says of itself, against what there is."""
        document, _, check = line[len(b'{"manifest":') :].rpartition(BEFORE_CHECK)
        self.manifest, self.manifest_bytes = {}, document
        self.close_workflow()
        try:
            manifest = json.loads(document.decode("utf-8"))
            written = canonical(manifest).encode("utf-8")
        except (ValueError, RecursionError):
            written = b""
        if written != document:
            self.find("manifest", "is no manifest in canonical JSON")
            return
        if sha256(document) != check[:DIGEST_CHARACTERS].decode():
            self.find("manifest", "was changed: it does not fit its own check")
        self.manifest = manifest
        counted = {
            "by_type": self.by_type,
            "damaged": self.damaged,
            "earliest": self.earliest,
            "events": self.events,
            "format": self.format,
            "latest": self.latest,
            "withheld": self.withheld,
            "workflows": self.workflows,
        }
        for name, found in counted.items():
            if name not in manifest or canonical(manifest[name]) != canonical(found):
                self.find("manifest", f"says {name} {manifest.get(name)!r}; there is {found!r}")
        names = {*counted, "content", "cut", "redacted", "root", "selection"}
        if set(manifest) - {"signer"} != names:
            self.find("manifest", "lacks, or has too much: " + ", ".join(sorted((set(manifest) - {"signer"}) ^ names)))
        for name, fits in KINDS.items():
            if name in manifest and not fits(manifest[name]):
                self.find("manifest", f"says {name} {manifest[name]!r}, which is of another kind than it must be")
        if manifest.get("root") != self.root():
            self.find("root", f"says root {manifest.get('root')!r}; that of the events is {self.root()}")
        if manifest.get("content") != self.content.hexdigest():
            self.find("content", "says another digest than that of all lines before it: one of them was changed")

    def after_manifest(self, line: bytes) -> None:
        """The signature, and nothing else."""
        signer = str((self.manifest or {}).get("signer", ""))
        if not line.endswith(END):
            self.find("line", "ends before its line end")
            return
        if (
            not (line.startswith(b'{"signature":{') and line.endswith(b"}}\n"))
            or not signer
            or self.signature != "none"
        ):
            self.find("order", "stands behind the end of the export")
            return
        self.signature = "wrong"
        document = line[len(b'{"signature":') : -2]
        try:
            signature = json.loads(document.decode("utf-8"))
            value = signature["value"]
            sound = canonical(signature).encode("utf-8") == document and set(signature) == {"algorithm", "key", "value"}
            sound = sound and (signature["algorithm"], signature["key"]) == ("Ed25519", signer)
            sound = sound and isinstance(value, str) and len(value) == SIGNATURE_CHARACTERS and HEX.issuperset(value)
        except (ValueError, KeyError, TypeError, RecursionError):
            sound = False
        if not sound:
            self.find("signature", "is no signature of the key that the manifest names")
        elif self.signature_holds is None:
            self.signature = "not checked"
        elif self.signature_holds(signer, self.manifest_bytes, bytes.fromhex(value)):
            self.signature = "sound"
        else:
            self.find("signature", "is not the signature of this manifest by the key that was given")

    def end(self) -> None:
        """What should have come."""
        if self.manifest is None:
            self.close_workflow()
            self.find("manifest", "is missing: the export ends before its manifest")
        elif self.signature == "none" and "signer" in self.manifest:
            self.signature = "wrong"
            self.find("signature", "is missing: the manifest says that the export is signed")
        elif self.signature == "none" and self.demanded:
            self.signature = "wrong"
            self.find("signature", "is missing: the export is not signed, and a key was given")


# --- the program ----------------------------------------------------------------------------------------------------


def with_key(path: str) -> Holds | None:
    """What checks signatures with an Ed25519 key; None without `cryptography`. Raises OSError or ValueError."""
    pem = Path(path).read_bytes()
    try:
        # What checks signatures is not part of Python; the rest of the check does without.
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - imported where it is needed
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - the same
        from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415 - the same
    except ImportError:
        return None
    key = load_pem_public_key(pem)
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("is no Ed25519 key")  # noqa: TRY004 - told like whatever else is no key
    key_id = sha256(key.public_bytes_raw())

    def holds(named: str, signed: bytes, signature: bytes) -> bool:
        try:
            key.verify(signature, signed)
        except InvalidSignature:
            return False
        return named == key_id

    return holds


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file, none of them longer than there may be."""
    while True:
        line = file.readline(LONGEST_LINE)
        if not line:
            return
        yield line


def say(text: str) -> None:
    """One line on stdout."""
    sys.stdout.write(text + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; the exit code."""
    parser = argparse.ArgumentParser(
        description="Verify an export of Handrail.",
        epilog="Exit codes: 0 sound, 1 wrong, 2 not checkable, 3 sound but for a signature that was not checked.",
    )
    parser.add_argument("file", metavar="FILE", help="the export, as JSON Lines")
    parser.add_argument("--key", metavar="PUBLIC.pem", help="the public key (Ed25519) that it must be signed with")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args(arguments)
    try:
        holds = with_key(given.key) if given.key else None
    except (OSError, ValueError, TypeError) as error:
        sys.stderr.write(f"{given.key}: {error}; give the public key as PEM\n")
        return NOT_CHECKABLE
    export = Export(holds, demanded=bool(given.key))
    try:
        with Path(given.file).open("rb") as file:
            export.read(lines_of(file))
    except OSError as error:
        sys.stderr.write(f"{given.file}: {error.strerror}\n")
        return NOT_CHECKABLE
    code = WRONG if export.findings else UNSIGNED if export.signature == "not checked" else SOUND
    document = {
        "sound": not export.findings,
        "workflows": export.workflows,
        "events": export.events,
        "root": export.root(),
        "signature": export.signature,
        "signer": str((export.manifest or {}).get("signer", "")),
        "findings": export.findings,
        "more": export.more,
        "exit_code": code,
    }
    if given.json:
        say(json.dumps(document, indent=2))
        return code
    for one in export.findings:
        about = f", workflow {one['workflow']}" if one["workflow"] else ""
        about += f", event {one['version']}" if one["version"] else ""
        say(f"line {one['line']}{about}: {one['check']}: {one['words']}")
    if export.more:
        say(f"and {export.more} more")
    word = "WRONG" if code == WRONG else "sound"
    size = f"{counted(export.workflows, 'workflow')}, {counted(export.events, 'event')}"
    say(f"{word}: {size}, root {export.root()}")
    say("not signed" if export.signature == "none" else f"signature {export.signature}")
    return code


def counted(number: int, what: str) -> str:
    """So many of something, as people write it."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def run() -> int:
    """Run as a program: what the terminal cannot show is replaced, and a reader that has gone is no error of ours."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still to be written must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOT_CHECKABLE
    return code


if __name__ == "__main__":
    sys.exit(run())
