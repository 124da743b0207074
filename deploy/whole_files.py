"""Files and folders that are written whole or not at all, and take another's place only where that is wanted."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from domain.errors import InputInvalid, StoreUnavailable

STDOUT: Final = Path("-")
"""What means the standard output elsewhere; nobody means a file of that name."""


@contextlib.contextmanager
def whole_file(target: Path, *, replace: bool) -> Iterator[BinaryIO]:
    """Write to a file that gets its name only when all is written and on the disk; it is readable by its owner alone.

    Raises InputInvalid where there is something at `target` that may not be replaced, or no folder for it;
    StoreUnavailable where the disk says no. Then, as after any other error, what was there is there.
    """
    _check(target, replace=replace)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".unfinished", dir=target.parent)
        unfinished = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _give_name(unfinished, target, replace=replace)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise StoreUnavailable(
            f"{target} cannot be written ({error.strerror or error}); name a place that can be"
        ) from error


def _check(target: Path, *, replace: bool) -> None:
    if not target.name or target.is_dir():
        raise InputInvalid(f"{target} is a folder; name a file")
    if target == STDOUT:
        raise InputInvalid("what is written whole or not at all cannot go to the standard output; name a file")
    if not target.parent.is_dir():
        raise InputInvalid(f"the folder {target.parent} does not exist; make it, or name another")
    try:
        found = target.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputInvalid(f"{target}: {error.strerror or error}; name another file") from error
    if not stat.S_ISREG(found.st_mode):
        raise InputInvalid(f"{target} is no plain file; name one")
    if not replace:
        raise InputInvalid(f"{target} exists already; name another file, or give --force")


def _give_name(unfinished: Path, target: Path, *, replace: bool) -> None:
    if replace:
        unfinished.replace(target)
    else:
        try:
            # Unlike a rename, a link never takes the place of a file that was made meanwhile.
            target.hardlink_to(unfinished)
        except FileExistsError as error:
            raise InputInvalid(f"{target} exists already; name another file, or give --force") from error
        except PermissionError:
            # A file system without links: then it is the check before that counts.
            _check(target, replace=False)
            unfinished.replace(target)
    _on_disk(target.parent)


class Folder:
    """A folder that is being filled."""

    def __init__(self, place: Path) -> None:
        """`place` is where it is until it gets its name."""
        self._place = place

    @contextlib.contextmanager
    def file(self, name: str) -> Iterator[BinaryIO]:
        """Write a file of the folder, readable by its owner alone; then it is on the disk."""
        descriptor = os.open(self._place / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())


@contextlib.contextmanager
def whole_folder(target: Path, names: Collection[str], *, replace: bool) -> Iterator[Folder]:
    """Fill a folder that gets its name only when all in it is written and on the disk; only its owner may enter it.

    `replace` has it take the place of a folder that holds nothing but files of these names: of nothing else. Between
    the two there is an instant without either; whoever is killed in it finds the old one beside, as `.NAME….before`.

    Raises InputInvalid where there is something at `target` that may not be replaced, or no folder for it;
    StoreUnavailable where the disk says no. Then, as after any other error, what was there is there.
    """
    _check_folder(target, names, replace=replace)
    try:
        prefix = f".{target.name[:100]}."
        unfinished = Path(tempfile.mkdtemp(prefix=prefix, suffix=".unfinished", dir=target.parent))
        try:
            yield Folder(unfinished)
            _on_disk(unfinished)
            _take_place(unfinished, target, names, replace=replace)
            _on_disk(target.parent)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise StoreUnavailable(
            f"{target} cannot be written ({error.strerror or error}); name a place that can be"
        ) from error


def _check_folder(target: Path, names: Collection[str], *, replace: bool) -> None:
    if not target.name or target == STDOUT:
        raise InputInvalid(f"{target} has no name of its own; name a folder to be made")
    if not target.parent.is_dir():
        raise InputInvalid(f"the folder {target.parent} does not exist; make it, or name another")
    try:
        found = target.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputInvalid(f"{target}: {error.strerror or error}; name another folder") from error
    if not stat.S_ISDIR(found.st_mode):
        raise InputInvalid(f"{target} is no folder; name another")
    if not replace:
        raise InputInvalid(f"{target} exists already; name another folder, or give --force")
    try:
        other = next((one.name for one in target.iterdir() if one.name not in names or not one.is_file()), None)
    except OSError as error:
        raise InputInvalid(f"{target}: {error.strerror or error}; name another folder") from error
    if other is not None:
        raise InputInvalid(f"{target} holds {other[:80]!r}, which --force would remove; name another folder")


def _take_place(unfinished: Path, target: Path, names: Collection[str], *, replace: bool) -> None:
    _check_folder(target, names, replace=replace)
    if not target.exists():
        unfinished.rename(target)
        return
    before = unfinished.with_suffix(".before")
    target.rename(before)
    try:
        unfinished.rename(target)
    except OSError:
        before.rename(target)
        raise
    shutil.rmtree(before, ignore_errors=True)


def _on_disk(folder: Path) -> None:
    """Have the disk keep which names a folder has."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
