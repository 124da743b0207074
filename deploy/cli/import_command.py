"""Import: an export opened elsewhere, to be looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.options import LOOK, AsJson, Home, help_text


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "import",
        rich_help_panel=LOOK,
        help=help_text(
            "Make a home of an export (JSON Lines), elsewhere or later, to look at what is in it: list, show, history, "
            "replay, compare, report, export and verify work on it. The file is verified first, and refused where "
            "anything is wrong. Nothing in such a home is ever run or changed.",
            "handrail import everything.jsonl --read-only --home incident",
            "handrail import signed.jsonl --read-only --key signing.pub.pem --home audit",
            "handrail replay wf_001 --home incident",
        )
        + "\n\nExit codes: 0 imported, 2 refused: nothing was made.",
    )(import_file)


def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The export, as JSON Lines.")],
    *,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="What is imported can only be looked at; say so.")
    ] = False,
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="PUBLIC.pem", help="The public key (Ed25519) that it must be signed with."),
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> int:
    """Import an export."""
    from deploy.cli.importing import run_import
    from deploy.cli.place import home_of
    from deploy.cli.screen import Screen
    from domain.errors import InputInvalid

    if not read_only:
        raise InputInvalid("an import can only be looked at, its workflows do not go on: say so with --read-only")
    if home is None:
        raise InputInvalid("say which folder is to be made of it: --home DIR")
    return run_import(Screen(as_json=as_json), file, home_of(home), key)
