"""Archive: closed workflows of long ago go from the store to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.options import KEEP, AsJson, By, Home, help_text


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "archive",
        rich_help_panel=KEEP,
        help=help_text(
            "Move workflows that ended long ago from the store to a file: export them, verify the file as it is on "
            "the disk, and only then remove their events and rows. A tombstone stays of each, which says where it is, "
            "and what it received stays known. Others may run meanwhile. Killed anywhere, the same command with the "
            "same file goes on. Keep the file: it is all there is of them.",
            "handrail archive --older-than 400d --dry-run",
            'handrail archive --older-than 400d -o 2026-05.jsonl --by olga --reason "kept for 400 days" --yes',
            'handrail archive --older-than 90d --definition nightly_check -o nightly.jsonl --reason "of no use" --yes',
            "handrail import 2026-05.jsonl --read-only --home old",
        )
        + "\n\nExit codes: 0 archived, or there was nothing to archive, 1 archived, but for workflows whose record "
        "does not fit its digests, 2 refused: nothing was removed.",
    )(archive)


def archive(
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="TIME", help="Those that ended so long ago: 400d, 12h, 30m, 45s.")
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="The file to write, or to go on with.")
    ] = None,
    *,
    definition: Annotated[
        str | None, typer.Option("--definition", metavar="NAME", help="Only workflows of this definition.")
    ] = None,
    by: By = None,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Why; it is kept. Needed, but for --dry-run.")
    ] = None,
    sign: Annotated[
        Path | None, typer.Option("--sign", metavar="KEY.pem", help="Sign with this private key (Ed25519).")
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option("--rate", metavar="N/s", help="How many are removed a second at most; by default 500/s."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many would be archived.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask at the terminal.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> int:
    """Archive workflows."""
    from deploy.cli.archiving import Asked, run_archive
    from deploy.cli.session import Session

    asked = Asked(older_than, output, definition, by, reason, sign, rate, dry_run=dry_run, yes=yes)
    return run_archive(Session(home, None, as_json=as_json), asked)
