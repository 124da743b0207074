"""A workflow's history as JSON Lines: the header of each event, its digests, and its payload byte for byte as stored.

Whoever has these lines can hold them against the chain of digests without Handrail.
"""

from __future__ import annotations

from collections.abc import Iterable

from deploy.cli.exits import ExitCode
from deploy.cli.session import Session
from domain.recorded import RecordedEvent


def print_history(session: Session, events: Iterable[RecordedEvent]) -> ExitCode:
    """Print every event, oldest first."""
    for recorded in events:
        session.screen.text(history_line(recorded))
    return ExitCode.COMPLETED


def history_line(recorded: RecordedEvent) -> str:
    """One event on one line."""
    header = recorded.header.decode()
    digests = f'"previous":"{recorded.previous}","digest":"{recorded.digest}"'
    return f'{header[:-1]},{digests},"payload":{recorded.payload.decode()}}}'
