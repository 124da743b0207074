"""A replay report as one JSON document; `deploy/docs/replay.md` describes its members."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from domain.store.covers import Erasure
from projections.replaying.origins import Cause
from projections.replaying.reading import Elsewhere, Unreadable
from projections.replaying.report import FORMAT, Report


def document_of(report: Report) -> dict[str, Any]:
    """All that a report says."""
    return {
        "format": FORMAT,
        "workflow": report.workflow,
        "goal": report.goal,
        "definition": report.definition,
        "definition_version": report.definition_version,
        "requested_by": report.requested_by,
        "status": report.status,
        "reason": report.reason,
        "waits": list(report.waits),
        "started_at": _plain(report.started_at),
        "ended_at": _plain(report.ended_at),
        "end": report.end,
        "version": report.version,
        "head": report.head,
        "state_digest": report.state_digest,
        "position": report.position,
        "engine": report.engine,
        "first_cause": None if report.first_cause is None else cause_document(report.first_cause, report.elsewhere),
        "others": [cause_document(cause) for cause in report.others],
        "beside": None if report.beside is None else _plain(asdict(report.beside)),
        "chain": _plain([asdict(link) for link in report.chain]),
        "code": _plain(asdict(report.verdict)),
        "record": {
            "intact": report.broken is None and not report.unreadable,
            "broken": None if report.broken is None else asdict(report.broken),
            "unreadable": [_unreadable(one) for one in report.unreadable],
            "withheld": list(report.withheld),
            "erased": None if report.erasure is None else erased_document(report.erasure),
            "cut": list(report.cut),
            "unfolded": report.unfolded,
        },
        "time": {**_plain(asdict(report.durations)), "late": _plain([asdict(one) for one in report.late])},
        "attempts": _plain([asdict(one) for one in report.attempts]),
        "people": _plain([asdict(one) for one in report.acts]),
        "decisions": _plain([asdict(one) for one in report.decisions]),
    }


def cause_document(cause: Cause, elsewhere: Elsewhere | None = None) -> dict[str, Any]:
    """One cause; with how often its failure was counted elsewhere."""
    document: dict[str, Any] = _plain({name: getattr(cause, name) for name in cause.__dataclass_fields__})
    return {**document, "elsewhere": None if elsewhere is None else asdict(elsewhere)}


def erased_document(erasure: Erasure) -> dict[str, Any]:
    """Who erased a workflow, when and why."""
    return {"at": erasure.erased_at.isoformat(), "by": erasure.erased_by, "reason": erasure.reason}


def _unreadable(one: Unreadable) -> dict[str, Any]:
    """An event that cannot be decoded; what only those have that are withheld is left out."""
    return {name: _plain(part) for name, part in asdict(one).items() if name not in {"withheld", "previous", "digest"}}


def _plain(value: Any) -> Any:
    """The value as JSON has it: instants as texts, models as objects."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value
