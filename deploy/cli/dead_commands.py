"""`handrail dead`: dead letters listed, shown, sent again, thrown away."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.cli.options import OPERATE, AsJson, By, Modules, help_text

dead = typer.Typer(help="Dead letters: list, show, replay, discard.", rich_markup_mode="rich")

MessageIds = Annotated[
    list[str] | None, typer.Option("--message-id", metavar="ID", help="Those with this message id; repeatable.")
]
Faults = Annotated[
    list[str] | None, typer.Option("--fault", metavar="FAULT", help="Those with this fault; repeatable.")
]
Queues = Annotated[
    list[str] | None,
    typer.Option(
        "--queue", metavar="QUEUE", help="Those in this dead queue, or that came from this queue; repeatable."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say which would be meant.")]
Why = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why; needed, but for --dry-run.")]

_LOGIN = (
    "Logs in as HANDRAIL_BROKER_OPERATOR (a user of the role operator), or else as HANDRAIL_BROKER. What is looked at "
    "is held meanwhile, and returns to its queue."
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(dead, name="dead", rich_help_panel=OPERATE)


@dead.command(
    "list",
    help=help_text(
        f"List dead letters by queue and fault, or what was done about them. {_LOGIN}",
        "handrail dead list",
        "handrail dead list --module my.workflows --json",
        "handrail dead list --acts",
    ),
)
def list_all(
    acts: Annotated[bool, typer.Option("--acts", help="What was sent again and thrown away, by whom and why.")] = False,
    module: Modules = None,
    as_json: AsJson = False,
) -> int:
    """List."""
    from deploy import process
    from deploy.cli.dead import list_letters, list_what_was_done
    from deploy.cli.screen import Screen

    screen = Screen(as_json=as_json)
    if acts:
        return list_what_was_done(screen)
    return process.run(list_letters(module or [], screen))


@dead.command(
    "show",
    help=help_text(
        f"Show the dead letters of a queue, or those with a message id: properties, headers, body. {_LOGIN}",
        "handrail dead show order-4711",
        "handrail dead show goals --limit 3 --bytes 100000",
    ),
)
def show(
    which: Annotated[str, typer.Argument(metavar="QUEUE|MESSAGE_ID", help="A queue, or else a message id.")],
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many at most.")] = 20,
    body_bytes: Annotated[
        int, typer.Option("--bytes", metavar="N", min=0, max=16_777_216, help="How much of each body.")
    ] = 4_096,
    module: Modules = None,
    as_json: AsJson = False,
) -> int:
    """Show."""
    from deploy import process
    from deploy.cli.dead import show_letters
    from deploy.cli.screen import Screen

    return process.run(show_letters(which, module or [], Screen(as_json=as_json), limit=limit, body_bytes=body_bytes))


@dead.command(
    "replay",
    help=help_text(
        "Send dead letters again as they were: same exchange, routing key, message id, body, and the user id of "
        "whoever sent them, so that a goal is the same workflow, and a repeat is harmless. Mend first what was wrong.",
        'handrail dead replay --message-id order-4711 --by olga --reason "definition deployed"',
        'handrail dead replay --fault definition_unknown --rate 20/s --by olga --reason "definition deployed"',
        "handrail dead replay --queue goals --dry-run",
    ),
)
def replay(
    *,
    message_id: MessageIds = None,
    fault: Faults = None,
    queue: Queues = None,
    rate: Annotated[str | None, typer.Option("--rate", metavar="N/s", help="How many a second at most.")] = None,
    dry_run: DryRun = False,
    by: By = None,
    reason: Why = None,
    module: Modules = None,
    as_json: AsJson = False,
) -> int:
    """Send again."""
    from deploy import process
    from deploy.cli.dead import Wanted, act_on_letters, read_rate
    from deploy.cli.screen import Screen

    wanted = Wanted(message_id or [], fault or [], queue or [], module or [], by, reason, dry_run=dry_run)
    pace = None if rate is None else read_rate(rate)
    return process.run(act_on_letters("replay", wanted, Screen(as_json=as_json), rate=pace))


@dead.command(
    "discard",
    help=help_text(
        "Throw dead letters away for good. Prints each whole, a line of JSON, so that it can be kept.",
        'handrail dead discard --message-id order-4711 --by olga --reason "a test" > discarded.jsonl',
        "handrail dead discard --queue unrouted --dry-run",
    ),
)
def discard(
    *,
    message_id: MessageIds = None,
    fault: Faults = None,
    queue: Queues = None,
    dry_run: DryRun = False,
    by: By = None,
    reason: Why = None,
    module: Modules = None,
    as_json: Annotated[bool, typer.Option("--json", help="As it is: what is printed is JSON anyway.")] = False,
) -> int:
    """Throw away."""
    from deploy import process
    from deploy.cli.dead import Wanted, act_on_letters
    from deploy.cli.screen import Screen

    wanted = Wanted(message_id or [], fault or [], queue or [], module or [], by, reason, dry_run=dry_run)
    return process.run(act_on_letters("discard", wanted, Screen(as_json=as_json or not dry_run)))
