"""What is said beside the lines, on stderr: attempts that went wrong, refusals, and what is waited for."""

from __future__ import annotations

from deploy.cli.lines import failure_words, one_line
from deploy.cli.pending import Pending
from deploy.cli.screen import Screen
from domain import events as e
from domain.recorded import RecordedEvent


def tell_aside(screen: Screen, recorded: RecordedEvent, *, whose: str = "") -> None:
    """Progress that no script reads; `whose` stands in front where it is another workflow's."""
    event = recorded.event
    if isinstance(event, e.AttemptFailed):
        screen.note(f"{whose}{event.step} attempt {event.attempt}: {failure_words(event.failure)}")
    elif isinstance(event, e.AttemptLapsed):
        screen.note(f"{whose}{event.step} attempt {event.attempt} ended without an outcome")
    elif isinstance(event, e.DecisionRefused):
        words = f"{event.decision} by {event.decided_by} refused: {event.reason}"
        screen.note(f"{whose}{one_line(words)}", "yellow")
    elif isinstance(event, e.StoppingBegan):
        screen.note(f"{whose}stopping: {one_line(event.reason)}", "yellow")
    elif isinstance(event, e.ApprovalEscalated):
        people = one_line(", ".join(event.escalate_to))
        screen.note(f"{whose}{event.step}: nobody decided in time; now {people} may decide as well")


def describe(one: Pending) -> str:
    """One thing waited for, and the commands that move it, for stderr."""
    what = f"{one.workflow_id} waits: {one.step + ' ' if one.step else ''}{one.reason}"
    detail = one_line(one.detail)
    text = f"{what} ({detail})" if detail else what
    if one.due_at is not None:
        text += f", until {one.due_at:%Y-%m-%d %H:%M:%S} UTC"
    return "\n".join([text, *(f"    {command}" for command in one.commands)])
