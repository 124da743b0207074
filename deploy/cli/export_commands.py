"""Export, seal and verify: histories as files, and whether such a file, or the store, is whole and unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.options import LOOK, AsJson, Home, Modules, help_text


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        "export",
        rich_help_panel=LOOK,
        help=help_text(
            "Write histories, open ones included, to a file: as JSON Lines with a manifest, which `handrail verify` "
            "and deploy/verify_export.py hold against their digests; as CSV for spreadsheets, CloudEvents for other "
            "programs, OCEL 2.0 or XES for process mining, OTLP for what shows traces; one as a Mermaid diagram, or "
            "as the page of `handrail report`. The file is written whole or not at all, and the same range gives "
            "the same bytes.",
            "handrail export --all -o everything.jsonl",
            "handrail export wf_001 wf_002 -o two.jsonl",
            'handrail export --definition "vendor onboarding review" --since 30d --format csv -o month.csv',
            "handrail export --all --redact 'input.bank.*' --redact iban -o for-auditors.jsonl",
            "handrail export --all --sign signing.pem -o signed.jsonl",
            "handrail export --since 7d --format cloudevents -o week.jsonl",
            'handrail export --definition "vendor onboarding review" --format ocel -o onboarding.jsonocel',
            "handrail export wf_001 --format mermaid -o wf_001.mmd",
            "handrail export wf_001 --format html -o wf_001.html",
        )
        + "\n\nExit codes: 0 written, 1 written, but the store itself does not fit its digests (the file says where), "
        "2 refused.",
    )(export)
    app.command(
        "seal",
        rich_help_panel=LOOK,
        help=help_text(
            "Write the head of every workflow to a file: the version and the digest of its last event. Kept where "
            "nobody reaches who can write to the store, it lets `handrail verify FILE --store` find whatever was "
            "changed or taken away up to then, the ends of histories included.",
            "handrail seal -o monday.seal",
            "handrail seal --sign signing.pem -o monday.seal",
        ),
    )(seal)
    app.command(
        "verify",
        rich_help_panel=LOOK,
        help=help_text(
            "Hold an export (JSON Lines) or a seal against its digests: every event and its place, what the manifest "
            "says, that nothing is missing, the signature. Says what is wrong, and in which line. It needs no store; "
            "with --store, it then holds the store against the heads in the file.",
            "handrail verify everything.jsonl",
            "handrail verify monday.seal --key signing.pub.pem --store",
            "handrail verify signed.jsonl --key signing.pub.pem",
            "handrail verify everything.jsonl --json",
        )
        + "\n\nExit codes: 0 nothing is wrong, 1 something is, 2 refused, 3 nothing is wrong but the signature was not "
        "checked.",
    )(verify)


def export(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The file to write.")],
    workflow_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Workflows.", show_default=False)
    ] = None,
    *,
    definition: Annotated[
        str | None, typer.Option("--definition", metavar="NAME", help="Only workflows of this definition.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="TIME", help="Only workflows with an event since then: 2026-01-31T12:00Z, 30d."
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All workflows.")] = False,
    upto: Annotated[
        int | None, typer.Option("--upto", metavar="N", help="As the log was at this position; by default the newest.")
    ] = None,
    form: Annotated[
        str,
        typer.Option("--format", metavar="FORMAT", help="jsonl, csv, cloudevents, ocel, xes, otlp, mermaid or html."),
    ] = "jsonl",
    redact: Annotated[
        list[str] | None,
        typer.Option(
            "--redact",
            metavar="RULE",
            help="Leave out what is at such a path, wherever it occurs: input.bank.*, iban, or @marked for what models "
            "mark. What is marked is cut out; for anything else the whole payload is withheld. Repeatable.",
        ),
    ] = None,
    sign: Annotated[
        Path | None, typer.Option("--sign", metavar="KEY.pem", help="Sign with this private key (Ed25519).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file where there is one.")] = False,
    home: Home = None,
    module: Modules = None,
    as_json: AsJson = False,
) -> int:
    """Write an export."""
    from deploy.cli.exporting import Asked, check_format, run_export
    from deploy.cli.session import Session
    from domain.errors import InputInvalid

    check_format(form)
    if module is not None and form != "html":
        raise InputInvalid("--module names definitions, which --format html decides the workflow again with: no other")
    asked = Asked(
        workflow_ids=tuple(workflow_ids or ()),
        definition=definition,
        since=since,
        everything=everything,
        upto=upto,
        form=form,
        redact=tuple(redact or ()),
        sign=sign,
        output=output,
        force=force,
    )
    return run_export(Session(home, module, as_json=as_json), asked)


def seal(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The file to write.")],
    *,
    sign: Annotated[
        Path | None, typer.Option("--sign", metavar="KEY.pem", help="Sign with this private key (Ed25519).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file where there is one.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> int:
    """Write a seal."""
    from deploy.cli.exporting import run_seal
    from deploy.cli.session import Session

    return run_seal(Session(home, None, as_json=as_json), output, sign=sign, force=force)


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The export, or the seal.")],
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="PUBLIC.pem", help="The public key (Ed25519) that it must be signed with."),
    ] = None,
    *,
    store: Annotated[bool, typer.Option("--store", help="Hold the store against the heads in the file, too.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> int:
    """Verify an export, and a store by it."""
    from deploy.cli.screen import Screen
    from deploy.cli.verifying import run_verify
    from domain.errors import InputInvalid

    if not store:
        if home is not None:
            raise InputInvalid("--home names a store, which is looked at with --store only")
        return run_verify(Screen(as_json=as_json), file, key)
    from deploy.cli.session import Session

    session = Session(home, None, as_json=as_json)
    return run_verify(session.screen, file, key, session)
