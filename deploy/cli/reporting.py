"""`handrail report`: one workflow as a folder for an incident review: a page, its export and a diagram."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from deploy.cli.exits import ExitCode
from deploy.cli.report_page import Made, make
from deploy.cli.screen import Screen
from deploy.cli.session import Session
from deploy.collecting import fewer_collections
from deploy.whole_files import Folder, whole_folder
from domain.ids import check_name
from projections.exporting.redaction import Redaction
from projections.replaying.sentences import KINDS, place

ENDINGS: Final = ("html", "jsonl", "mmd")


def run_report(
    session: Session, workflow_id: str, output: Path | None, *, rules: Sequence[str], force: bool
) -> ExitCode:
    """Write the folder, and say what is in it. Raises InputInvalid, WorkflowUnknown or StoreUnavailable."""
    check_name(workflow_id, "the workflow's id")
    redaction = Redaction(rules)
    target = output if output is not None else Path(f"{workflow_id}-report")
    names = tuple(f"{workflow_id}.{ending}" for ending in ENDINGS)
    with session.store() as store, fewer_collections():
        made = make(session, store, workflow_id, redaction)
        with whole_folder(target, names, replace=force) as folder:
            for name, pieces in zip(names, (made.page(), made.lines(store), made.diagram()), strict=True):
                _write(folder, name, pieces)
    _sum_up(session.screen, target, names, made)
    report = made.facts.report
    return ExitCode.COMPLETED if report.broken is None and not report.unreadable else ExitCode.ENDED


def _write(folder: Folder, name: str, pieces: Iterator[bytes]) -> None:
    with folder.file(name) as file:
        for piece in pieces:
            file.write(piece)


def _sum_up(screen: Screen, target: Path, names: Sequence[str], made: Made) -> None:
    report = made.facts.report
    sizes = {name: (target / name).stat().st_size for name in names}
    first = report.first_cause
    if screen.as_json:
        cause = None if first is None else {"workflow": first.workflow, "version": first.version, "kind": first.kind}
        screen.document(
            {
                "folder": str(target),
                "files": sizes,
                "workflow": report.workflow,
                "status": report.status,
                "first_cause": cause,
                "events": report.version,
                "position": report.position,
                "cut": made.cut,
                "withheld": made.withheld,
            }
        )
        return
    words = "not known: payloads are withheld" if report.withheld else "nothing went wrong that lasted"
    if first is not None:
        words = f"{place(first, report.workflow)}: {KINDS[first.kind]}"
    screen.text(str(target / names[0]))
    screen.note(f"{report.workflow} {report.status}; first cause: {words}")
    listed = ", ".join(f"{name} ({size:,} bytes)" for name, size in sizes.items())
    screen.note(f"{target} holds {listed}, as the log was at position {report.position}")
    if made.cut or made.withheld:
        screen.note(f"values cut out: {made.cut:,}; payloads withheld: {made.withheld:,}")
