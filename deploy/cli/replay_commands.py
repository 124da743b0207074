"""Replay and compare: what happened, why, and whether the code at hand decides it so. Neither changes anything."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.cli.options import LOOK, AsJson, Home, Modules, WorkflowId, help_text


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        "replay",
        rich_help_panel=LOOK,
        help=help_text(
            "Rebuild a workflow from its events, decide each again, and tell what happened: the first cause of its "
            "trouble, how it came to that, where the time went, who acted, and whether this version of the code and of "
            "the definition decides what is recorded. Nothing is run and nothing is written.",
            "handrail replay wf_001",
            "handrail replay wf_001 --brief",
            "handrail replay wf_001 --json",
            "handrail replay wf_001 --at 7",
            "handrail replay wf_001 --at 2026-01-31T12:00:00Z",
            "handrail replay wf_001 --diff 7 12",
            "handrail replay wf_001 --walk",
            "handrail replay --all --module my.workflows",
            "handrail replay --all --jobs 8",
            'handrail replay --all --definition "vendor onboarding review" --since 7d --json',
        )
        + "\n\nExit codes: 0 the code decides what is recorded, 1 it does not or the record is damaged, "
        "3 it is not known: the definition is not loaded, or payloads are withheld.",
    )(replay)
    app.command(
        "compare",
        rich_help_panel=LOOK,
        help=help_text(
            "Hold a workflow against another one, or against the last that completed under the same definition: the "
            "first point where their ways part, what differed there (input, plan, policy, approval, outcome, "
            "operator), and which data differed before. Time, ids, workers and who decided are no differences.",
            "handrail compare wf_003",
            "handrail compare wf_003 wf_001",
            "handrail compare wf_003 wf_001 --json",
        )
        + "\n\nExit codes: 0 nothing differs, 1 something does.",
    )(compare)


def replay(
    workflow_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="The workflow's id, for example wf_001; or --all.")
    ] = None,
    *,
    at: Annotated[
        str | None, typer.Option("--at", metavar="N|TIME", help="Show the state after event N, or at an instant.")
    ] = None,
    diff: Annotated[
        tuple[int, int] | None,
        typer.Option("--diff", metavar="N M", help="Show what changed in the state from event N to event M."),
    ] = None,
    walk: Annotated[bool, typer.Option("--walk", help="Go through it event by event.")] = False,
    brief: Annotated[bool, typer.Option("--brief", help="Only the answer, without the details.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Decide every stored history again, and list those that come out otherwise.")
    ] = False,
    definition: Annotated[
        str | None, typer.Option("--definition", metavar="NAME", help="With --all: only workflows of this definition.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="TIME", help="With --all: only those that moved since then: 7d, or an instant."
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", metavar="N", help="With --all: in so many processes; by default by what there is."),
    ] = None,
    home: Home = None,
    module: Modules = None,
    as_json: AsJson = False,
) -> int:
    """Replay a workflow."""
    from deploy.cli.session import Session
    from domain.errors import InputInvalid

    if sum((at is not None, diff is not None, walk, brief, everything)) > 1:
        raise InputInvalid("--at, --diff, --walk, --brief and --all each ask for something else: give one of them")
    if walk and as_json:
        raise InputInvalid("--walk is for reading along: --json goes with every other form")
    if everything is (workflow_id is not None):
        raise InputInvalid("name a workflow, or give --all: `handrail list` shows which workflows there are")
    if not everything and any(one is not None for one in (definition, since, jobs)):
        raise InputInvalid("--definition, --since and --jobs go with --all")
    session = Session(home, module, as_json=as_json)
    if workflow_id is None:
        from deploy.cli.replay_all import print_check

        return print_check(session, definition=definition, since=since, jobs=jobs)
    if at is not None or diff is not None or walk:
        from deploy.cli import replay_states

        if at is not None:
            return replay_states.print_state_at(session, workflow_id, at)
        if diff is not None:
            return replay_states.print_changes(session, workflow_id, *diff)
        return replay_states.walk(session, workflow_id, ask=replay_states.ask_terminal)
    from deploy.cli.replaying import print_replay

    return print_replay(session, workflow_id, brief=brief)


def compare(
    workflow_id: WorkflowId,
    other_id: Annotated[
        str | None,
        typer.Argument(metavar="ID2", help="The other one; by default the last of the definition that completed."),
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> int:
    """Compare two workflows."""
    from deploy.cli.comparing import print_comparison
    from deploy.cli.session import Session

    return print_comparison(Session(home, None, as_json=as_json), workflow_id, other_id)
