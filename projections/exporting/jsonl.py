"""An export as JSON Lines: a line that names the format, then each workflow with its events, then the manifest.

    {"format":"handrail.export.v1"}
    {"workflow":ID,"number":1,"last":VERSION,"head":DIGEST,"check":DIGEST}
    {"header":{…},"previous":DIGEST,"payload_digest":DIGEST,"digest":DIGEST,"payload":{…}}
    …
    {"manifest":{…},"check":DIGEST}
    {"signature":{"algorithm":"Ed25519","key":KEY_ID,"value":HEX}}

Header and payload stand in their lines byte for byte as stored. Every byte is covered by a check of its own line, so
that whatever was changed is found where it is; deploy/docs/exports.md says all of it. The same range of the same
history gives the same bytes: nothing of the place, the time or the person of the export is in it.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, Final, NamedTuple

from domain.chain import GENESIS, canonical, payload_digest
from domain.errors import InputInvalid
from domain.recorded import stored_topic
from domain.store.imported import Imported
from projections.exporting.reading import KEY_LOST, Exported, Histories, Selection, instant
from projections.exporting.redaction import Redaction, redactable_in
from projections.exporting.rows import Row
from projections.exporting.tree import Tree

FORMAT: Final = "handrail.export.v1"
SEAL: Final = "handrail.seal.v1"
"""A file of heads alone: of each workflow its own line, without its events."""
FIRST_LINE: Final = b'{"format":"handrail.export.v1"}\n'
FIRST_LINE_OF_SEAL: Final = b'{"format":"handrail.seal.v1"}\n'
ALGORITHM: Final = "Ed25519"

BEFORE_DIGESTS: Final = b'},"previous":"'
"""What follows a header: within a header it cannot stand, since quotes in a text are escaped."""


class Signer(NamedTuple):
    """Who signs a manifest: the id of the public key, and what makes the signature of some bytes."""

    key_id: str
    sign: Callable[[bytes], bytes]


class Damage(NamedTuple):
    """Where the store itself does not fit its digests, found while it was exported."""

    workflow_id: str
    version: int
    words: str


class JsonLines:
    """One export: `lines` are its bytes, and afterwards the counts are what the manifest says."""

    def __init__(
        self, selection: Selection, redaction: Redaction, signer: Signer | None = None, *, seal: bool = False
    ) -> None:
        """Nothing is read yet. A `seal` has the workflows' lines alone, and its tree is over their heads."""
        self._selection = selection
        self._seal = seal
        self._redaction = redaction
        self._signer = signer
        self._content = sha256()
        self._tree = Tree()
        self._earliest = self._latest = ""
        self.workflows = 0
        self.events = 0
        self.cut = 0
        self.withheld = 0
        self.damaged = 0
        self.by_type: Counter[str] = Counter()
        self.first_damage: Damage | None = None

    def lines(self, histories: Histories) -> Iterator[bytes]:
        """The lines of the file, first to last."""
        yield self._taken(FIRST_LINE_OF_SEAL if self._seal else FIRST_LINE)
        for exported in histories.heads() if self._seal else histories:
            self.workflows += 1
            yield self._taken(workflow_line(exported.workflow_id, self.workflows, exported.last, exported.head))
            if self._seal:
                self._take_head(exported)
            else:
                yield from self._events(exported)
        if (imported := self._unchanged(histories.imported)) is not None:
            yield _manifest_line(imported.manifest.encode())
            if imported.signature:
                yield b'{"signature":%b}\n' % imported.signature.encode()
            return
        manifest = canonical(self._manifest(() if histories.imported is None else histories.imported.rules))
        yield _manifest_line(manifest)
        if self._signer is not None:
            signature = {
                "algorithm": ALGORITHM,
                "key": self._signer.key_id,
                "value": self._signer.sign(manifest).hex(),
            }
            yield b'{"signature":%b}\n' % canonical(signature)

    @property
    def root(self) -> str:
        """The root of the tree over the events so far."""
        return self._tree.root()

    def _unchanged(self, imported: Imported | None) -> Imported | None:
        """What the store was imported from, where this is all of that as it was: then it ends as that did."""
        chosen = self._selection._replace(upto=None) != Selection()
        asked = self._seal or self._signer is not None or self._redaction.rules or chosen
        if imported is None or asked or json.loads(imported.manifest)["content"] != self._content.hexdigest():
            return None
        return imported

    def _taken(self, line: bytes) -> bytes:
        self._content.update(line)
        return line

    def _take_head(self, exported: Exported) -> None:
        self.events += exported.last
        if exported.head:
            self._tree.add(bytes.fromhex(exported.head))
        else:
            words = "cannot be read" if exported.last else "is missing, and all behind it"
            self._found_damage(exported.workflow_id, exported.last or 1, words)

    def _events(self, exported: Exported) -> Iterator[bytes]:
        previous, number, key = GENESIS, 0, exported.key or b""
        if exported.key is None:
            self._found_damage(exported.workflow_id, 1, KEY_LOST)
        for row in exported.rows:
            number += 1
            if row.version != number:
                self._found_damage(row.workflow_id, number, "is missing")
            elif row.header and row.previous != previous:
                self._found_damage(row.workflow_id, number, "does not follow the event before it")
            previous, number = row.digest, row.version
            line = self._event(row, key) if row.header else None
            if line is not None:
                self._count(row)
            else:
                self.damaged += 1
                self._found_damage(row.workflow_id, row.version, "cannot be read")
                line = damaged_line(replace(row, state=b"") if self._redaction.rules else row)
            yield self._taken(line)
        if not number:
            self._found_damage(exported.workflow_id, 1, "is missing, and all behind it")

    def _event(self, row: Row, key: bytes) -> bytes | None:
        """The line of an event whose parts can be told apart; None where its payload cannot stand in a line."""
        begin = b'{"header":%b,"previous":"%b","payload_digest":"%b","digest":"%b"' % (
            row.header,
            row.previous.encode(),
            row.payload_digest.encode(),
            row.digest.encode(),
        )
        if not sound(row, key):
            self._found_damage(row.workflow_id, row.version, "has another payload, or place, than its digest is of")
            # What marks the values to be cut out is not to be believed either.
            if row.withheld or self._redaction.rules or not _embeddable(row):
                return None
            return b'%b,"payload":%b}\n' % (begin, row.payload)
        shown = self._redaction.show(row.payload, row.key(key), row.version)
        self.cut += shown.cut
        if shown.payload is None:
            self.withheld += 1
            return b'%b,"withheld":true}\n' % begin
        if shown.salts is not None:
            digest = sha256(shown.payload).hexdigest().encode()
            begin = b'%b,"salts":%b,"bytes":"%b"' % (begin, canonical(shown.salts), digest)
        return b'%b,"payload":%b}\n' % (begin, shown.payload)

    def _count(self, row: Row) -> None:
        self.events += 1
        self._tree.add(bytes.fromhex(row.digest))
        fields = row.fields
        name, at = fields.get("name"), fields.get("at")
        self.by_type[type_named(name, fields.get("shape"))] += 1
        if not isinstance(at, str):
            return
        if not self._earliest or instant(at) < instant(self._earliest):
            self._earliest = at
        if not self._latest or instant(at) > instant(self._latest):
            self._latest = at

    def _found_damage(self, workflow_id: str, version: int, words: str) -> None:
        if self.first_damage is None:
            self.first_damage = Damage(workflow_id, version, words)

    def _manifest(self, rules: Sequence[str]) -> dict[str, Any]:
        """The manifest; `rules` were followed when that was exported from which the store was imported."""
        manifest: dict[str, Any] = {
            "by_type": dict(self.by_type),
            "content": self._content.hexdigest(),
            "cut": self.cut,
            "damaged": self.damaged,
            "earliest": self._earliest,
            "events": self.events,
            "format": SEAL if self._seal else FORMAT,
            "latest": self._latest,
            "redacted": sorted({*self._redaction.rules, *rules}),
            "root": self.root,
            "selection": self._selection.document(),
            "withheld": self.withheld,
            "workflows": self.workflows,
        }
        if self._signer is not None:
            manifest["signer"] = self._signer.key_id
        return manifest


def _manifest_line(manifest: bytes) -> bytes:
    return b'{"manifest":%b,"check":"%b"}\n' % (manifest, sha256(manifest).hexdigest().encode())


def workflow_line(workflow_id: str, number: int, last: int, head: str) -> bytes:
    """The line before a workflow's events; `check` is the SHA-256 of the line up to it."""
    begin = f'{{"workflow":{json.dumps(workflow_id)},"number":{number},"last":{last},"head":"{head}"'.encode()
    return b'%b,"check":"%b"}\n' % (begin, sha256(begin).hexdigest().encode())


def damaged_line(row: Row) -> bytes:
    """The line of a row that is no event, or whose payload cannot stand in a line."""
    damaged = {
        "name": row.topic,
        "state": base64.b64encode(row.state).decode(),
        "version": row.version,
        "workflow": row.workflow_id,
    }
    return b'{"damaged":%b}\n' % canonical(damaged)


def type_named(name: object, shape: object) -> str:
    """How a manifest counts an event: by its stored name, with the version where that is not the first."""
    return str(name) if shape == 1 else f"{name}@{shape}"


def _embeddable(row: Row) -> bool:
    """Whether header and payload can stand in a line of JSON as they are."""
    try:
        json.loads(row.payload)
    except (ValueError, RecursionError):
        return False
    return b"\n" not in row.payload and b"\r" not in row.payload and BEFORE_DIGESTS not in row.header


def sound(row: Row, key: bytes) -> bool:
    """Whether an event is where its header says and its payload, where there is one, that of its digest."""
    fields = row.fields
    try:
        topic = stored_topic(fields["name"], fields["shape"])
        if (fields["workflow"], fields["version"], topic) != (row.workflow_id, row.version, row.topic):
            return False
        if row.withheld:
            return True
        if sha256(row.payload).hexdigest() == row.payload_digest:
            return True
        marked = redactable_in(json.loads(row.payload))
        found = payload_digest(row.payload, redactable=marked, key=row.key(key), version=row.version)
    except (ValueError, KeyError, TypeError, RecursionError, InputInvalid):
        return False
    return bool(marked) and found == row.payload_digest
