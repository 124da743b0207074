"""Ed25519 signatures of exports: keys as PEM files, as `openssl genpkey -algorithm ed25519` makes them.

The package `cryptography` is an extra, `handrail[signing]`, and imported only where a key is named. A key's id is the
SHA-256, in hex, of its public half as 32 bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from domain.errors import InputInvalid

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

KEY_BYTES: Final = 64 * 1024
"""Most bytes of a key file."""

INSTALL: Final = "install handrail[signing], which brings the package cryptography"


class SigningKey(NamedTuple):
    """What signs: the id of its public half, and what makes the signature of some bytes."""

    key_id: str
    sign: Callable[[bytes], bytes]


def signing_key(path: Path) -> SigningKey:
    """The private key of a PEM file; raises InputInvalid, which says nothing of what the file holds."""
    serialization, ed25519 = _cryptography("--sign")
    try:
        key: Any = serialization.load_pem_private_key(_content(path, "--sign"), password=None)
    except (ValueError, TypeError) as error:
        raise InputInvalid(
            f"--sign {path}: is no private key as PEM without a password; "
            "`openssl genpkey -algorithm ed25519 -out FILE` makes one"
        ) from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise InputInvalid(f"--sign {path}: is a key of another kind than Ed25519")
    return SigningKey(_key_id(key.public_key()), key.sign)


def signature_check(path: Path) -> Callable[[str, bytes, bytes], bool] | None:
    """What checks signatures by the public key of a PEM file; None where the package for it is not installed.

    Raises InputInvalid for what is no public key.
    """
    content = _content(path, "--key")
    try:
        serialization, ed25519 = _cryptography("--key")
    except InputInvalid:
        return None
    try:
        key: Any = serialization.load_pem_public_key(content)
    except (ValueError, TypeError) as error:
        raise InputInvalid(
            f"--key {path}: is no public key as PEM; `openssl pkey -in PRIVATE -pubout -out FILE` makes one"
        ) from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise InputInvalid(f"--key {path}: is a key of another kind than Ed25519")
    key_id = _key_id(key)

    def holds(named: str, signed: bytes, signature: bytes) -> bool:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - an extra, and it is there

        try:
            key.verify(signature, signed)
        except InvalidSignature:
            return False
        return named == key_id

    return holds


def _cryptography(option: str) -> tuple[ModuleType, ModuleType]:
    try:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise InputInvalid(f"{option}: signatures need a package that is not there; {INSTALL}") from error
    return serialization, ed25519


def _key_id(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def _content(path: Path, option: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(KEY_BYTES + 1)
    except OSError as error:
        raise InputInvalid(f"{option} {path}: cannot be read: {error.strerror or error}") from error
    if len(content) > KEY_BYTES:
        raise InputInvalid(f"{option} {path}: is larger than {KEY_BYTES:,} bytes: that is no key")
    return content
