"""Approvals: the pending ones, and a person's decision on one."""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.http.answers import answered
from deploy.http.auth import Gate, Right
from deploy.http.bodies import body_of, digest_of_body, message_id_of, read_object
from deploy.http.desk import Act, Desk
from deploy.http.documents import approval_document
from deploy.http.problems import Problem
from deploy.tokens import Bearer
from domain.ids import is_name
from domain.messages.bodies import Approval
from domain.messages.names import BODY_BYTES, NAME_CHARACTERS

PAGE: Final = 50
LARGEST_PAGE: Final = 200
PLACE_CHARACTERS: Final = 256

_ROUND: Final = re.compile("[1-9][0-9]{0,5}")


class Approvals:
    """The endpoints for approvals."""

    def __init__(self, desk: Desk, gate: Gate) -> None:
        """`desk` knows and decides."""
        self._desk = desk
        self._gate = gate

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/approvals", self._gate.guard(Right.LOOK, self.list), methods=["GET"]),
            Route(
                "/workflows/{workflow_id}/approvals/{approval_id}",
                self._gate.guard(Right.DECIDE, self.decide),
                methods=["POST"],
            ),
        ]

    async def list(self, request: Request, bearer: Bearer) -> Response:
        """`GET /approvals?definition=&limit=&after=`."""
        definition = request.query_params.get("definition")
        after = request.query_params.get("after", "")
        if (
            len(after) > PLACE_CHARACTERS
            or len(definition or "") > NAME_CHARACTERS
            or "\x00" in after + str(definition)
        ):
            raise Problem(422, "query-unfit", "`after` is what the page before named, `definition` a definition's name")
        page = await self._desk.pending(definition=definition, after=after, limit=_limit(request))
        return JSONResponse(
            {
                "approvals": [approval_document(one, bearer) for one in page.approvals],
                "after": page.after,
                "unreadable": page.unreadable,
                "behind": page.behind,
            }
        )

    async def decide(self, request: Request, bearer: Bearer) -> Response:
        """`POST /workflows/{id}/approvals/{approval_id}`: the decider is the token's, whatever the body says."""
        workflow_id = request.path_params["workflow_id"]
        approval_id = request.path_params["approval_id"]
        given = await read_object(request, most_bytes=BODY_BYTES)
        step, _, number = approval_id.rpartition(".")
        state = await self._desk.workflow(workflow_id) if is_name(workflow_id) else None
        if state is None or not state.knows(step) or not _ROUND.fullmatch(number):
            raise Problem(404, "no-such-approval", "there is no such approval")
        fixed = {
            "workflow_id": workflow_id,
            "approval_id": approval_id,
            "round": int(number),
            "decided_by": bearer.name,
        }
        body, ignored = body_of(Approval, given, fixed)
        if body.decision == "reject" and not body.reason.strip():
            raise Problem(422, "body-unfit", "reason: say why, for whoever reads the history")
        act = Act(
            message_id_of(request, bearer),
            digest_of_body(body),
            workflow_id,
            state.definition,
            state.version,
            body.trigger(),
            bearer.name,
        )
        return answered(await self._desk.act(act), ignored)


def _limit(request: Request) -> int:
    given = request.query_params.get("limit", str(PAGE))
    if not (given.isascii() and given.isdigit() and len(given) <= 4 and 0 < int(given) <= LARGEST_PAGE):  # noqa: PLR2004 - longer numbers are not read
        raise Problem(422, "query-unfit", f"`limit` is a number from 1 to {LARGEST_PAGE}")
    return int(given)
