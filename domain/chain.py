"""The chain of digests: order and integrity of one workflow's events, provable from the stored bytes alone.

An event's digest = SHA-256(header ‖ preceding digest ‖ payload digest). The payload digest is over the payload's bytes
as first encoded, except that a value at a redactable path enters as SHA-256(salt ‖ value), with
salt = HMAC(key of the workflow, path ‖ version): a payload whose marked values were cut out still verifies.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import rfc8785

from domain.errors import InputInvalid

GENESIS: Final = "0" * 64
REDACTED: Final = "$redacted"
LARGEST_INTEGER: Final = 2**53 - 1


def canonical(value: Any) -> bytes:
    """Canonical JSON (RFC 8785). Raises InputInvalid for integers beyond ±(2^53−1), NaN, infinities and other types."""
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, RecursionError, UnicodeEncodeError) as error:
        raise InputInvalid(f"the value has no canonical JSON form: {error}") from error


def digest_of(value: Any) -> str:
    """SHA-256, in hex, of a value's canonical JSON."""
    return hashlib.sha256(canonical(value)).hexdigest()


def link(header: bytes, preceding: str, payload_digest: str) -> str:
    """Digest of one event, in hex."""
    return hashlib.sha256(b"%b\n%b\n%b" % (header, preceding.encode(), payload_digest.encode())).hexdigest()


Key = bytes | Mapping[str, str]
"""What salts come of: the key of a workflow, or, where that is not known, one event's salts, in hex, by pointer."""


def payload_digest(payload: bytes, *, redactable: Sequence[str] = (), key: Key = b"", version: int = 0) -> str:
    """Digest of a payload, in hex; `redactable` holds the JSON pointers of the values that enter by their salted hash.

    Without redactable paths it is the SHA-256 of the bytes themselves.
    """
    if not redactable:
        return hashlib.sha256(payload).hexdigest()
    return hashlib.sha256(redact(payload, redactable=redactable, key=key, version=version)).hexdigest()


def salt_of(key: Key, pointer: str, version: int) -> bytes:
    """What is hashed before the marked value at a pointer, so that nobody finds the value by trying.

    Of known salts, one that is lacking is empty, which gives another digest.
    """
    if not isinstance(key, bytes):
        return bytes.fromhex(key.get(pointer, ""))
    return hmac.new(key, f"{pointer}\n{version}".encode(), hashlib.sha256).digest()


def seal(value: Any, salt: bytes) -> dict[str, str]:
    """What stands in a digest, and in a redacted payload, for a marked value. A sealed value is left as it is."""
    if is_sealed(value):
        return dict(value)
    return {REDACTED: hashlib.sha256(salt + canonical(value)).hexdigest()}


def is_sealed(value: Any) -> bool:
    """Whether a value was cut out, and this stands for it."""
    return isinstance(value, Mapping) and set(value) == {REDACTED}


def redact(payload: bytes, *, redactable: Sequence[str], key: Key, version: int) -> bytes:
    """The payload with its marked values cut out; its payload digest stays the same."""
    document = json.loads(payload)
    for container, name, pointer in marked_places(document, redactable):
        if not is_sealed(container[name]):
            container[name] = seal(container[name], salt_of(key, pointer, version))
    return canonical(document)


def marked_places(document: Any, redactable: Sequence[str]) -> Iterator[tuple[Any, Any, str]]:
    """Where in a payload the marked values are: what holds each, its name or number in there, and its pointer.

    The pointers are those of RFC 6901, without escapes; in `redactable` `*` stands for every element, while those
    returned are of the way really walked, so that equal values in a list have different digests. Nulls are no values.
    """
    for pointer in redactable:
        yield from _places(document, pointer.strip("/").split("/"), "")


def _places(place: Any, way: Sequence[str], walked: str) -> Iterator[tuple[Any, Any, str]]:
    part, *rest = way
    if isinstance(place, dict):
        names: Sequence[Any] = list(place) if part == "*" else [part]
    elif isinstance(place, list) and part == "*":
        names = range(len(place))
    else:
        return
    for name in names:
        if isinstance(place, dict) and place.get(name) is None:
            continue
        pointer = f"{walked}/{name}"
        if rest:
            yield from _places(place[name], rest, pointer)
        else:
            yield place, name, pointer
