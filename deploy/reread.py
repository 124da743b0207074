"""A file that is read twice: first to be verified, then for what is in it; both times it must be the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from domain.errors import InputInvalid
from projections.exporting.verifying import LINE_BYTES


class Reread:
    """The file, read from its beginning as often as needed; each time its digest is taken."""

    def __init__(self, path: Path, opened: BinaryIO) -> None:
        """`opened` can be read from its beginning again."""
        self.path = path
        self.digest = ""
        """Of what was read the last time, once all of it was."""
        self._opened = opened

    def lines(self) -> Iterator[bytes]:
        """The lines, a long one in pieces."""
        content = sha256()
        self._opened.seek(0)
        for line in iter(lambda: self._opened.readline(LINE_BYTES), b""):
            content.update(line)
            yield line
        self.digest = content.hexdigest()


@contextmanager
def reread(path: Path) -> Iterator[Reread]:
    """Open a file that is to be read twice.

    Raises InputInvalid where it cannot be opened, or cannot be read a second time: of a pipe nothing would be left.
    """
    try:
        opened = path.open("rb")
    except OSError as error:
        raise InputInvalid(f"{path}: cannot be read: {error.strerror or error}") from error
    with opened:
        if not opened.seekable():
            raise InputInvalid(f"{path} is read twice, and must be a file: save it first")
        yield Reread(path, opened)
