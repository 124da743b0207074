"""The file of an archive: written whole, then read back from the disk and held against its digests."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from deploy.archiving.choosing import Leaving
from deploy.signing import SigningKey
from deploy.whole_files import whole_file
from domain.errors import InputInvalid
from projections.exporting.jsonl import FORMAT, JsonLines, Signer
from projections.exporting.redaction import Redaction
from projections.exporting.verifying import LINE_BYTES, CheckSignature, Verification

_WORKFLOW: Final = b'{"workflow":'
_HEADER: Final = b'{"header":'
_MANIFEST: Final = b'{"manifest":'
_WITHHELD: Final = b',"withheld":true}\n'
_MESSAGE: Final = b'"message_id"'
_FAILURE: Final = b'"fingerprint"'
INTERVALS: Final = 1_000


class Verified(NamedTuple):
    """What a file that was found sound holds."""

    workflows: int
    events: int
    root: str


class Filed(NamedTuple):
    """One workflow of the file: version and digest of its last event, its commands, and whether anything failed.

    `withheld`: its payloads are not in the file, since it was erased when that was written.
    """

    workflow_id: str
    last: int
    head: str
    messages: list[str]
    failed: bool
    withheld: bool = False


class _Nothing(Exception):
    """There is nothing to write: leave no file."""


def write(target: Path, leaving: Leaving, key: SigningKey | None, tell: Callable[[int, int], None]) -> bool:
    """Write the file; False where nothing may go, and there is no file. Raises InputInvalid, StoreUnavailable."""
    signer = None if key is None else Signer(*key)
    made = JsonLines(leaving.selection, Redaction(()), signer)
    try:
        with whole_file(target, replace=False) as file:
            for number, line in enumerate(made.lines(leaving)):
                file.write(line)
                if number % INTERVALS == 0:
                    tell(made.workflows, made.events)
            _check_made(made)
    except _Nothing:
        return False
    return True


def _check_made(made: JsonLines) -> None:
    """Raise where the file is not to be kept."""
    if made.first_damage is not None:
        one = made.first_damage
        raise InputInvalid(
            f"workflow {one.workflow_id}, event {one.version} {one.words}: it was changed while it was read; nothing "
            "was archived: `handrail replay` says more"
        )
    if not made.workflows:
        raise _Nothing


def verify(target: Path, key: SigningKey | None) -> Verified:
    """Read the file back from the disk, every byte, and check it. Raises InputInvalid where anything is wrong.

    With a `key`, it must be signed with it.
    """
    _forget_what_is_in_memory(target)
    manifest: dict[str, Any] = {}

    def read() -> Iterator[bytes]:
        for line in _lines(target):
            if line.startswith(_MANIFEST):
                manifest.update(_manifest(line))
            yield line

    verdict = Verification(_signed_by(key), demanded=key is not None).run(read())
    if not verdict.sound:
        one = verdict.findings[0]
        raise InputInvalid(
            f"{target} is not what was exported: line {one.line}: {one.check}: {one.words}; nothing is removed by it: "
            f"`handrail verify {target}` says more"
        )
    if manifest.get("format") != FORMAT or manifest.get("redacted"):
        raise InputInvalid(f"{target} does not hold whole histories: archive into a file of its own")
    return Verified(verdict.workflows, verdict.events, verdict.root)


def filed(target: Path) -> Iterator[Filed]:
    """The workflows of a file that was verified, in their order."""
    found: Filed | None = None
    for line in _lines(target):
        if line.startswith(_WORKFLOW):
            if found is not None:
                yield found
            fields = json.loads(line)
            found = Filed(fields["workflow"], fields["last"], fields["head"], [], failed=False)
        elif found is not None and line.startswith(_HEADER):
            if line.endswith(_WITHHELD):
                found = found._replace(withheld=True)
            if _FAILURE in line:
                found = found._replace(failed=True)
            if _MESSAGE in line:
                message = json.loads(line).get("payload", {}).get("message_id")
                if isinstance(message, str):
                    found.messages.append(message)
    if found is not None:
        yield found


def _lines(target: Path) -> Iterator[bytes]:
    try:
        with target.open("rb") as opened:
            yield from iter(lambda: opened.readline(LINE_BYTES), b"")
    except OSError as error:
        raise InputInvalid(f"{target}: cannot be read: {error.strerror or error}") from error


def _manifest(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)["manifest"]
    except (ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _signed_by(key: SigningKey | None) -> CheckSignature | None:
    """The same bytes signed by the same key have the same signature: so whoever can sign can check."""
    if key is None:
        return None
    return lambda named, signed, signature: named == key.key_id and key.sign(signed) == signature


def _forget_what_is_in_memory(target: Path) -> None:
    """Have the system read the disk: what it has at hand is what was to be written, not what was."""
    try:
        with target.open("rb") as opened:
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    except OSError as error:
        raise InputInvalid(f"{target}: cannot be read: {error.strerror or error}") from error
