"""`handrail submit`: hand a goal to the processes that serve a shared store."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.cli.options import RUN, AsJson, help_text

HELP = help_text(
    "Send a goal to HANDRAIL_BROKER, again and again until HANDRAIL_STORE has its workflow; prints the workflow's id.",
    'handrail submit --goal "vendor onboarding review"',
    'handrail submit --goal "vendor onboarding review" --input vendor_dir=northwind --message-id order-4711 --wait',
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("submit", help=HELP, rich_help_panel=RUN)(submit)


def submit(
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
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="WHO", help="Who asks; the broker's login must have the right to speak for them."),
    ] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="K=V", help="A tag; repeatable.")] = None,
    message_id: Annotated[
        str | None,
        typer.Option("--message-id", metavar="ID", help="The same again is the same workflow. By default a new one."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the workflow until it ends.")] = False,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            min=0.1,
            max=31_536_000,
            help="How long at most, in all. Then exit code 3 where a person is to act, else 4; the workflow goes on.",
        ),
    ] = 300.0,
    as_json: AsJson = False,
) -> int:
    """Submit a goal."""
    from deploy import process
    from deploy.addresses import broker_address, needed, store_address
    from deploy.cli.given import read_goal, read_input, read_name, read_tags
    from deploy.cli.screen import Screen
    from deploy.cli.submitting import Submission, deliver
    from deploy.settings import load_settings
    from domain.errors import InputInvalid

    settings = load_settings()
    broker, store = needed(broker_address(settings), "broker"), store_address(settings)
    if wait and store is None:
        raise InputInvalid("--wait follows the workflow in the store: set HANDRAIL_STORE, or leave --wait out")
    submission = Submission(
        goal=read_goal(goal),
        definition=definition,
        input=read_input(given or []),
        tags=read_tags(tag or []),
        requested_by=None if by is None else read_name(by),
        message_id=message_id,
        timeout_seconds=timeout,
        wait=wait,
    )
    return process.run(deliver(submission, broker.url, None if store is None else store.url, Screen(as_json=as_json)))
