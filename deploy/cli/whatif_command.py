"""What if the policies had been other ones: stored histories asked again. Nothing is run and nothing is written."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.cli.options import LOOK, AsJson, Home, Modules, help_text


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "whatif",
        rich_help_panel=LOOK,
        help=help_text(
            "Evaluate the gates, retries and approvals of stored workflows again under the policies of a file, and say "
            "which would have gone another way, and where first. Behind that there are no outcomes to tell of. Nothing "
            "is run and nothing is written.",
            "handrail whatif --policy stricter.toml --all",
            "handrail whatif --policy stricter.toml wf_001 wf_002",
            'handrail whatif --policy stricter.toml --definition "vendor onboarding review" --since 30d',
            "handrail whatif --policy stricter.toml --all --module my.workflows --json",
            "handrail whatif --policy as-decided.toml --all --check",
        )
        + "\n\nA policy file, in TOML or JSON, names policies and what changes of them:\n\n\b\n"
        "  \\[approvals.board]\n  required = 2\n  deadline = '4h'\n\n\b\n"
        "  \\[activities.charge.retry]\n  max_attempts = 5\n\n\b\n"
        "  \\[definitions.'vendor onboarding review'.gates.amount]\n  verdict = 'deny'\n\n"
        "Exit codes: 0 asked, 1 with --check: some would have gone another way, 3 of some nothing could be said.",
    )(whatif)


def whatif(
    workflow_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID…]", help="The workflows to ask; or --all.")
    ] = None,
    *,
    policy: Annotated[str, typer.Option("--policy", metavar="FILE", help="The other policies, in TOML or JSON.")],
    everything: Annotated[bool, typer.Option("--all", help="Ask every stored history.")] = False,
    definition: Annotated[
        str | None, typer.Option("--definition", metavar="NAME", help="Ask the workflows of this definition.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Ask those that moved since then: 7d, or an instant."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="End with 1 where something would have gone another way.")
    ] = False,
    home: Home = None,
    module: Modules = None,
    as_json: AsJson = False,
) -> int:
    """Ask what would have been."""
    from deploy.cli.session import Session
    from deploy.cli.whatif import Question, print_answers
    from domain.errors import InputInvalid

    names = tuple(dict.fromkeys(workflow_ids or ()))
    chosen = everything or definition is not None or since is not None
    if bool(names) is chosen:
        raise InputInvalid(
            "name workflows, or give --all, --definition or --since: `handrail list` shows what there is"
        )
    session = Session(home, module, as_json=as_json)
    return print_answers(session, Question(policy, names, definition, since), check=check)
