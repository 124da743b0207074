"""Histories with everything that a workflow can go through, and texts that formats have trouble with."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

from domain import events as e
from domain.chain import GENESIS
from domain.failures import FailureClass, make_failure
from domain.recorded import RecordedEvent, record, stamp
from tests.integration.exports.stock import histories, key_of
from tests.unit.projections.histories import START, forked, history

HOSTILE: Final = (
    "null",
    "a\x00b\x1b[2J\x7f\x85",
    "<&\"'>]]><!--",
    "\r\n\t ",
    "\ufffe\uffff\ufdd0\U0001ffff",
    "Zoë 🐙 \u202e\u2028",
    '"}]}\n{"id":1',
    "=1+1",
)
"""Texts that mean something to a format, or that it cannot hold."""


def stories(workflows: int = 40) -> list[list[RecordedEvent]]:
    """Histories by chance that have every kind of event among them, a fork, and one of such texts."""
    made = histories(workflows, decisions=40)
    made.append(list(forked(history(3, 30), 3, 20)))
    made.append(list(hostile("wf_hostile")))
    return made


def child_of(parent: str) -> list[RecordedEvent]:
    """The beginning of a workflow that another one awaits."""
    begun = e.WorkflowStarted(
        goal="a child",
        definition="other",
        definition_version="1",
        input={},
        requested_by="rita",
        parent_workflow=parent,
        parent_step="child",
    )
    return [record(begun, stamp(f"{parent}.child", START, f"{parent}/9", "runtime", 1), 1, GENESIS)]


def hostile(workflow_id: str, texts: Sequence[str] = HOSTILE) -> Iterable[RecordedEvent]:
    """A history in which such texts stand wherever one can."""
    made: list[e.Event] = [
        e.WorkflowStarted(goal=texts[0], definition="odd", definition_version="1", input={}, requested_by=texts[0])
    ]
    for text in texts:
        failure = make_failure("put", FailureClass.BUG, text)
        made += [
            e.PolicyEvaluated(step=text, policy=text, policy_version="1", verdict="allow", reason=text),
            e.StepScheduled(
                step=text,
                kind="run",
                attempt=1,
                message_id=f"{workflow_id}/{text}/run/1",
                activity=text,
                queue=text,
                input={text: text},
                expires_at=START,
                key=text,
            ),
            e.AttemptFailed(step=text, kind="run", attempt=1, failure=failure, worker=text),
            e.WaitStarted(step=text, reason="signal", name=text, detail=text),
            e.DecisionRefused(approval_id=text, decided_by=text, decision=text, reason=text),
            e.ArtifactRecorded(step=text, attempt=1, name=text, digest=text, size=2**40),
            e.ForkTaken(fork=text, version=1, digest=GENESIS, by=text, reason=text, input={text: text}),
            e.ChildStarted(step=text, child_workflow=f"{text}.child", definition=text, goal=text, input={}),
        ]
    previous = GENESIS
    for version, event in enumerate(made, start=1):
        text = texts[version % len(texts)]
        stamped = stamp(workflow_id, START + timedelta(microseconds=version), text, text, 1)
        one = record(event, stamped, version, previous, key_of(workflow_id))
        previous = one.digest
        yield one
