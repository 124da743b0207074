"""`handrail run`: start a workflow, or go on with one, and drive it."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.cli.options import RUN, AsJson, By, Controls, Detach, Home, Modules, help_text

LOOPBACK = "127.0.0.1"

HELP = help_text(
    "Start a workflow and drive it until it ends, or until a person must act.",
    'handrail run --goal "vendor onboarding review"',
    'handrail run --goal "vendor onboarding review" --approve-as alice --control "annual review"',
    "handrail run --goal @goal.txt --definition triage --input customer=acme --input order=@order.json --tag team=blue",
    "handrail run --goal greet --module my.workflows --id greet-1 --json",
    'handrail run --goal "vendor onboarding review" --http 8080',
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run", help=HELP, rich_help_panel=RUN)(run)


def run(
    goal: Annotated[
        str,
        typer.Option("--goal", metavar="TEXT|@FILE", help="What is to be reached; it picks the definition so named."),
    ],
    *,
    definition: Annotated[
        str | None, typer.Option("--definition", metavar="NAME", help="The definition, where the goal names none.")
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="KEY=VALUE|KEY=@FILE|@FILE",
            help="The workflow's input; repeatable. A VALUE is a string, a FILE is JSON: numbers come from there.",
        ),
    ] = None,
    by: By = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="K=V", help="A tag; repeatable.")] = None,
    workflow_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The workflow's id; one that exists is gone on with.")
    ] = None,
    approve_as: Annotated[
        list[str] | None,
        typer.Option("--approve-as", metavar="WHO", help="Who grants every approval, in advance; repeatable."),
    ] = None,
    control: Controls = None,
    http: Annotated[
        int | None,
        typer.Option(
            "--http",
            metavar="PORT",
            min=0,
            max=65_535,
            help="Serve approvals and goals over HTTP meanwhile, and wait at a block; 0: any free port.",
        ),
    ] = None,
    http_host: Annotated[str, typer.Option("--http-host", metavar="ADDRESS", help="Where --http listens.")] = LOOPBACK,
    home: Home = None,
    module: Modules = None,
    detach: Detach = False,
    as_json: AsJson = False,
) -> int:
    """Start a workflow and drive it."""
    from deploy.cli.drive import Advance
    from deploy.cli.exits import ExitCode
    from deploy.cli.given import read_controls, read_goal, read_input, read_name, read_tags
    from deploy.cli.serving import beside, endpoint
    from deploy.cli.session import Session
    from domain.chain import GENESIS
    from domain.errors import InputInvalid
    from domain.state import State

    session = Session(home, module, as_json=as_json)
    session.needs_home()
    words, data, tags, requester = read_goal(goal), read_input(given or []), read_tags(tag or []), read_name(by)
    deciders = tuple(dict.fromkeys(read_name(who, "--approve-as") for who in approve_as or []))
    controls = read_controls(control or [])
    if controls and not deciders:
        raise InputInvalid("--control is a condition of a grant: say who grants with --approve-as WHO")
    if http is not None and detach:
        raise InputInvalid("--http serves while the workflow is driven, and --detach leaves that to others: choose one")

    async def work() -> ExitCode:
        async with session.runtime([] if workflow_id is None else [workflow_id], drive=not detach) as runtime:
            started = await runtime.start(
                words,
                definition=definition,
                input=data,
                requested_by=requester,
                tags=tags,
                workflow_id=workflow_id,
            )
            nothing_yet = State(started, head=GENESIS)
            advance = Advance(deciders, controls)
            if http is not None:
                async with endpoint(runtime, session.screen, session.place, host=http_host, port=http) as serving:
                    return await beside(serving, session.drive(runtime, nothing_yet, advance, patient=True))
            if not detach:
                return await session.drive(runtime, nothing_yet, advance)
            session.screen.note(f"saved; `{session.place.command('resume', started)}` drives it")
            return session.leave(nothing_yet, runtime.store.read(started, upto=1), runtime.store.load(started))

    return session.run(work())
