"""The program `handrail`: puts the commands together, and turns whatever goes wrong into one line and an exit code."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from deploy.cli import (
    archive_command,
    dead_commands,
    decide_commands,
    doctor_command,
    erase_command,
    export_commands,
    fork_command,
    import_command,
    keep_commands,
    keys_commands,
    look_commands,
    migrate_command,
    operate_commands,
    projections_command,
    reconcile_command,
    replay_commands,
    report_command,
    restore_command,
    resume_command,
    run_command,
    serve_command,
    submit_command,
    token_commands,
    topology_commands,
    whatif_command,
)
from deploy.cli.exits import ExitCode, exit_code_of
from deploy.cli.logs import LOG_FILE, LOG_FOLDER, log_to
from deploy.cli.options import in_short
from deploy.cli.place import DEBUG_VARIABLE, DEFAULT_HOME, HOME_VARIABLE, PROGRAM
from deploy.cli.screen import complain
from deploy.version import version_of
from domain.errors import HandrailError

app = typer.Typer(
    name=PROGRAM,
    help="Durable workflows: killed anywhere, they go on where they were.",
    epilog='Begin with: handrail run --goal "vendor onboarding review". Exit codes: 0 completed, 1 failed or undone, '
    "2 refused, 3 waiting for a person, 4 internal error.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _say_version(wanted: bool) -> None:
    if not wanted:
        return
    typer.echo(f"{PROGRAM} {version_of()}")
    raise typer.Exit


@app.callback()
def _begin(
    _version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """Commands follow."""


for _commands in (
    run_command,
    submit_command,
    serve_command,
    resume_command,
    decide_commands,
    look_commands,
    replay_commands,
    report_command,
    whatif_command,
    export_commands,
    import_command,
    operate_commands,
    fork_command,
    reconcile_command,
    dead_commands,
    keep_commands,
    archive_command,
    migrate_command,
    projections_command,
    restore_command,
    erase_command,
    keys_commands,
    token_commands,
    topology_commands,
    doctor_command,
):
    _commands.register(app)
for _command in app.registered_commands:
    _command.short_help = in_short(_command.help or "")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. No error passes as a traceback: that goes to a log file."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if (bad := next((one for one in given if not _is_text(one)), None)) is not None:
        complain(f"the argument {bad[:80]!a} is not UTF-8: write it so, and give a file of such a name another one")
        return ExitCode.REFUSED
    try:
        code = app(args=given or ["--help"], prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):
        # Who read along has gone (typer leaves for no other reason); what is left must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.PIPE_CLOSED
    except (typer.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told in one line
        return _tell(error, given)
    return int(code or 0)


def _is_text(given: str) -> bool:
    """Whether an argument came as UTF-8: bytes that are none stand in it as what no store keeps and no line shows."""
    try:
        given.encode()
    except UnicodeEncodeError:
        return False
    return True


def _tell(error: Exception, given: Sequence[str]) -> ExitCode:
    """Say in one line what went wrong; the exit code."""
    expected = isinstance(error, typer.TyperException | HandrailError | OSError)
    if os.environ.get(DEBUG_VARIABLE) and not isinstance(error, typer.TyperException):
        traceback.print_exception(error)
    if isinstance(error, typer.TyperException):
        said = error.format_message().replace("Value error, ", "").rstrip(".")
        complain(f"{said} (see `{_help(given)}`)")
        return ExitCode.REFUSED
    if isinstance(error, HandrailError):
        complain(str(error))
        return exit_code_of(error)
    if isinstance(error, OSError):
        complain(f"{error.filename or 'the system'}: {error.strerror or error}; mend that and run it again")
    if not expected:
        complain(f"internal error: {type(error).__name__}: {error}{_kept(error, given)}")
    return ExitCode.INTERNAL


def _help(given: Sequence[str]) -> str:
    """The command that shows the help of the command that was meant."""
    place, words, path = app, list(given), [PROGRAM]
    for group in app.registered_groups:
        if words[:1] == [group.name] and group.typer_instance is not None:
            place, path, words = group.typer_instance, [*path, words[0]], words[1:]
            break
    known = {command.name for command in place.registered_commands}
    command = next((word for word in words if word in known), None)
    return " ".join(filter(None, (*path, command, "--help")))


def _kept(error: Exception, given: Sequence[str]) -> str:
    """Keep the traceback in a file of the home; the words that say where."""
    home = _home_among(given)
    if home.is_dir():
        log_to(home)
        logging.getLogger("handrail.cli").error("internal error", exc_info=error)
        if (home / LOG_FOLDER / LOG_FILE).is_file():
            return f"; {home / LOG_FOLDER / LOG_FILE} tells more"
    return f"; run it again with {DEBUG_VARIABLE}=1 to see more"


def _home_among(given: Sequence[str]) -> Path:
    """The home that the command line names, whatever else is wrong with it."""
    for word, following in zip(given, [*given[1:], ""], strict=True):
        if word == "--home":
            return Path(following)
        if word.startswith("--home="):
            return Path(word.removeprefix("--home="))
    return Path(os.environ.get(HOME_VARIABLE) or DEFAULT_HOME)


if __name__ == "__main__":
    sys.exit(main())
