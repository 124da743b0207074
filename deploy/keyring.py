"""The key ring: a file of keys, kept beside the store and never in it, that wrap the keys of its workflows.

    {"format": "handrail.keys.v1", "current": "k2", "keys": {"k1": "…", "k2": "…"}}

Keys are 32 bytes in Base64. The file is readable by its owner alone, and refused otherwise. A process reads it again,
once for each time it was changed, before it wraps a new key and where it meets one that it does not know: so keys may
be added while it runs, and none is used that has left the ring.

Payloads are encrypted with AES-256 in GCM, with a nonce of 96 random bits each; texts that must come out equal with
AES-SIV. The package `cryptography` is an extra, `handrail[encryption]`, and imported only where a ring is named.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import os
import re
import stat
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from deploy.settings import Settings
from deploy.whole_files import whole_file
from domain.errors import InputInvalid
from domain.store.covers import KEY_BYTES, Cipher, Covers

_log: Final = logging.getLogger("handrail.deploy")

FORMAT: Final = "handrail.keys.v1"
RING_BYTES: Final = 64 * 1024
"""Most bytes of a ring."""
MOST_KEYS: Final = 100
INSTALL: Final = "install handrail[encryption], which brings the package cryptography"

_NONCE_BYTES: Final = 12
_NUMBERED: Final = re.compile(r"k([0-9]{1,9})")
_KEY_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Gcm:
    """AES-256 in GCM. The nonce is random: a payload decided again after a failed save would meet a counted one."""

    def __init__(self, key: bytes) -> None:
        """`key` is 32 bytes."""
        self._aead = _aead().AESGCM(key)

    def encrypt(self, data: bytes, about: bytes) -> bytes:
        """The nonce, and behind it what it encrypts."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + bytes(self._aead.encrypt(nonce, data, about))

    def decrypt(self, data: bytes, about: bytes) -> bytes:
        """The data; raises ValueError where it does not open."""
        try:
            return bytes(self._aead.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], about))
        except _invalid_tag() as error:
            raise ValueError("it does not open with this key") from error


class Siv:
    """AES-256-SIV: the same text under the same key comes out the same."""

    def __init__(self, key: bytes) -> None:
        """`key` is 64 bytes."""
        self._aead = _aead().AESSIV(key)

    def encrypt(self, data: bytes, about: bytes) -> bytes:
        """What only the same key opens."""
        return bytes(self._aead.encrypt(data, [about]))

    def decrypt(self, data: bytes, about: bytes) -> bytes:
        """The data; raises ValueError where it does not open."""
        try:
            return bytes(self._aead.decrypt(data, [about]))
        except _invalid_tag() as error:
            raise ValueError("it does not open with this key") from error


class RingFile:
    """The ring in a file; the port `KeyRing`."""

    def __init__(self, path: Path) -> None:
        """Read it. Raises InputInvalid, which says nothing of what the file holds."""
        _aead()
        self.path = path
        self._read_of: tuple[int, int] = (0, 0)
        self._keys: dict[str, bytes] = {}
        self._current = ""
        self.read()

    @property
    def current(self) -> str:
        """Id of the key that wraps new ones, as the file says now: nothing is put under a key that is leaving."""
        self._look()
        return self._current

    def wrapping(self, key_id: str) -> Cipher | None:
        """What wraps with a key of the ring; a file that was changed is read again for one that is not known."""
        if key_id not in self._keys:
            self._look()
        key = self._keys.get(key_id)
        return None if key is None else Gcm(key)

    def payloads(self, key: bytes) -> Cipher:
        """What covers payloads with a workflow's key."""
        return Gcm(key)

    def texts(self, key: bytes) -> Cipher:
        """What covers texts with a key, from which its own is derived."""
        return Siv(hmac.new(key, b"handrail texts 1", hashlib.sha512).digest())

    def read(self) -> None:
        """Read the file as it is now."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
            with os.fdopen(descriptor, "rb") as file:
                found = os.fstat(descriptor)
                content = file.read(RING_BYTES + 1)
        except OSError as error:
            raise InputInvalid(f"key ring {self.path}: cannot be read: {error.strerror or error}") from error
        if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise InputInvalid(
                f"key ring {self.path}: others than its owner may use it; `chmod 600 {self.path}`, and think of "
                "whether they have read it"
            )
        self._current, self._keys = _parsed(self.path, content)
        self._read_of = found.st_mtime_ns, found.st_ino

    def add(self) -> str:
        """Add a new key, which is the current one from then on; its id."""
        self.read()
        if len(self._keys) >= MOST_KEYS:
            raise InputInvalid(f"key ring {self.path}: has {len(self._keys)} keys; take out what nothing is under")
        numbers = [int(found[1]) for name in self._keys if (found := _NUMBERED.fullmatch(name))]
        key_id = f"k{max(numbers, default=0) + 1}"
        _write(self.path, key_id, {**self._keys, key_id: os.urandom(KEY_BYTES)}, replace=True)
        self.read()
        return key_id

    def _look(self) -> None:
        """Read a file that was changed since; where that does not do, go on with the keys that are known."""
        try:
            found = self.path.stat()
        except OSError:
            return
        if (now := (found.st_mtime_ns, found.st_ino)) == self._read_of:
            return
        try:
            self.read()
        except InputInvalid as error:
            self._read_of = now
            _log.warning("the keys known before stay in use: %s", error)


def new_ring(path: Path) -> str:
    """Make a ring with one key; its id. Raises InputInvalid where there is something at `path`."""
    _write(path, "k1", {"k1": os.urandom(KEY_BYTES)}, replace=False)
    return "k1"


def covers_of(settings: Settings) -> Covers | None:
    """What covers payloads, where the settings name a key ring. Raises InputInvalid."""
    return None if settings.encryption_keys is None else Covers(RingFile(settings.encryption_keys))


def _write(path: Path, current: str, keys: dict[str, bytes], *, replace: bool) -> None:
    document = {
        "format": FORMAT,
        "current": current,
        "keys": {name: base64.b64encode(key).decode() for name, key in keys.items()},
    }
    with whole_file(path, replace=replace) as file:
        file.write(json.dumps(document, indent=2).encode() + b"\n")


def _parsed(path: Path, content: bytes) -> tuple[str, dict[str, bytes]]:
    wrong = f"key ring {path}: "
    if len(content) > RING_BYTES:
        raise InputInvalid(f"{wrong}is larger than {RING_BYTES:,} bytes: that is no key ring")
    try:
        document: Any = json.loads(content)
        if document["format"] != FORMAT:
            raise InputInvalid(f"{wrong}is not of the format {FORMAT}")
        named = dict(document["keys"])
        keys = {name: base64.b64decode(text, validate=True) for name, text in named.items()}
        current = str(document["current"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputInvalid(f"{wrong}is no key ring; `handrail keys new -o FILE` makes one") from error
    for name, key in keys.items():
        if _KEY_ID.fullmatch(name) is None:
            raise InputInvalid(f"{wrong}{name[:80]!r} is no name of a key: letters, digits, '_', '.', '-', at most 64")
        if len(key) != KEY_BYTES:
            raise InputInvalid(f"{wrong}key {name!r} has {len(key)} bytes, not {KEY_BYTES}")
    if current not in keys:
        raise InputInvalid(f"{wrong}calls {current[:80]!r} the current key, and has no such key")
    return current, keys


def check_package() -> None:
    """Raise InputInvalid, saying what to install, where what encrypts is not there."""
    _aead()


def _aead() -> ModuleType:
    try:
        from cryptography.hazmat.primitives.ciphers import aead  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise InputInvalid(f"encryption needs a package that is not there; {INSTALL}") from error
    return aead


def _invalid_tag() -> type[Exception]:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra, and it is there

    return InvalidTag
