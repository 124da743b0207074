"""`handrail resume`: go on with one workflow, or with everything outstanding."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.cli.options import RUN, AsJson, Home, Modules, help_text

HELP = help_text(
    "Go on with a workflow, or without an id with everything that is outstanding, after a crash or an approval.",
    "handrail resume",
    "handrail resume wf_001",
    "handrail resume wf_001 --module my.workflows",
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("resume", help=HELP, rich_help_panel=RUN)(resume)


def resume(
    workflow_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The workflow's id; without one, everything.")
    ] = None,
    home: Home = None,
    module: Modules = None,
    as_json: AsJson = False,
) -> int:
    """Go on."""
    from deploy.cli.exits import ExitCode
    from deploy.cli.resuming import resume_all
    from deploy.cli.session import Session

    session = Session(home, module, as_json=as_json)
    session.must_exist()
    if workflow_id is None:
        session.needs_home()
        return session.run(resume_all(session))

    before = session.standing(workflow_id)
    if before.ended is not None:
        session.screen.note(f"{workflow_id} is over already: {before.ended}")

    async def work() -> ExitCode:
        async with session.runtime([workflow_id]) as runtime:
            return await session.drive(runtime, before)

    return session.run(work())
