"""Tokens of the HTTP endpoint: who somebody is, and what they may do. Made by an administrator, kept in the store.

A token is shown once and stored as its SHA-256. No slow hash is needed, as passwords need one: the secret part is 256
bits of chance, so that nobody who reads the table can guess a token, however fast the hash is; and a fast one lets
every request be checked against the store, so that a revoked token ends at once.

A token begins with an id that is no secret: by it the row is found, and the comparison of the digests takes the same
time whatever was given.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from deploy.roles import Role
from domain.errors import InputInvalid
from domain.ports import Cursor, Transactions

TOKENS_SCHEMA: Final[tuple[str, ...]] = (
    """CREATE TABLE IF NOT EXISTS tokens (
        token_id TEXT PRIMARY KEY, name TEXT NOT NULL, roles TEXT NOT NULL, digest TEXT NOT NULL,
        created_by TEXT NOT NULL, created_at DOUBLE PRECISION NOT NULL, expires_at DOUBLE PRECISION,
        revoked_at DOUBLE PRECISION, revoked_by TEXT)""",
)
"""Instants are seconds since 1970 by the database's clock."""

LONGEST: Final = timedelta(days=3_660)
MOST_LISTED: Final = 10_000
NAME_CHARACTERS: Final = 200

_ID_BYTES: Final = 5
_SECRET_BYTES: Final = 32
_TOKEN: Final = re.compile(r"hrt_([a-z2-7]{8})_([A-Za-z0-9_-]{43})")
_COLUMNS: Final = "token_id, name, roles, created_by, created_at, expires_at, revoked_at, revoked_by"
_NO_DIGEST: Final = "0" * 64


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who a request is from."""

    name: str
    roles: frozenset[Role]
    token_id: str


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token as it may be shown: all but its secret, and whether it still counts."""

    token_id: str
    name: str
    roles: tuple[Role, ...]
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None
    state: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "token": self.token_id,
            "name": self.name,
            "roles": [str(role) for role in self.roles],
            "state": self.state,
            "created_by": self.created_by,
            "created_at": self.created_at.isoformat(),
            "expires_at": None if self.expires_at is None else self.expires_at.isoformat(),
            "revoked_at": None if self.revoked_at is None else self.revoked_at.isoformat(),
            "revoked_by": self.revoked_by,
        }


def create_token(
    store: Transactions, *, name: str, roles: Collection[Role], created_by: str, expires_in: timedelta | None = None
) -> tuple[str, TokenRow]:
    """Make a token: its text, which is told nowhere else, and its row. Raises InputInvalid, StoreUnavailable."""
    check_new(name, roles, expires_in)
    token_id = base64.b32encode(secrets.token_bytes(_ID_BYTES)).decode().lower()
    text = f"hrt_{token_id}_{base64.urlsafe_b64encode(secrets.token_bytes(_SECRET_BYTES)).decode().rstrip('=')}"
    ordered = tuple(role for role in Role if role in roles)
    with store.transaction() as cursor:
        now = cursor.now()
        expires_at = None if expires_in is None else now + expires_in.total_seconds()
        cursor.execute(
            "INSERT INTO tokens (token_id, name, roles, digest, created_by, created_at, expires_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (token_id, name, ",".join(ordered), digest_of_token(text), created_by, now, expires_at),
        )
    return text, _row((token_id, name, ",".join(ordered), created_by, now, expires_at, None, None), now)


def find_bearer(store: Transactions, text: str) -> Bearer | None:
    """Who bears a token; None where it is none of ours, has expired or was revoked. Raises StoreUnavailable."""
    given = _TOKEN.fullmatch(text)
    if given is None:  # nothing that the store would have to be asked about
        return None
    with store.reading() as cursor:
        rows = cursor.query(
            "SELECT name, roles, digest, expires_at, revoked_at FROM tokens WHERE token_id = ?", (given[1],)
        )
        now = cursor.now()
    name, roles, digest, expires_at, revoked_at = rows[0] if rows else ("", "", _NO_DIGEST, None, None)
    same = hmac.compare_digest(digest_of_token(text), digest)
    if not same or revoked_at is not None or (expires_at is not None and expires_at <= now):
        return None
    return Bearer(name, frozenset(_roles(roles)), given[1])


def list_tokens(store: Transactions) -> list[TokenRow]:
    """The tokens, the newest first, MOST_LISTED at most. Raises StoreUnavailable."""
    with store.reading() as cursor:
        now = cursor.now()
        rows = cursor.query(
            f"SELECT {_COLUMNS} FROM tokens ORDER BY created_at DESC, token_id LIMIT {MOST_LISTED}"  # noqa: S608 - ours
        )
    return [_row(row, now) for row in rows]


def revoke_tokens(
    store: Transactions, *, revoked_by: str, token_id: str | None = None, name: str | None = None
) -> list[TokenRow]:
    """Revoke one token, or all of a name, for good: those that counted until now.

    Raises InputInvalid where there is no such token, StoreUnavailable.
    """
    where, value = ("token_id = ?", token_id) if token_id is not None else ("name = ?", name)
    with store.transaction() as cursor:
        # The write comes first: SQLite's BEGIN is deferred.
        now = cursor.now()
        cursor.execute(
            f"UPDATE tokens SET revoked_at = ?, revoked_by = ? WHERE {where} AND revoked_at IS NULL",  # noqa: S608 - ours
            (now, revoked_by, value),
        )
        rows = _select(cursor, where, value)
    if not rows:
        what = f"with the id {token_id!r}" if token_id is not None else f"of {name!r}"
        raise InputInvalid(f"there is no token {what}: `handrail token list` shows those there are")
    return [_row(row, now) for row in rows if row[6] == now]


def digest_of_token(text: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(text.encode()).hexdigest()


def _select(cursor: Cursor, where: str, value: str | None) -> list[tuple[Any, ...]]:
    return cursor.query(f"SELECT {_COLUMNS} FROM tokens WHERE {where} ORDER BY created_at DESC", (value,))  # noqa: S608 - ours


def check_new(name: str, roles: Collection[Role], expires_in: timedelta | None) -> None:
    """Raise InputInvalid where there can be no such token."""
    if not name.strip() or len(name) > NAME_CHARACTERS or not name.isprintable():
        raise InputInvalid(
            f"a token's name is who its bearer is: 1 to {NAME_CHARACTERS} characters on one line, for example alice"
        )
    if not roles:
        raise InputInvalid(f"token {name!r} has no role: give it one of {', '.join(Role)}")
    if expires_in is not None and not timedelta(0) < expires_in <= LONGEST:
        raise InputInvalid(f"a token expires within {LONGEST.days} days, and not before it is made")


def _roles(text: str) -> list[Role]:
    """The roles of a row; one that only a newer Handrail knows gives no right here."""
    known = {str(role): role for role in Role}
    return [known[word] for word in text.split(",") if word in known]


def _row(values: Sequence[Any], now: float) -> TokenRow:
    token_id, name, roles, created_by, created_at, expires_at, revoked_at, revoked_by = values
    state = "revoked" if revoked_at is not None else "expired" if expires_at and expires_at <= now else "valid"
    return TokenRow(
        token_id,
        name,
        tuple(_roles(roles)),
        created_by,
        _instant(created_at) or datetime.fromtimestamp(0, UTC),
        _instant(expires_at),
        _instant(revoked_at),
        revoked_by,
        state,
    )


def _instant(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
