"""Errors as they travel: problem details (RFC 9457), one shape for every error, whoever raised it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from deploy.http.desk import KeyReused
from domain.errors import (
    BrokerError,
    HandrailError,
    InputInvalid,
    MessageUnfit,
    PayloadWithheld,
    Refused,
    StoreUnavailable,
    WorkflowArchived,
    WorkflowConflict,
    WorkflowUnknown,
)

_log: Final = logging.getLogger("handrail.http")

TYPE: Final = "urn:handrail:problem:"
RETRY_AFTER_SECONDS: Final = 5


class Problem(Exception):
    """An answer that is an error: its status, short name and text, and what else it says."""

    def __init__(
        self,
        status: int,
        name: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        """`name` tells machines what is wrong, `detail` tells people, and what to do."""
        super().__init__(detail)
        self.status = status
        self.name = name
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more

    def response(self) -> Response:
        """As it is sent."""
        content = {
            "type": TYPE + self.name,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            **self.more,
        }
        return JSONResponse(
            content, status_code=self.status, headers=self.headers, media_type="application/problem+json"
        )


def problem_of(error: Exception) -> Problem:
    """What an error is to whoever asked. What is not theirs to know stays in the log."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        return _problem_of_router(error)
    if isinstance(error, KeyReused):
        return Problem(422, "key-reused", str(error))
    if isinstance(error, StoreUnavailable | BrokerError):
        _log.warning("an answer was not possible: %s", error)
        what = "store" if isinstance(error, StoreUnavailable) else "broker"
        return Problem(
            503,
            f"{what}-unavailable",
            f"the {what} cannot do it now; ask again, with the same Idempotency-Key",
            headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
        )
    if isinstance(error, HandrailError):
        return _problem_of_refusal(error)
    _log.error("an answer failed: %s", type(error).__name__, exc_info=error)
    return Problem(500, "internal", "something went wrong here, and is in the log; asking again may help")


def _gone(error: HandrailError) -> Problem | None:
    """Of what was there. Not where to, nor why: whoever may look at workflows need not know."""
    if isinstance(error, WorkflowArchived):
        return Problem(410, "archived", "this workflow is over, and was archived: its history is in a file")
    if isinstance(error, PayloadWithheld):
        return Problem(410, "erased", "what this workflow was about was erased: its events' headers are left")
    return None


def _problem_of_refusal(error: HandrailError) -> Problem:
    gone = _gone(error)
    if gone is not None or isinstance(error, WorkflowUnknown):
        return gone or Problem(404, "no-such-workflow", "there is no workflow with this id")
    if isinstance(error, WorkflowConflict):
        return Problem(409, "conflict", str(error))
    if isinstance(error, MessageUnfit):
        return Problem(422, "unfit", str(error), fault=error.fault)
    if isinstance(error, InputInvalid) or type(error).__name__ == "DefinitionUnknown":
        return Problem(422, "unfit", str(error))
    if isinstance(error, Refused):
        return Problem(409, "refused", str(error), recorded=False)
    _log.error("an answer failed: %s", error, exc_info=error)
    return Problem(500, "internal", "the record cannot be used as it is; the log says more")


def _problem_of_router(error: HTTPException) -> Problem:
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.NOT_FOUND:
        return Problem(404, "no-such-place", "there is nothing at this path", headers=headers)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = headers.get("Allow", "")
        return Problem(405, "wrong-method", f"this path takes {allowed}", headers=headers)
    return Problem(error.status_code, "http", str(error.detail), headers=headers)
