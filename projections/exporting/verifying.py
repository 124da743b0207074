"""Holds an export in JSON Lines against its own digests, line by line, and says what is wrong and where.

What is wrong is a finding, with the line, the workflow and the version that it is about, and the check that failed, one
of `Check`. After a finding it goes on as if that line had been sound, so that one change is found once, where it is.
deploy/verify_export.py does the same without any of our code; a test holds the two to the same verdicts.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

from domain.chain import GENESIS, canonical, link
from domain.errors import InputInvalid
from projections.exporting.jsonl import ALGORITHM, FIRST_LINE, FIRST_LINE_OF_SEAL, FORMAT, SEAL, type_named
from projections.exporting.manifest import wrong_kinds
from projections.exporting.met import Met
from projections.exporting.reading import instant
from projections.exporting.redaction import digest_shown, redactable_in
from projections.exporting.tree import Tree

LINE_BYTES: Final = 64 * 1024 * 1024
"""The longest line that is read."""
MOST_FINDINGS: Final = 20
"""So many findings are kept; the rest is counted."""
CHARACTERS: Final = 500
"""So much of a text is told."""

_DIGEST: Final = rb"([0-9a-f]{64})"
EVENT_LINE: Final = re.compile(
    rb'\{"header":(\{.*?\}),"previous":"%b","payload_digest":"%b","digest":"%b"'
    rb'(?:,"salts":(\{.*?\}),"bytes":"%b")?,(?:"payload":(.*)|"withheld":true)\}\n' % ((_DIGEST,) * 4)
)
WORKFLOW_LINE: Final = re.compile(
    rb'\{"workflow":"(?:[^"\\]|\\.)*","number":[0-9]{1,18},"last":[0-9]{1,18},"head":"[0-9a-f]{0,64}","check":"%b"\}\n'
    % _DIGEST
)
MANIFEST_LINE: Final = re.compile(rb'\{"manifest":(\{.*\}),"check":"%b"\}\n' % _DIGEST)
SIGNATURE_LINE: Final = re.compile(rb'\{"signature":(\{.*\})\}\n')
_DAMAGED: Final = re.compile(rb'\{"damaged":(\{.*\})\}\n')
_SIGNATURE_HEX: Final = re.compile("[0-9a-f]{128}")


class Check(StrEnum):
    """What was checked where something is wrong."""

    FORMAT = "format"
    LINE = "line"
    DIGEST = "digest"
    PAYLOAD = "payload"
    SALTS = "salts"
    ORDER = "order"
    VERSION = "version"
    PREVIOUS = "previous"
    HEAD = "head"
    DAMAGED = "damaged"
    MANIFEST = "manifest"
    ROOT = "root"
    CONTENT = "content"
    SIGNATURE = "signature"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. Workflow and version are empty and 0 where it is about none."""

    line: int
    workflow: str
    version: int
    check: Check
    words: str


@dataclass(slots=True)
class _Block:
    """The workflow whose events are being read."""

    workflow: str
    last: int
    head: str
    line: int
    version: int = 0
    digests: frozenset[str] | None = frozenset({GENESIS})
    """What the next event may follow: one digest, and of a changed line the one that it states; None: any."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the check. `signature`: `none`, `sound`, `wrong`, or `not checked`."""

    workflows: int
    events: int
    findings: tuple[Finding, ...]
    more: int
    signature: str
    signer: str
    root: str
    latest: str = ""
    """When the last of the events was recorded."""
    everything: bool = False
    """Whether all workflows of a store were asked for."""

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong. A signature that was not checked is for the caller to judge."""
        return not self.findings


CheckSignature = Callable[[str, bytes, bytes], bool]
"""Whether a signature is that of some bytes: the id of the key that is named, the bytes, the signature."""


class Verification:
    """The check of one file."""

    def __init__(self, check_signature: CheckSignature | None = None, *, demanded: bool = False) -> None:
        """`check_signature` knows the key; None: signatures are not checked. `demanded`: there must be one."""
        self._check_signature = check_signature
        self._demanded = demanded or check_signature is not None
        self._findings: list[Finding] = []
        self._more = 0
        self._number = 0
        self._seal = False
        self._block = _Block("", 0, "", 0)
        self._met = Met()
        self._content = sha256()
        self._tree = Tree()
        self._by_type: Counter[str] = Counter()
        self._earliest = self._latest = ""
        self._workflows = self._events = self._withheld = self._damaged = 0
        self._manifest: dict[str, Any] | None = None
        self._manifest_bytes = b""
        self._signature = "none"

    def run(self, lines: Iterable[bytes]) -> Verdict:
        """Check every line; each is handed over with its line end."""
        for line in lines:
            self._number += 1
            if self._number == 1:
                if line not in {FIRST_LINE, FIRST_LINE_OF_SEAL}:
                    self._found(Check.FORMAT, f"is not {FIRST_LINE.decode().strip()}: this is no such export")
                    return self._verdict()
                self._seal = line == FIRST_LINE_OF_SEAL
                self._content.update(line)
            else:
                self._line(line)
        self._number += 1
        self._end()
        return self._verdict()

    # --- lines ------------------------------------------------------------------------------------------------------

    def _line(self, line: bytes) -> None:
        if self._manifest is not None:
            self._behind_manifest(line)
            return
        if (match := MANIFEST_LINE.fullmatch(line)) is not None:
            self._take_manifest(match[1], match[2].decode())
            return
        self._content.update(line)
        if not line.isascii() and not _is_text(line):
            self._bad_line(line)
        elif (match := WORKFLOW_LINE.fullmatch(line)) is not None:
            self._workflow(line, match[1].decode())
        elif self._seal:
            self._bad_line(line)
        elif (match := EVENT_LINE.fullmatch(line)) is not None:
            self._event(match)
        elif (match := _DAMAGED.fullmatch(line)) is not None:
            self._damaged_event(match[1])
        else:
            self._bad_line(line)

    def _bad_line(self, line: bytes) -> None:
        if not line.endswith(b"\n"):
            words = f"has more than {LINE_BYTES:,} bytes" if len(line) >= LINE_BYTES else "ends before its line end"
        else:
            words = "is no line of an export"
        self._found(Check.LINE, words)

    def _workflow(self, line: bytes, check: str) -> None:
        begin = line[: line.rindex(b',"check":"')]
        fields = _document(line)
        if fields is None:
            self._bad_line(line)
            return
        if sha256(begin).hexdigest() != check:
            self._found(Check.DIGEST, "was changed: it does not fit its own check", str(fields["workflow"]))
        elif fields["number"] != self._workflows + 1:
            words = f"is workflow {fields['number']}, and {self._workflows + 1} is next: some are missing or moved"
            self._found(Check.ORDER, words, fields["workflow"])
            if fields["number"] <= self._workflows:
                return
        elif self._met.again(fields["workflow"]):
            self._found(Check.ORDER, "is there a second time: a file has each workflow once", fields["workflow"])
        self._close()
        self._workflows = fields["number"] if fields["number"] > self._workflows else self._workflows + 1
        self._block = _Block(str(fields["workflow"]), fields["last"], fields["head"], self._number)
        if self._seal:
            self._events += fields["last"]
            if _is_digest(fields["head"]):
                self._tree.add(bytes.fromhex(fields["head"]))
        if not fields["last"] or not fields["head"]:
            self._found(
                Check.DAMAGED, "had no event, or no last one that could be read, in the store", self._block.workflow
            )

    def _close(self) -> None:
        """Hold what was read of a workflow against its line."""
        block = self._block
        if self._seal:
            return
        if block.version < block.last:
            missing = f"event {block.version + 1}"
            words = f"events {block.version + 1} to {block.last}" if block.version + 1 < block.last else missing
            self._found(Check.VERSION, f"comes where {words} should be: missing", block.workflow, block.version + 1)
        elif block.last and block.digests is not None and block.head not in block.digests:
            words = "is the last event, and has another digest than the workflow's line says"
            self._found(Check.HEAD, words, block.workflow, block.version, line=block.line)

    def _event(self, match: re.Match[bytes]) -> None:
        header, previous, payload_digest, digest, salts, shown_digest, payload = match.groups()
        fields = _document(header) or {}
        workflow, version, name = fields.get("workflow"), fields.get("version"), fields.get("name")
        named = isinstance(name, str) and "shape" in fields
        if not isinstance(workflow, str) or type(version) is not int or not named:
            self._found(Check.LINE, "has a header that cannot be read")
            return
        if salts is not None and _document(salts) is None:
            self._found(Check.LINE, "has salts that cannot be read")
            return
        self._events += 1
        self._by_type[type_named(name, fields["shape"])] += 1
        self._take_instant(fields.get("at"))
        computed = link(header, previous.decode(), payload_digest.decode())
        self._tree.add(bytes.fromhex(computed))
        if computed != digest.decode():
            words = "was changed: header, preceding digest and payload digest do not give its digest"
            self._found(Check.DIGEST, words, self._block.workflow, self._block.version + 1)
            self._step(self._block.version + 1, {computed, digest.decode()})
            return
        self._payload(workflow, version, payload, payload_digest.decode(), salts, shown_digest)
        self._place(workflow, version, previous.decode(), computed)

    def _payload(
        self,
        workflow: str,
        version: int,
        payload: bytes | None,
        digest: str,
        salts: bytes | None,
        shown_digest: bytes | None,
    ) -> None:
        """Hold a payload against its digest."""
        if payload is None:
            self._withheld += 1
            if salts is not None:
                self._found(Check.SALTS, "withholds its payload, and has salts", workflow, version)
            return
        if salts is None or shown_digest is None:
            if sha256(payload).hexdigest() != digest:
                self._found(Check.PAYLOAD, "has another payload than its digest is of", workflow, version)
            return
        if sha256(payload).hexdigest() != shown_digest.decode():
            self._found(Check.PAYLOAD, "has another payload than was exported", workflow, version)
            return
        document, known = _document(payload), _canonical_document(salts)
        found = None
        if document is not None and known is not None and all(_is_digest(salt) for salt in known.values()):
            with contextlib.suppress(InputInvalid):
                found = digest_shown(document, redactable_in(document), known)
        if found is None:
            self._found(Check.SALTS, "has salts that do not fit its payload", workflow, version)
        elif found != digest:
            self._found(Check.PAYLOAD, "has other marked values than its digest is of", workflow, version)

    def _place(self, workflow: str, version: int, previous: str, digest: str) -> None:
        """Hold an event that is sound in itself against those around it."""
        block = self._block
        if workflow != block.workflow:
            self._found(Check.ORDER, f"is of another workflow than its place, {block.workflow}", workflow, version)
            return
        if version <= block.version:
            words = f"is event {version} once more, or out of its order: {block.version + 1} is next"
            self._found(Check.VERSION, words, workflow, version)
            return
        if version > block.last:
            self._found(Check.VERSION, f"is behind the last event, {block.last}", workflow, version)
            return
        if version > block.version + 1:
            words = f"comes where event {block.version + 1} should be: missing"
            self._found(Check.VERSION, words, workflow, block.version + 1)
        elif block.digests is not None and previous not in block.digests:
            self._found(Check.PREVIOUS, "does not follow the event before it", workflow, version)
        self._step(version, {digest})

    def _step(self, version: int, digests: set[str] | None) -> None:
        block = self._block
        block.version, block.line = version, self._number
        block.digests = None if digests is None else frozenset(digests)

    def _damaged_event(self, document: bytes) -> None:
        self._damaged += 1
        damaged = _document(document) or {}
        workflow, version = damaged.get("workflow"), damaged.get("version")
        if not isinstance(workflow, str) or type(version) is not int:
            self._found(Check.LINE, "is no line of an export")
            return
        self._found(Check.DAMAGED, "was damaged in the store when it was exported", workflow, version)
        if workflow == self._block.workflow and version == self._block.version + 1:
            # What follows cannot be held against an event that cannot be read.
            self._step(version, None)

    def _take_instant(self, at: object) -> None:
        if not isinstance(at, str):
            return
        if not self._earliest or instant(at) < instant(self._earliest):
            self._earliest = at
        if not self._latest or instant(at) > instant(self._latest):
            self._latest = at

    # --- manifest and signature -------------------------------------------------------------------------------------

    def _take_manifest(self, document: bytes, check: str) -> None:
        self._manifest = {}
        self._manifest_bytes = document
        self._close()
        manifest = _canonical_document(document)
        if manifest is None:
            self._found(Check.MANIFEST, "is no manifest in canonical JSON")
            return
        if sha256(document).hexdigest() != check:
            self._found(Check.MANIFEST, "was changed: it does not fit its own check")
        self._manifest = manifest
        counted = {
            "by_type": dict(self._by_type),
            "damaged": self._damaged,
            "earliest": self._earliest,
            "events": self._events,
            "format": SEAL if self._seal else FORMAT,
            "latest": self._latest,
            "withheld": self._withheld,
            "workflows": self._workflows,
        }
        for name, found in counted.items():
            # As texts: true would equal 1.
            if name not in manifest or canonical(manifest[name]) != canonical(found):
                self._found(Check.MANIFEST, f"says {name} {manifest.get(name)!r}; there is {found!r}")
        if extra := sorted(manifest.keys() ^ (counted.keys() | _UNCOUNTED | ({"signer"} & manifest.keys()))):
            self._found(Check.MANIFEST, f"lacks, or has too much: {', '.join(extra)}")
        for name in wrong_kinds(manifest):
            self._found(Check.MANIFEST, f"says {name} {manifest[name]!r}, which is of another kind than it must be")
        if manifest.get("root") != self._tree.root():
            self._found(Check.ROOT, f"says root {manifest.get('root')!r}; that of the events is {self._tree.root()}")
        if manifest.get("content") != self._content.hexdigest():
            self._found(Check.CONTENT, "says another digest than that of all lines before it: one of them was changed")

    def _behind_manifest(self, line: bytes) -> None:
        if not line.endswith(b"\n"):
            self._bad_line(line)
            return
        match = SIGNATURE_LINE.fullmatch(line)
        signer = str((self._manifest or {}).get("signer", ""))
        if match is None or not signer or self._signature != "none":
            self._found(Check.ORDER, "stands behind the end of the export")
            return
        self._signature = "wrong"
        signature = _canonical_document(match[1]) or {}
        value = signature.pop("value", None)
        named = signature == {"algorithm": ALGORITHM, "key": signer}
        if not named or not isinstance(value, str) or _SIGNATURE_HEX.fullmatch(value) is None:
            self._found(Check.SIGNATURE, "is no signature of the key that the manifest names")
            return
        if self._check_signature is None:
            self._signature = "not checked"
        elif self._check_signature(signer, self._manifest_bytes, bytes.fromhex(value)):
            self._signature = "sound"
        else:
            self._found(Check.SIGNATURE, "is not the signature of this manifest by the key that was given")

    def _end(self) -> None:
        if self._manifest is None:
            self._close()
            self._found(Check.MANIFEST, "is missing: the export ends before its manifest")
            return
        if self._signature == "none" and "signer" in self._manifest:
            self._signature = "wrong"
            self._found(Check.SIGNATURE, "is missing: the manifest says that the export is signed")
        elif self._signature == "none" and self._demanded:
            self._signature = "wrong"
            self._found(Check.SIGNATURE, "is missing: the export is not signed, and a key was given")

    # --- what was found ---------------------------------------------------------------------------------------------

    def _found(
        self, check: Check, words: str, workflow: str = "", version: int = 0, *, line: int | None = None
    ) -> None:
        if len(self._findings) >= MOST_FINDINGS:
            self._more += 1
            return
        at = self._number if line is None else line
        self._findings.append(Finding(at, plain(workflow), version, check, plain(words)))

    def _verdict(self) -> Verdict:
        selection = (self._manifest or {}).get("selection")
        return Verdict(
            self._workflows,
            self._events,
            tuple(self._findings),
            self._more,
            self._signature,
            str((self._manifest or {}).get("signer", "")),
            self._tree.root(),
            self._latest,
            isinstance(selection, dict) and selection.get("all") is True,
        )


_UNCOUNTED: Final = frozenset({"content", "cut", "redacted", "root", "selection"})


def plain(text: str) -> str:
    """A text from a file that anybody may have made, as a terminal may be shown it."""
    return "".join(mark if mark.isprintable() else "?" for mark in text[:CHARACTERS])


def _document(text: bytes) -> dict[str, Any] | None:
    """The JSON object that a text is, or None."""
    try:
        found = json.loads(text.decode())
        if b"\\u" in text:
            # Half of a pair of surrogates is no text, and no store keeps it.
            json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _canonical_document(text: bytes) -> dict[str, Any] | None:
    """The same, where it is written in canonical JSON."""
    found = _document(text)
    try:
        return found if found is not None and canonical(found) == text else None
    except InputInvalid:
        return None


def _is_text(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_digest(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch("[0-9a-f]{64}", text) is not None
