"""What a report of one workflow is made of, read from one position of the log: the page, the export, the diagram."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deploy.cli.replaying import Reader, loaded
from deploy.cli.session import Session
from domain.store.application import WorkflowStore
from projections.exporting.diagram import diagram_lines
from projections.exporting.jsonl import JsonLines
from projections.exporting.reading import Histories, Selection
from projections.exporting.redaction import Redaction
from projections.exporting.telling import Teller
from projections.replaying.counting import counts_of
from projections.replaying.reading import History
from projections.replaying.report import build
from projections.replaying.sentences import NOT_KNOWN
from projections.reporting.covering import check_rules, hidden_in, teller
from projections.reporting.facts import Facts, Payload, facts_of, payload_of
from projections.reporting.page import page


@dataclass(frozen=True, slots=True)
class Made:
    """A report about to be written; `cut` and `withheld` count what its rules, or an import, left out of it."""

    facts: Facts
    redaction: Redaction
    cut: int
    withheld: int

    @property
    def position(self) -> int:
        """The position of the log that all of it is of."""
        return self.facts.report.position

    def page(self) -> Iterator[bytes]:
        """The HTML file, in pieces."""
        return page(self.facts)

    def lines(self, store: WorkflowStore) -> Iterator[bytes]:
        """The export of the workflow: JSON Lines that verify."""
        selection = Selection((self.facts.report.workflow,), upto=self.position)
        return JsonLines(selection, self.redaction).lines(Histories(store, store.mapper.clear, selection))

    def diagram(self) -> Iterator[bytes]:
        """The Mermaid diagram."""
        if not self.facts.events:
            why = "no event can be read" if self.facts.report.known_to_end else NOT_KNOWN
            yield f"sequenceDiagram\n    participant handrail\n    Note over handrail: {why}\n".encode()
        else:
            counts = counts_of(self.facts.events)
            hidden = hidden_in(self.facts.payloads) if self.facts.rules else frozenset[int]()
            yield from (f"{line}\n".encode() for line in diagram_lines(self.facts.events, teller(hidden, counts)))


def make(session: Session, store: WorkflowStore, workflow_id: str, redaction: Redaction) -> Made:
    """Read what a report says. Raises WorkflowUnknown, InputInvalid for rules that leave nothing to report."""
    check_rules(redaction)
    definitions = loaded(session)
    with store.reading() as cursor:
        reader = Reader(store, cursor)
        history = reader.history(workflow_id)
        report = build(history, definitions, reader.family, reader.counted, reader.completed)
    told = Teller(redaction)
    payloads = _payloads(store, history, told)
    facts = facts_of(report, history, payloads, redaction.rules)
    return Made(facts, redaction, told.cut, told.withheld)


def _payloads(store: WorkflowStore, history: History, told: Teller) -> dict[int, Payload]:
    """What is shown of each event's payload: what an export of the same workflow shows."""
    selection = Selection((history.workflow_id,), upto=history.position)
    return {
        one.row.version: payload_of(one)
        for exported in Histories(store, store.mapper.clear, selection, lenient=True)
        for one in told.events_of(exported)
    }
