"""Addresses with a password in them, taken apart; and what of them everybody may read.

A password that holds "/", "?" or "#" as it is ends the part of the address that it belongs to, and its rest counts as
path, query or fragment. The "@" that was to end it then stands in one of these, and none is allowed there. Of two "@"
before the host, readers differ on which one ends the password.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit, urlunsplit

from domain.errors import InputInvalid


def taken_apart(url: str, what: str, example: str) -> SplitResult:
    """The parts of an address.

    Raises InputInvalid where it has none, or where a part of its password would count as something else; `what` and
    `example` are words of its message, which repeats nothing of the address.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # its words would repeat the address, with the password in it
        raise InputInvalid(f"{what} is no address: write it as {example}, special characters as %-codes") from None
    if url.count("@") > 1 or "@" in parts.path + parts.query + parts.fragment:
        raise InputInvalid(
            f"{what} has an @ where none can be: write it as {example}, and special characters as %-codes, in its "
            "password too (@ is %40, / is %2F, ? is %3F, # is %23, : is %3A)"
        )
    return parts


def without_password(parts: SplitResult) -> str:
    """The address as it is shown: without password and parameters."""
    user, _, place = parts.netloc.rpartition("@")
    name = user.partition(":")[0]
    return urlunsplit((parts.scheme, f"{name}@{place}" if name else place, parts.path, "", ""))
