"""Exit codes, as scripts rely on them."""

from __future__ import annotations

from enum import IntEnum

from domain.errors import HandrailError, PayloadWithheld, Refused


class ExitCode(IntEnum):
    """What the process tells its caller.

    `INTERRUPTED` and `PIPE_CLOSED` are what a shell reports for a process ended by SIGINT and SIGPIPE.
    """

    COMPLETED = 0
    ENDED = 1
    """Failed, compensated or cancelled."""
    REFUSED = 2
    """Usage, a request that does not fit, a wrong id."""
    WAITING = 3
    """A person must act: approval, intervention, unknown outcome, budget, paused, a definition to load."""
    INTERNAL = 4
    """Something is wrong with the store, the place or Handrail itself."""
    INTERRUPTED = 130
    PIPE_CLOSED = 141


def exit_code_of(error: HandrailError) -> ExitCode:
    """The exit code of an error that ends a command."""
    return ExitCode.REFUSED if isinstance(error, Refused | PayloadWithheld) else ExitCode.INTERNAL


def exit_code_of_status(status: str) -> ExitCode:
    """The exit code of a terminal status."""
    return ExitCode.COMPLETED if status == "completed" else ExitCode.ENDED
