"""Bodies of requests: read within a bound, held against the same models as the wire's messages.

What a person is, and which workflow is meant, comes from the token and the path: the body has no say in it, and fields
that it gives for it are ignored, like all that are unknown. Ignored ones are named in the answer, so that a misspelt
word does not pass for one that was understood.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request

from deploy.http.problems import Problem
from deploy.tokens import Bearer
from domain.chain import digest_of
from domain.errors import MessageUnfit
from domain.messages.bodies import Body
from domain.messages.names import Fault
from domain.messages.reading import check_body

KEY_CHARACTERS: Final = 255

_ID_CHARACTERS: Final = 26
_MALFORMED: Final = frozenset(
    {Fault.NOT_UTF8, Fault.NOT_JSON, Fault.TOO_DEEP, Fault.DUPLICATE_KEY, Fault.NUMBER_UNFIT, Fault.TEXT_UNFIT}
)

AnyBody = TypeVar("AnyBody", bound=Body)


async def read_object(request: Request, *, most_bytes: int) -> dict[str, Any]:
    """The JSON object of a request's body. Raises Problem 400, 413, 415 or 422."""
    _check_type(request)
    content = await _read(request, most_bytes)
    try:
        document: dict[str, Any] = check_body(content, most_bytes=most_bytes)
    except MessageUnfit as error:
        status = 400 if error.fault in _MALFORMED else 413 if error.fault == Fault.TOO_LARGE else 422
        raise Problem(status, "body-unfit", str(error), fault=error.fault) from error
    return document


def body_of(model: type[AnyBody], given: Mapping[str, Any], fixed: Mapping[str, Any]) -> tuple[AnyBody, list[str]]:
    """The body that was given, with what is not its sender's to say; and the names that were ignored.

    Raises Problem 422, which names every field that does not fit.
    """
    known = set(model.model_fields) - set(fixed)
    ignored = sorted(str(name)[:80] for name in given if name not in known)
    taken = {name: value for name, value in given.items() if name in known}
    try:
        # As JSON: what is strict about JSON is not what is strict about Python.
        return model.model_validate_json(json.dumps({**taken, **fixed})), ignored[:100]
    except ValidationError as error:
        faults = [
            {
                "field": ".".join(str(part) for part in one["loc"]) or "body",
                "detail": one["msg"].removeprefix("Value error, "),
            }
            for one in error.errors(include_url=False, include_input=False)[:20]
        ]
        first = faults[0]
        raise Problem(422, "body-unfit", f"{first['field']}: {first['detail']}", faults=faults) from error


def message_id_of(request: Request, bearer: Bearer) -> str:
    """The message id of what a request asks for: the same for the same key of the same person at the same path.

    Raises Problem 422 where the Idempotency-Key is none.
    """
    keys = request.headers.getlist("idempotency-key")
    if not keys:
        return f"http-{uuid.uuid4().hex}"
    key = keys[0].strip()
    if len(keys) > 1 or not 0 < len(key) <= KEY_CHARACTERS or not key.isascii() or not key.isprintable():
        raise Problem(422, "key-unfit", f"Idempotency-Key is one text of 1 to {KEY_CHARACTERS} visible characters")
    whole = f"idempotency key\n{bearer.name}\n{request.scope['path']}\n{key}"
    return f"http-{base64.b32encode(hashlib.sha256(whole.encode()).digest()).decode().lower()[:_ID_CHARACTERS]}"


def digest_of_body(body: Body) -> str:
    """Digest of what a body says, however it is written."""
    return digest_of(body.model_dump(mode="json"))


def _check_type(request: Request) -> None:
    given = request.headers.get("content-type", "")
    kind, _, parameters = given.partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    encoding = request.headers.get("content-encoding", "identity").lower()
    if kind.strip().lower() != "application/json" or charset not in {"", "utf-8"}:
        raise Problem(415, "not-json", "send application/json in UTF-8", headers={"Accept": "application/json"})
    if encoding != "identity":
        raise Problem(415, "encoded", "send the body as it is, without Content-Encoding")


async def _read(request: Request, most_bytes: int) -> bytes:
    too_large = Problem(413, "too-large", f"the body has more than {most_bytes} bytes")
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced[:20]) > most_bytes:
        raise too_large
    content = bytearray()
    try:
        async for piece in request.stream():
            content += piece
            if len(content) > most_bytes:
                raise too_large
    except ClientDisconnect as error:
        raise Problem(400, "cut-off", "the body ended before its end") from error
    return bytes(content)
