"""Goals: one handed in, answered with the id of its workflow."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.http.auth import Gate, Right
from deploy.http.bodies import body_of, digest_of_body, message_id_of, read_object
from deploy.http.desk import Desk, Goal
from deploy.http.documents import workflow_path
from deploy.tokens import Bearer
from domain.messages import bodies
from domain.messages.names import GOAL_BODY_BYTES


class Goals:
    """The endpoint for goals."""

    def __init__(self, desk: Desk, gate: Gate) -> None:
        """`desk` takes them."""
        self._desk = desk
        self._gate = gate

    def routes(self) -> list[Route]:
        """Where it is."""
        return [Route("/goals", self._gate.guard(Right.REQUEST, self.submit), methods=["POST"])]

    async def submit(self, request: Request, bearer: Bearer) -> Response:
        """`POST /goals`: 202, with the id that the workflow has or will have; the requester is the token's."""
        given = await read_object(request, most_bytes=GOAL_BODY_BYTES)
        body, ignored = body_of(bodies.Goal, given, {"requested_by": bearer.name})
        message_id = message_id_of(request, bearer)
        accepted = await self._desk.submit(
            Goal(
                message_id=message_id,
                digest=digest_of_body(body),
                goal=body.goal,
                requested_by=bearer.name,
                definition=body.definition,
                input=body.input,
                tags=body.tags,
                deadline=body.deadline,
            )
        )
        return JSONResponse(
            {
                "workflow_id": accepted.workflow_id,
                "outcome": "stored" if accepted.stored else "sent",
                "message_id": message_id,
                "repeated": accepted.repeated,
                "workflow": workflow_path(accepted.workflow_id),
                "ignored": ignored,
            },
            status_code=202,
            headers={"Location": workflow_path(accepted.workflow_id)},
        )
