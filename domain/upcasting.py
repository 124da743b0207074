"""Old shapes of events become new ones when read. Pure; stored bytes are never touched.

An upcaster takes the JSON object of one version and returns that of the next. `UPCASTERS` is empty as long as every
event has one version; the first change of a shape adds a row here and a golden history under tests/replay/.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import from_json

from domain.errors import EventCorrupt, EventUnknown
from domain.events import STORED, Event

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

UPCASTERS: Final[dict[tuple[str, int], Upcaster]] = {}


def decode(
    name: str,
    version: int,
    payload: bytes,
    place: str,
    *,
    upcasters: dict[tuple[str, int], Upcaster] = UPCASTERS,
) -> Event:
    """Decode a payload as its event's present shape. Fails closed: EventUnknown, EventCorrupt, naming the place."""
    shape = STORED.get((name, version))
    if (name, version) not in upcasters:
        if shape is None:
            raise EventUnknown(
                f"{place}: event {name!r} version {version} is not known to this version of Handrail; use a newer one"
            )
        try:
            return shape.__pydantic_validator__.validate_json(payload)  # type: ignore[no-any-return]
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise EventCorrupt(f"{place} ({name}): {where}: {first['msg']}; restore the store from a backup") from error
    document = from_json(payload)
    while (name, version) in upcasters:
        document = upcasters[name, version](document)
        version += 1
    current = STORED.get((name, version))
    if current is None:
        raise EventUnknown(f"{place}: event {name!r} was raised to version {version}, which is not known")
    try:
        return current.model_validate(document)
    except ValidationError as error:
        raise EventCorrupt(f"{place} ({name}): the raised event does not fit version {version}: {error}") from error
