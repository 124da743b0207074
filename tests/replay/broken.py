"""Two histories that must not pass: one that was decided otherwise, and one that was tampered with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from domain import events as e
from domain.chain import GENESIS
from domain.recorded import RecordedEvent, record, stamp
from tests.replay.workloads import compensating, happy


@dataclass(frozen=True)
class Broken:
    """A history that is wrong at a version, and in which way."""

    events: tuple[RecordedEvent, ...]
    about: dict[str, Any]


def changed() -> Broken:
    """Undone in another order than the engine decides, with a chain that verifies."""
    history = compensating().history
    place = next(at for at, one in enumerate(history) if isinstance(one.event, e.CompensationScheduled))
    event = history[place].event.model_copy(update={"step": "one", "key": "wf_001/one/run"})
    events: list[RecordedEvent] = []
    for at, one in enumerate(history):
        stamped = stamp(one.originator_id, one.timestamp, one.cause, one.actor, one.decision)
        previous = events[-1].digest if events else GENESIS
        events.append(record(event if at == place else one.event, stamped, one.originator_version, previous))
    return Broken(tuple(events), {"diverges_at": place + 1, "head": events[-1].digest})


def tampered() -> Broken:
    """An output that somebody changed in the store, leaving the digests as they were."""
    history = happy().history
    place = next(at for at, one in enumerate(history) if b'"seat":7' in one.payload)
    payload = history[place].payload.replace(b'"seat":7', b'"seat":8')
    events = [*history[:place], replace(history[place], payload=payload), *history[place + 1 :]]
    return Broken(tuple(events), {"corrupt_at": place + 1, "head": history[-1].digest})


BROKEN: Final[dict[str, Callable[[], Broken]]] = {"changed": changed, "tampered": tampered}
