"""Who asks, and what they may do: bearer tokens (RFC 6750), and the table of rights.

Roles are not a ladder: an operator who may cancel a workflow may not, for that, approve its payments. A token that is
to do several things has several roles.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from deploy.http.problems import Problem
from deploy.roles import Role
from deploy.tokens import Bearer

_log: Final = logging.getLogger("handrail.http")

_BEARER: Final = re.compile(r"(?i:bearer) +([\x21-\x7e]{1,200})")

FAILURES_TOLD: Final = 10
FAILURES_SECONDS: Final = 60.0


class Right(StrEnum):
    """What an endpoint asks for."""

    LOOK = "look"
    REQUEST = "request"
    DECIDE = "decide"
    OPERATE = "operate"


RIGHTS: Final[dict[Role, frozenset[Right]]] = {
    Role.VIEWER: frozenset({Right.LOOK}),
    Role.REQUESTER: frozenset({Right.LOOK, Right.REQUEST}),
    Role.APPROVER: frozenset({Right.LOOK, Right.DECIDE}),
    Role.OPERATOR: frozenset({Right.LOOK, Right.OPERATE}),
}

FindBearer = Callable[[str], Awaitable[Bearer | None]]
"""Who bears a token; None where it does not count. Raises StoreUnavailable."""

Endpoint = Callable[[Request, Bearer], Awaitable[Response]]


class FailureLog:
    """Tells of failed attempts to get in, a few a minute and a count of the rest: nobody fills the log from outside."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds; only their difference counts."""
        self._clock = clock
        self._begun = clock()
        self._told = 0
        self._untold = 0

    def tell(self, what: str, request: Request) -> None:
        """Tell of one, without what was given for a token."""
        now = self._clock()
        if now - self._begun >= FAILURES_SECONDS:
            if self._untold:
                _log.warning("%d further requests were turned away", self._untold)
            self._begun, self._told, self._untold = now, 0, 0
        if self._told < FAILURES_TOLD:
            self._told += 1
            client = request.client.host if request.client is not None else "somewhere"
            _log.warning("a request from %s was turned away: %s", client, what)
        else:
            self._untold += 1


class Gate:
    """Lets through who may."""

    def __init__(self, find: FindBearer, failures: FailureLog | None = None) -> None:
        """`find` knows the tokens."""
        self._find = find
        self._failures = failures or FailureLog()

    def guard(self, right: Right, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint for those who have a right."""

        async def guarded(request: Request) -> Response:
            bearer = await self._bearer(request)
            request.state.bearer = bearer.name
            if not any(right in RIGHTS[role] for role in bearer.roles):
                self._failures.tell(f"{bearer.name} has no role that may {right}", request)
                able = " or ".join(role for role in Role if right in RIGHTS[role])
                raise Problem(
                    403,
                    "not-allowed",
                    f"this asks for the role {able}, which the token of {bearer.name} does not have",
                    headers={"WWW-Authenticate": 'Bearer realm="handrail", error="insufficient_scope"'},
                )
            return await endpoint(request, bearer)

        return guarded

    async def _bearer(self, request: Request) -> Bearer:
        given = request.headers.getlist("authorization")
        if not given:
            raise _unauthorized("send a token: Authorization: Bearer …")
        match = _BEARER.fullmatch(given[0]) if len(given) == 1 else None
        bearer = await self._find(match[1]) if match is not None else None
        if bearer is None:
            self._failures.tell("its token is unknown, revoked or expired", request)
            raise _unauthorized("the token is unknown, revoked or expired", error="invalid_token")
        return bearer


def _unauthorized(detail: str, *, error: str = "") -> Problem:
    challenge = 'Bearer realm="handrail"' + (f', error="{error}"' if error else "")
    return Problem(401, "not-authenticated", detail, headers={"WWW-Authenticate": challenge})
