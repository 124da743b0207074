"""Report: one workflow as a page for an incident review. It changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.options import LOOK, AsJson, Home, Modules, WorkflowId, help_text


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "report",
        rich_help_panel=LOOK,
        help=help_text(
            "Write a folder for an incident review: ID.html, one page that loads nothing, with the first cause and how "
            "it came to it, a timeline, the graph of the steps, attempts, approvals, who acted, and every event; "
            "ID.jsonl, the same events as an export that `handrail verify` holds against its digests; ID.mmd, a "
            "Mermaid diagram. The folder is written whole or not at all, and the same position of the log gives the "
            "same bytes.",
            "handrail report wf_001",
            "handrail report wf_001 -o incident-42",
            "handrail report wf_001 -o incident-42 --force",
            "handrail report wf_001 --redact 'input.bank.*' --redact iban -o for-auditors",
            "handrail report wf_001 --module my.workflows --json",
        )
        + "\n\nExit codes: 0 written, 1 written, but the record is damaged (the page says where), 2 refused.",
    )(report)


def report(
    workflow_id: WorkflowId,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FOLDER", help="The folder to make; by default ID-report."),
    ] = None,
    *,
    redact: Annotated[
        list[str] | None,
        typer.Option(
            "--redact",
            metavar="RULE",
            help="Leave out what is at such a path, wherever it occurs: input.bank.*, iban, or @marked for what models "
            "mark; as in `handrail export`. Repeatable.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the folder, where it holds such a report.")] = False,
    home: Home = None,
    module: Modules = None,
    as_json: AsJson = False,
) -> int:
    """Write a report."""
    from deploy.cli.reporting import run_report
    from deploy.cli.session import Session

    session = Session(home, module, as_json=as_json)
    return run_report(session, workflow_id, output, rules=tuple(redact or ()), force=force)
