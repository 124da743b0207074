"""Workflows: one looked at, and what an operator does to it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.http.answers import answered
from deploy.http.auth import Endpoint, Gate, Right
from deploy.http.bodies import body_of, digest_of_body, message_id_of, read_object
from deploy.http.desk import Act, Desk
from deploy.http.documents import workflow_document
from deploy.http.problems import Problem
from deploy.tokens import Bearer
from domain.ids import is_name
from domain.messages.bodies import CONTROLS, Control
from domain.messages.names import BODY_BYTES


class Workflows:
    """The endpoints for workflows."""

    def __init__(self, desk: Desk, gate: Gate) -> None:
        """`desk` knows and decides."""
        self._desk = desk
        self._gate = gate

    def routes(self) -> list[Route]:
        """Where they are: one for each verb of an operator."""
        return [
            Route("/workflows/{workflow_id}", self._gate.guard(Right.LOOK, self.show), methods=["GET"]),
            *(
                Route(
                    f"/workflows/{{workflow_id}}/{verb}",
                    self._gate.guard(Right.OPERATE, self._operating(model)),
                    methods=["POST"],
                )
                for verb, model in CONTROLS.items()
            ),
        ]

    async def show(self, request: Request, _: Bearer) -> Response:
        """`GET /workflows/{id}`."""
        state = await self._desk.workflow(_workflow_id(request))
        return JSONResponse(workflow_document(state))

    def _operating(self, model: type[Control]) -> Endpoint:
        async def operate(request: Request, bearer: Bearer) -> Response:
            workflow_id = _workflow_id(request)
            given = await read_object(request, most_bytes=BODY_BYTES)
            body, ignored = body_of(model, given, {"workflow_id": workflow_id, "by": bearer.name})
            state = await self._desk.workflow(workflow_id)
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

        return operate


def _workflow_id(request: Request) -> str:
    workflow_id: str = request.path_params["workflow_id"]
    if not is_name(workflow_id):
        raise Problem(404, "no-such-workflow", "there is no workflow with this id")
    return workflow_id
