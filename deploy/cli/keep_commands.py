"""Setting up and keeping: schema, backup, new."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.options import KEEP, AsJson, Home, help_text
from domain.errors import InputInvalid


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        "new",
        rich_help_panel=KEEP,
        help=help_text(
            "Make a starter project: a definition, a test of it, and the command that runs it.",
            "handrail new my_review",
        ),
    )(new)
    app.command(
        "schema",
        rich_help_panel=KEEP,
        help=help_text(
            "Print the JSON Schemas of all events, write them as files, or print the contract for other services.",
            "handrail schema > events.json",
            "handrail schema --write deploy/schemas",
            "handrail schema --asyncapi > handrail.asyncapi.json",
        ),
    )(schema)
    app.command(
        "backup",
        rich_help_panel=KEEP,
        help=help_text(
            "Write a consistent copy of the store, while workflows run.",
            "handrail backup /mnt/backup/handrail-monday.db",
        ),
    )(backup)


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the project's folder.")],
    as_json: AsJson = False,
) -> int:
    """Make a starter project."""
    from deploy.cli.exits import ExitCode
    from deploy.cli.screen import Screen
    from deploy.cli.starting import make_project

    made = make_project(name, Path.cwd())
    screen = Screen(as_json=as_json)
    if as_json:
        screen.document({"folder": str(made.folder), "files": made.files, "run": made.run, "test": made.test})
        return ExitCode.COMPLETED
    screen.note(f"made {made.folder} with {', '.join(made.files)}; now:")
    screen.text(made.run)
    screen.text(made.test)
    return ExitCode.COMPLETED


def schema(
    write: Annotated[
        Path | None, typer.Option("--write", metavar="DIR", help="Write a file for each into this folder.")
    ] = None,
    asyncapi: Annotated[
        bool, typer.Option("--asyncapi", help="The AsyncAPI document of the wire, for other services.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As it is: schemas are JSON anyway.")] = False,
) -> int:
    """Print or write schemas, or print the contract."""
    from deploy.cli.exits import ExitCode
    from deploy.cli.schemas import schema_documents, schema_text, write_schemas
    from deploy.cli.screen import Screen, counted

    screen = Screen(as_json=as_json)
    if asyncapi:
        from deploy.contract import contract

        if write is not None:
            raise InputInvalid("--asyncapi is one document: print it into a file, without --write")
        screen.text(schema_text(contract()).rstrip("\n"))
        return ExitCode.COMPLETED
    if write is None:
        screen.text(schema_text(schema_documents()).rstrip("\n"))
        return ExitCode.COMPLETED
    written = write_schemas(write)
    if as_json:
        screen.document({"folder": str(write), "files": [path.name for path in written]})
    else:
        screen.note(f"{counted(len(written), 'schema')} written to {write}")
    return ExitCode.COMPLETED


def backup(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes; it must not be there yet.")],
    home: Home = None,
    as_json: AsJson = False,
) -> int:
    """Write a copy of the store."""
    from deploy.cli.exits import ExitCode
    from deploy.cli.session import Session

    session = Session(home, None, as_json=as_json)
    with session.store() as store:
        store.backup(target)
    size = target.stat().st_size
    if as_json:
        session.screen.document({"file": str(target), "size": size})
    else:
        session.screen.note(f"{target} holds a copy of the store ({size:,} bytes)")
    return ExitCode.COMPLETED
