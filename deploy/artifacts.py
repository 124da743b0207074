"""The artifact store: files under the digest of their content, linked by name into the folder of their workflow.

`HOME/artifacts/aa/<sha256>` is written to a temporary file, fsynced and renamed, so that what has the name has the
content, whatever was killed meanwhile; then `HOME/workflows/ID/NAME` is linked to it, by a hard link where the file
system has them and by a copy where it has not. Writing the same content again is harmless.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from domain.errors import Permanent
from domain.events import Artifact
from domain.faultpoints import reached

ARTIFACTS_FOLDER: Final = "artifacts"
WORKFLOWS_FOLDER: Final = "workflows"
NAME_BYTES: Final = 200
MOST_BYTES: Final = 256 * 1024 * 1024

_LINK_TRIES: Final = 16
"""Writers that may put the same content in its place, one after the other, while one of them links it."""
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS})


class ArtifactStore:
    """The artifacts of one home. Safe to use from several threads and processes at once."""

    def __init__(self, home: Path, *, most_bytes: int = MOST_BYTES) -> None:
        """Nothing is created before the first artifact."""
        self._artifacts = home / ARTIFACTS_FOLDER
        self._workflows = home / WORKFLOWS_FOLDER
        self._most_bytes = most_bytes

    def write(self, workflow_id: str, name: str, data: bytes) -> Artifact:
        """Keep a file durably and link it by its name.

        Raises Permanent for a name that is no plain file name and for a file that is too large, OSError where the disk
        says no.
        """
        check_artifact_name(name)
        if len(data) > self._most_bytes:
            raise Permanent(f"artifact {name!r} has {len(data)} bytes, at most {self._most_bytes}; split it")
        digest = hashlib.sha256(data).hexdigest()
        reached("artifact.before")
        content = self._keep(digest, data)
        self._link(content, self._workflows / workflow_id, name)
        reached("artifact.after")
        return Artifact(name=name, digest=digest, size=len(data))

    def path(self, digest: str) -> Path:
        """Where the content of this digest is, or would be."""
        return self._artifacts / digest[:2] / digest

    def _keep(self, digest: str, data: bytes) -> Path:
        target = self.path(digest)
        if _holds(target, digest, len(data)):
            return target
        _make_folder(target.parent)
        with _temporary(target.parent) as (descriptor, temporary):
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o444)
            temporary.replace(target)
        _sync(target.parent)
        return target

    def _link(self, content: Path, folder: Path, name: str) -> None:
        target = folder / name
        with contextlib.suppress(OSError):
            if target.samefile(content):
                return
        _make_folder(folder)
        with _temporary(folder) as (descriptor, temporary):
            os.close(descriptor)
            temporary.unlink()
            try:
                _hard_link(content, temporary)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                _copy(content, temporary)
            # A link of the same file under both names would be left by replace: the check above excludes it.
            temporary.replace(target)
        _sync(folder)


def check_artifact_name(name: str) -> str:
    """Return the name; raise Permanent where it is no plain file name that every system can keep."""
    plain = (
        name.isprintable()
        and not set(name) & set('/\\:*?"<>|')
        and not name.startswith((".", " ", "-"))
        and not name.endswith((".", " "))
    )
    try:
        fits = plain and 0 < len(name.encode()) <= NAME_BYTES
    except UnicodeEncodeError:
        fits = False
    if not fits:
        raise Permanent(
            f"artifact name {name[:80]!r} is no plain file name: use letters, digits, '.', '_', '-', "
            f"at most {NAME_BYTES} bytes, for example 'report.json'"
        )
    return name


def _holds(path: Path, digest: str, size: int) -> bool:
    """Whether the file is there and whole: one that a broken disk or a hand has changed is written again."""
    try:
        if path.stat().st_size != size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == digest
    except OSError:
        return False


@contextlib.contextmanager
def _temporary(folder: Path) -> Iterator[tuple[int, Path]]:
    """A temporary file in the folder, gone at the end unless it was renamed."""
    descriptor, name = tempfile.mkstemp(prefix=".tmp-", dir=folder)
    temporary = Path(name)
    try:
        yield descriptor, temporary
    finally:
        temporary.unlink(missing_ok=True)


def _hard_link(content: Path, link: Path) -> None:
    """Link the content; where another writer of it has just put its own file there, the one found is gone: again."""
    for _ in range(_LINK_TRIES - 1):
        with contextlib.suppress(FileNotFoundError):
            link.hardlink_to(content)
            return
    link.hardlink_to(content)


def _copy(content: Path, target: Path) -> None:
    with content.open("rb") as origin, target.open("xb") as file:
        shutil.copyfileobj(origin, file)
        file.flush()
        os.fsync(file.fileno())


def _make_folder(folder: Path) -> None:
    """Create a folder durably, with those above it."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


def _sync(folder: Path) -> None:
    """Make the folder's entries durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
