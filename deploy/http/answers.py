"""How what became of an act is answered: done 200, not decided yet 202, refused 409 with the recorded reason."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import JSONResponse, Response

from deploy.http.desk import Answer
from deploy.http.documents import answer_document, workflow_path
from deploy.http.problems import Problem


def answered(answer: Answer, ignored: Sequence[str]) -> Response:
    """The response; raises Problem 409 for a refusal."""
    if answer.outcome == "refused":
        raise Problem(
            409,
            "refused",
            answer.reason,
            recorded=True,
            workflow_id=answer.workflow_id,
            workflow_status=answer.status,
            repeated=answer.repeated,
        )
    content = {**answer_document(answer), "ignored": list(ignored)}
    status = 202 if answer.outcome == "sent" else 200
    return JSONResponse(content, status_code=status, headers={"Content-Location": workflow_path(answer.workflow_id)})
