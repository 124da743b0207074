"""`handrail export` and `handrail seal`: what was asked for is checked, written, and summed up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from deploy.cli.exits import ExitCode
from deploy.cli.given import read_past
from deploy.cli.named import spelt
from deploy.cli.report_page import Made, make
from deploy.cli.screen import Screen, counted
from deploy.cli.session import Session
from deploy.signing import signing_key
from deploy.traces.past import PastTraces, salt_to_read
from deploy.whole_files import whole_file
from domain.errors import EventCorrupt, InputInvalid
from domain.store.tombstones import how_many
from projections.exporting.cloudevents import CloudEvents
from projections.exporting.diagram import diagram_lines
from projections.exporting.jsonl import Damage, JsonLines, Signer
from projections.exporting.ocel import Ocel
from projections.exporting.reading import Exported, Histories, Selection
from projections.exporting.redaction import Redaction
from projections.exporting.table import Table
from projections.exporting.telling import Teller
from projections.exporting.xes import Xes
from projections.replaying.reading import Break, read_history

if TYPE_CHECKING:
    from domain.store.application import WorkflowStore

FORMATS: Final = ("jsonl", "csv", "cloudevents", "ocel", "xes", "otlp", "mermaid", "html")
SEAL: Final = "seal"
"""What `handrail seal` writes: no format of exports."""
PROGRESS_SECONDS: Final = 2.0
INTERVALS: Final = 1_000
"""After so many lines it is looked whether it is time to say how far it has come."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says."""

    workflow_ids: tuple[str, ...]
    definition: str | None
    since: str | None
    everything: bool
    upto: int | None
    form: str
    redact: tuple[str, ...]
    sign: Path | None
    output: Path
    force: bool


@dataclass(frozen=True, slots=True)
class Written:
    """What an export came to."""

    workflows: int
    events: int
    position: int
    root: str | None = None
    cut: int = 0
    withheld: int = 0
    damage: Damage | None = None
    archived: int = 0
    """Of an export of everything: workflows that are archived, and so not in it."""


class Form(Protocol):
    """A form for other programs: made of what a teller tells."""

    def lines(self, histories: Iterable[Exported]) -> Iterator[bytes]:
        """The file, in pieces."""
        ...


_FORMS: Final[dict[str, Callable[[Teller], Form]]] = {
    "csv": Table,
    "cloudevents": CloudEvents,
    "ocel": Ocel,
    "xes": Xes,
}


def run_seal(session: Session, output: Path, *, sign: Path | None, force: bool) -> ExitCode:
    """Write the heads of all workflows. Raises InputInvalid or StoreUnavailable."""
    return run_export(
        session,
        Asked(
            workflow_ids=(),
            definition=None,
            since=None,
            everything=True,
            upto=None,
            form=SEAL,
            redact=(),
            sign=sign,
            output=output,
            force=force,
        ),
    )


def run_export(session: Session, asked: Asked) -> ExitCode:
    """Write the file, and say what is in it. Raises InputInvalid, WorkflowUnknown or StoreUnavailable."""
    selection = _selection(asked, datetime.now(UTC))
    redaction = Redaction(asked.redact)
    _check_form(asked)
    key = signing_key(asked.sign) if asked.sign is not None else None
    signer = Signer(*key) if key is not None else None
    with session.store() as store, whole_file(asked.output, replace=asked.force) as file:
        if asked.definition is not None:
            selection = selection._replace(definition=spelt(store, asked.definition))
        progress = _Progress(session.screen)

        def write(lines: Iterator[bytes], counts: Callable[[], tuple[int, int]]) -> None:
            for number, line in enumerate(lines):
                file.write(line)
                if number % INTERVALS == 0:
                    progress.tell(*counts())

        if asked.form in {"jsonl", SEAL}:
            made = JsonLines(selection, redaction, signer, seal=asked.form == SEAL)
            written = _write_jsonl(store, selection, made, write)
        elif asked.form == "mermaid":
            written = _write_mermaid(store, selection, write)
        elif asked.form == "html":
            written = _write_html(make(session, store, selection.workflow_ids[0], redaction), write)
        else:
            written = _write_told(store, selection, Teller(redaction), asked.form, write)
        if asked.everything and asked.form != SEAL:
            written = replace(written, archived=how_many(store.query))
        if asked.definition is not None and not written.workflows:
            check_definition(session, store, asked.definition)
    _sum_up(session.screen, asked, written)
    return ExitCode.COMPLETED if written.damage is None else ExitCode.ENDED


def check_definition(session: Session, store: WorkflowStore, name: str) -> None:
    """Refuse a definition that nothing was found of, where it is a slip of the pen: it would pass for all well.

    Raises InputInvalid.
    """
    from deploy.cli.replay_all import must_be_known
    from deploy.loading import load

    of_it = Histories(store, store.mapper.clear, Selection(definition=name))
    if how_many(store.query, name) == 0 and next(iter(of_it), None) is None:
        must_be_known(name, load(session.modules))


_Write = Callable[[Iterator[bytes], Callable[[], tuple[int, int]]], None]


def _write_jsonl(store: WorkflowStore, selection: Selection, made: JsonLines, write: _Write) -> Written:
    histories = Histories(store, store.mapper.clear, selection)
    write(made.lines(histories), lambda: (made.workflows, made.events))
    return Written(
        made.workflows,
        made.events,
        histories.position,
        made.root,
        made.cut,
        made.withheld,
        made.first_damage,
    )


def _write_told(store: WorkflowStore, selection: Selection, teller: Teller, form: str, write: _Write) -> Written:
    histories = Histories(store, store.mapper.clear, selection)
    made = PastTraces(teller, salt_to_read(store)) if form == "otlp" else _FORMS[form](teller)
    write(made.lines(histories), lambda: (teller.workflows, teller.events))
    return Written(
        teller.workflows,
        teller.events,
        histories.position,
        cut=teller.cut,
        withheld=teller.withheld,
        damage=teller.first_damage,
    )


def _write_mermaid(store: WorkflowStore, selection: Selection, write: _Write) -> Written:
    (workflow_id,) = selection.workflow_ids
    with store.reading() as cursor:
        history = read_history(cursor, store.mapper.read, workflow_id)
    broken = history.broken if history is not None else None
    # What is whole is read once more as any other reader does, who says what is archived, or withheld.
    events = store.read(workflow_id) if history is None or broken is None else history.sound
    if not events:
        raise EventCorrupt(f"workflow {workflow_id} has no event that can be read: `handrail replay` says more")
    write((f"{line}\n".encode() for line in diagram_lines(events)), lambda: (1, len(events)))
    position = 0 if history is None else history.position
    return Written(1, len(events), position, damage=_damage(workflow_id, broken))


def _write_html(made: Made, write: _Write) -> Written:
    report = made.facts.report
    write(made.page(), lambda: (1, report.version))
    damage = _damage(report.workflow, report.broken)
    return Written(1, report.version, made.position, cut=made.cut, withheld=made.withheld, damage=damage)


def _damage(workflow_id: str, broken: Break | None) -> Damage | None:
    """What is said of the first place where a record breaks."""
    if broken is None:
        return None
    return Damage(workflow_id, broken.version, f"is where its record breaks: {broken.words}")


def _selection(asked: Asked, now: datetime) -> Selection:
    """What is to be exported; raises InputInvalid where the options do not go together."""
    filters = asked.definition is not None or asked.since is not None
    if asked.workflow_ids and (filters or asked.everything):
        raise InputInvalid("workflows are named by their ids, or selected by --all, --definition and --since: not both")
    if not asked.workflow_ids and not filters and not asked.everything:
        raise InputInvalid("say what to export: ids of workflows, --definition NAME, --since TIME, or --all")
    since = read_past(asked.since, "--since", now) if asked.since is not None else None
    return Selection(asked.workflow_ids, asked.definition, since, asked.upto)


def check_format(form: str) -> None:
    """Raise InputInvalid where the format is none."""
    if form not in FORMATS:
        raise InputInvalid(f"--format {form[:40]!r} is none: choose one of {', '.join(FORMATS)}")


def _check_form(asked: Asked) -> None:
    """Raise InputInvalid where the format cannot do what is asked for."""
    if asked.sign is not None and asked.form not in {"jsonl", SEAL}:
        raise InputInvalid("--sign signs a manifest, which only --format jsonl has")
    if asked.form not in {"mermaid", "html"}:
        return
    if len(asked.workflow_ids) != 1:
        raise InputInvalid(f"--format {asked.form} shows one workflow: name it, as in `handrail export wf_001`")
    if asked.upto is not None:
        raise InputInvalid(f"--format {asked.form} shows a workflow as it is: --upto is for the others")
    if asked.redact and asked.form == "mermaid":
        raise InputInvalid("--format mermaid draws what happened in words: --redact is for the others")


class _Progress:
    """Says on stderr, every other second, how far it has come."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._begun_at = self._said_at = time.monotonic()

    def tell(self, workflows: int, events: int) -> None:
        now = time.monotonic()
        if now - self._said_at < PROGRESS_SECONDS:
            return
        self._said_at = now
        rate = events / (now - self._begun_at)
        self._screen.note(f"{counted(events, 'event')} of {counted(workflows, 'workflow')}, {rate:,.0f} events/s")


def _sum_up(screen: Screen, asked: Asked, written: Written) -> None:
    size = asked.output.stat().st_size
    if screen.as_json:
        damage = None if written.damage is None else written.damage._asdict()
        document = {"file": str(asked.output), "format": asked.form, "size": size, **asdict(written), "damage": damage}
        screen.document(document)
    else:
        heads = "the heads of " if asked.form == SEAL else ""
        screen.note(
            f"{asked.output} holds {heads}{counted(written.workflows, 'workflow')} with "
            f"{counted(written.events, 'event')} ({size:,} bytes), as the log was at position {written.position}"
        )
        if written.archived:
            archived = counted(written.archived, "archived workflow")
            screen.note(f"{archived} not in it: `handrail archive` wrote them to files", "yellow")
        if written.cut or written.withheld:
            cut, withheld = counted(written.cut, "value"), counted(written.withheld, "payload")
            screen.note(f"{cut} cut out, {withheld} withheld")
    if written.damage is not None:
        one = written.damage
        named = "`handrail replay --all` names all such workflows"
        if asked.form == "html":
            named = "the page says what is known of it"
        elif asked.form in {"jsonl", SEAL}:
            named += f", `handrail verify {asked.output}` what of it is in the file"
        screen.note(
            f"the store is damaged: workflow {one.workflow_id}, event {one.version} {one.words}; {named}",
            "red",
        )
