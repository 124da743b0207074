"""A vendor's folder, read with care: what is in it was written by strangers.

Everything is bounded, nothing outside the folder is ever opened (names are plain, symbolic links are refused), and what
is neither a file nor readable is named in one line. Reading writes nothing.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

PAPER_SIZE_MAXIMUM_BYTES = 256 * 1024
SCAN_SIZE_MAXIMUM_BYTES = 8 * 1024 * 1024
SCAN_CHUNK_BYTES = 64 * 1024
FILES_MAXIMUM = 64

Paper = TypeVar("Paper", bound=BaseModel)


class DocumentError(ValueError):
    """A folder or a document that cannot be used; the message names it and the way out, in one line."""


@dataclass(frozen=True, slots=True)
class FileDigest:
    """What a file holds, without holding it: SHA-256 in hexadecimal and size."""

    sha256: str
    size_bytes: int


class VendorFolder:
    """An open folder. All reads go through its descriptor, so that swapping the path midway changes nothing."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def read_paper(self, name: str, model: type[Paper]) -> tuple[Paper, FileDigest] | None:
        """Return the paper in the file `name` and the file's digest; None where there is no such file.

        Raises:
            DocumentError: it is no plain file, too large, or not written as `model` says.
        """
        data = bytearray()
        digest = self._digest(name, PAPER_SIZE_MAXIMUM_BYTES, data)
        if digest is None:
            return None
        try:
            return model.model_validate_json(bytes(data)), digest
        except ValidationError as error:
            raise DocumentError(f"{self._path / name}: {_first_fault(error)}; correct the file and try again") from None

    def digest_scan(self, name: str) -> FileDigest | None:
        """Return the digest of the scan `name`, read in chunks; None where there is no such file.

        Raises:
            DocumentError: it is no plain file or too large.
        """
        return self._digest(name, SCAN_SIZE_MAXIMUM_BYTES, None)

    def _digest(self, name: str, size_maximum_bytes: int, into: bytearray | None) -> FileDigest | None:
        hashed, size_bytes = hashlib.sha256(), 0
        with self._opened(name) as descriptor:
            if descriptor is None:
                return None
            while chunk := self._read(descriptor, name):
                size_bytes += len(chunk)
                if size_bytes > size_maximum_bytes:
                    raise DocumentError(
                        f"{self._path / name}: larger than {size_maximum_bytes} bytes; hand in a smaller file"
                    )
                hashed.update(chunk)
                if into is not None:
                    into.extend(chunk)
        return FileDigest(hashed.hexdigest(), size_bytes)

    def _read(self, descriptor: int, name: str) -> bytes:
        try:
            return os.read(descriptor, SCAN_CHUNK_BYTES)
        except OSError as error:
            raise DocumentError(
                f"{self._path / name}: cannot be read ({error.strerror}); hand in a copy that can"
            ) from None

    @contextmanager
    def _opened(self, name: str) -> Iterator[int | None]:
        if name in {"", ".", ".."} or "/" in name or "\0" in name:
            raise DocumentError(f"{name!r} is no plain file name; name a file in {self._path}")
        # Non-blocking, else a named pipe in the folder would hold us for ever.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(name, flags, dir_fd=self._descriptor)
        except FileNotFoundError:
            yield None
            return
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise DocumentError(
                    f"{self._path / name}: a symbolic link; put the file itself into the folder"
                ) from None
            raise DocumentError(
                f"{self._path / name}: cannot be read ({error.strerror}); make it readable and try again"
            ) from None
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise DocumentError(f"{self._path / name}: not a plain file; put the file itself into the folder")
            yield descriptor
        finally:
            os.close(descriptor)


@contextmanager
def open_folder(path: Path) -> Iterator[VendorFolder]:
    """Open a vendor's folder.

    Raises:
        DocumentError: there is no such folder, it cannot be read, or it holds more than `FILES_MAXIMUM` files.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise DocumentError(
            f"{path}: the vendor's folder cannot be read ({reason}); name a folder with --input vendor_dir=PATH"
        ) from None
    try:
        with os.scandir(descriptor) as entries:
            for count, _ in enumerate(entries, start=1):
                if count > FILES_MAXIMUM:
                    raise DocumentError(
                        f"{path}: more than {FILES_MAXIMUM} files; leave only the vendor's papers there"
                    )
        yield VendorFolder(path, descriptor)
    finally:
        os.close(descriptor)


def _first_fault(error: ValidationError) -> str:
    """Say where and what, never the value: it may be an account number."""
    fault = error.errors(include_input=False, include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in fault["loc"])
    message = " ".join(fault["msg"].removeprefix("Value error, ").split())[:200]
    return f"{where}: {message}" if where else message
