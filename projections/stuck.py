"""Stuckness: from what is known of a workflow, whether it is stuck, since when, and why. Pure; the causes are closed.

Theory of operation. A workflow that goes on is held by something at every moment: an attempt under way, a wait, a retry
to come. The views keep these holds, each with the instant since when. A hold is judged by itself, from the facts beside
it: its command's row in the inbox, its queue, what the relay has parked. It is stuck once the threshold of the cause
that explains it has passed; a workflow is stuck by the hold that has been stuck the longest. A person's wait within its
deadline is no trouble, nor is a pause.

Each judgement also says when to look again, if nothing happens to the workflow before: nobody has to look at one that
is within its time. What the broker says is not in the log; where it was not asked, no cause rests on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from domain.builtin import is_hidden
from projections.causes import Cause, Stuck
from projections.moves import APPROVAL_EXPIRED, COMPENSATION_FAILED, DEAD_LETTERED, DEFINITION_MISSING
from projections.rows import UNDO, Hold, Trouble, WorkflowRow
from projections.thresholds import Name, Thresholds

ISSUED_IN_VAIN: Final = 3
"""A command that was issued so often, into a queue that is consumed and empty, is lost on its way."""
LOST_AFTER: Final = timedelta(seconds=15)
"""How long its queue must have been empty: a consumer that holds it without room for it says so in less."""
LOOKS_APART_SECONDS: Final = 10
LOOK_AGAIN: Final = timedelta(seconds=15)
"""How soon a stuck command, or one that no cause explains yet, is looked at again: why may change without any event."""
LOOK_SOON: Final = timedelta(seconds=1)
"""The same where the broker is to be heard first: what it said before the time was over says nothing of its end."""
LOOK_CLOSELY: Final = timedelta(minutes=1)
"""So long a command that is nowhere to be seen is looked at as soon, and then only where it was issued in vain."""


DEFINITION_WAIT: Final = ":definition"
BUDGET_WAIT: Final = ":budget"


_CHANGES_UNSEEN: Final = frozenset({Cause.COMMAND_PARKED, Cause.LEASE_LAPSED})
TROUBLE: Final = "trouble:"
UNASKED: Final = "unasked"


@dataclass(frozen=True, slots=True)
class CommandFacts:
    """A command's row in the inbox: `state` as there, how often it was issued again, and until when it is claimed.

    `deferred` says that a limit over all processes holds it back.
    """

    state: str
    issued: int = 0
    lease_until: datetime | None = None
    deferred: bool = False


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """What the broker says of a queue: who consumes it, and how many messages nobody holds.

    `asked_at` is when it said so (None: now), `unserved_since` when it was found without consumers after it had some,
    `empty_since` when it was found empty, for as long as it has been at every look.
    """

    consumers: int
    messages: int = 0
    asked_at: datetime | None = None
    unserved_since: datetime | None = None
    empty_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known beside the views: commands by message id, queues by name, and of workflows by their ids.

    `parked` says since when the relay holds a workflow's command back, `unasked` since when it holds back what is asked
    of another workflow, for want of a definition; `due` what its timer is set to, and `mismatched` since when its
    history is known to be decided otherwise now. A queue that is not there was not asked about.
    """

    commands: Mapping[str, CommandFacts] = field(default_factory=dict)
    queues: Mapping[str, QueueFacts] = field(default_factory=dict)
    parked: Mapping[str, datetime] = field(default_factory=dict)
    unasked: Mapping[str, datetime] = field(default_factory=dict)
    due: Mapping[str, datetime] = field(default_factory=dict)
    mismatched: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a workflow is stuck, and when to look again if nothing happens to it before (None: need not).

    `unheard` says that the broker should have said how a queue is, and did not.
    """

    stuck: Stuck | None = None
    look_at: datetime | None = None
    unheard: bool = False


@dataclass(frozen=True, slots=True)
class _Found:
    """One hold: which cause would explain it, since when the hold is there, and from when on that is too long.

    `seen_at` is when that which the cause rests on was seen, where that was not just now.
    """

    cause: Cause
    since: datetime
    from_when: datetime
    step: str = ""
    key: str = ""
    seen_at: datetime | None = None

    @property
    def of_trouble(self) -> bool:
        """Whether it is what went wrong with a step before."""
        return self.key.startswith(TROUBLE)


def judge(row: WorkflowRow, facts: Facts, now: datetime, thresholds: Thresholds) -> Judgement:
    """Whether the workflow is stuck now, and when to look again."""
    if is_hidden(row.definition):
        return Judgement()
    mismatched = facts.mismatched.get(row.workflow_id)
    if mismatched is not None:
        return Judgement(Stuck(Cause.REPLAY_MISMATCH, mismatched, key=Cause.REPLAY_MISMATCH.value))
    if row.standing.ended is not None or row.standing.paused:
        return Judgement()
    overdue: list[_Found] = []
    looks: list[datetime] = []
    for found in _found(row, facts, thresholds):
        if found.from_when > now:
            looks.append(found.from_when)
        elif found.seen_at is not None and found.seen_at < found.from_when:
            looks.append(now + LOOK_SOON)
        else:
            overdue.append(found)
    on_its_way = {found.step for found in overdue if not found.of_trouble}
    # That a step failed before says less of it than that its next attempt does not begin, or does not end.
    explaining = [found for found in overdue if not found.of_trouble or found.step not in on_its_way]
    stuck = min(explaining, key=lambda found: (found.since, found.cause.value), default=None)
    if any(_may_be_lost(facts, hold, now) for hold in row.standing.live.values()):
        looks.append(now + LOOK_SOON)
    unseen = any(_may_change_unseen(facts, hold) for hold in row.standing.live.values())
    if unseen or (stuck is not None and (stuck.cause in _CHANGES_UNSEEN or stuck.key == UNASKED)):
        looks.append(now + LOOK_AGAIN)
    look_at = min(looks, default=None)
    unheard = any(_is_unheard(facts, hold) for hold in row.standing.live.values())
    if stuck is None:
        return Judgement(None, look_at, unheard)
    return Judgement(Stuck(stuck.cause, stuck.since, stuck.step, stuck.key), look_at, unheard)


def rounded(moment: datetime) -> datetime:
    """When to look, a little later: a row that changes every moment then keeps its place in the index."""
    seconds = moment.timestamp()
    return datetime.fromtimestamp(math.ceil(seconds / LOOKS_APART_SECONDS) * LOOKS_APART_SECONDS, UTC)


def still(row: WorkflowRow, stuck: Stuck) -> bool:
    """Whether the hold that a workflow was stuck by is still there, after events of it."""
    standing, key = row.standing, stuck.key
    if standing.paused:
        return False
    if key.startswith(TROUBLE):
        return key.removeprefix(TROUBLE) in standing.troubles
    held = key in standing.waits or key in standing.pending
    return held or any(hold.message_id == key for hold in standing.live.values())


def _may_change_unseen(facts: Facts, hold: Hold) -> bool:
    """Whether what explains an attempt may change without any event: consumers come and go while it is not claimed."""
    command = facts.commands.get(hold.message_id)
    return command is None or command.state != "claimed"


def _may_be_lost(facts: Facts, hold: Hold, now: datetime) -> bool:
    """Whether a command is in no queue and with nobody, and is called lost as soon as it was issued often enough."""
    command, queue = facts.commands.get(hold.message_id), facts.queues.get(hold.queue)
    if command is None or command.state != "open" or command.deferred or command.issued >= ISSUED_IN_VAIN:
        return False
    if queue is None or queue.messages or not queue.consumers:
        return False
    return command.issued > 0 or now - hold.since < LOOK_CLOSELY


def _is_unheard(facts: Facts, hold: Hold) -> bool:
    """Whether a command waits in a queue of which the broker has not said how it is."""
    command = facts.commands.get(hold.message_id)
    return command is not None and command.state != "claimed" and hold.queue not in facts.queues


def first_look(row: WorkflowRow, thresholds: Thresholds) -> datetime | None:
    """When to look at a workflow for the first time after an event of it, knowing nothing else; None: need not."""
    standing = row.standing
    if standing.ended is not None or standing.paused or is_hidden(row.definition):
        return None
    looks: list[datetime] = []
    if DEFINITION_WAIT in standing.waits:
        return _lacked_since(row)[0] + thresholds.of("definition", row.definition)
    for key, hold in standing.live.items():
        looks.append(hold.since + thresholds.first_of_attempt(row.definition, hold.activity))
        if key in standing.troubles:
            of_trouble: Name = "definition" if _lacks(standing.troubles[key]) else "retrying"
            looks.append(standing.troubles[key].since + thresholds.of(of_trouble, row.definition, hold.activity))
    looks += [found.from_when for found in _waiting(row, thresholds)]
    # Whether a child could be begun, or asked to stop, is told by no event of its parent.
    children = [hold.since for key, hold in standing.waits.items() if key.endswith(":child")]
    if children:
        looks.append(max(children) + thresholds.of("definition", row.definition))
    if not (standing.live or standing.waits or standing.pending):
        looks.append(_nothing_under_way(row, thresholds).from_when)
    return min(looks, default=None)


def _found(row: WorkflowRow, facts: Facts, thresholds: Thresholds) -> Iterator[_Found]:
    standing = row.standing
    if DEFINITION_WAIT in standing.waits:
        # Nothing of it can be run without: whatever else it waits for is no cause of its own.
        after = thresholds.of("definition", row.definition)
        since, key = _lacked_since(row)
        yield _Found(Cause.DEFINITION_MISSING, since, since + after, key=key)
        return
    parked = facts.parked.get(row.workflow_id)
    if parked is not None:
        after = thresholds.of("parked", row.definition)
        yield _Found(Cause.COMMAND_PARKED, parked, parked + after, key=Cause.COMMAND_PARKED.value)
    else:
        for key, hold in standing.live.items():
            yield from _attempt(row, key, hold, facts, thresholds)
    yield from _waiting(row, thresholds)
    unasked = facts.unasked.get(row.workflow_id)
    if unasked is not None:
        after = thresholds.of("definition", row.definition)
        yield _Found(Cause.DEFINITION_MISSING, unasked, unasked + after, key=UNASKED)
    due = facts.due.get(row.workflow_id)
    if due is not None and not _only_people(row):
        yield _Found(Cause.TIMER_OVERDUE, due, due + thresholds.of("timer", row.definition), key="timer")
    if not (standing.live or standing.waits or standing.pending) and parked is None:
        yield _nothing_under_way(row, thresholds)


def _lacks(trouble: Trouble) -> bool:
    """Whether an attempt is not begun because whoever its command came to lacks the definition."""
    return trouble.why == DEFINITION_MISSING


def _lacked_since(row: WorkflowRow) -> tuple[datetime, str]:
    """Since when a workflow waits for its definition, however often that was taken back, and the hold's key."""
    standing = row.standing
    lacking = [(one.since, f"{TROUBLE}{key}") for key, one in standing.troubles.items() if _lacks(one)]
    return min([(standing.waits[DEFINITION_WAIT].since, DEFINITION_WAIT), *lacking])


def _only_people(row: WorkflowRow) -> bool:
    """Whether a timer would have nothing to do but what an approval's own deadline says already."""
    waits = row.standing.waits
    return bool(waits) and not row.standing.pending and all(key.endswith(":approval") for key in waits)


def _nothing_under_way(row: WorkflowRow, thresholds: Thresholds) -> _Found:
    since = row.changed_at or datetime.min.replace(tzinfo=UTC)
    return _Found(Cause.COMMAND_LOST, since, since + thresholds.of("start", row.definition), key="nothing")


def _attempt(row: WorkflowRow, key: str, hold: Hold, facts: Facts, thresholds: Thresholds) -> Iterator[_Found]:
    """What may be wrong with an attempt under way."""
    step = row.standing.undoing or "" if key == UNDO else key

    def after(name: Name) -> timedelta:
        return thresholds.of(name, row.definition, hold.activity)

    trouble = row.standing.troubles.get(key)
    command, queue = facts.commands.get(hold.message_id), facts.queues.get(hold.queue)
    consumed = queue is None or queue.consumers > 0
    if trouble is not None and _lacks(trouble):
        if consumed and (command is None or command.state == "open"):
            since = trouble.since
            yield _Found(Cause.DEFINITION_MISSING, since, since + after("definition"), step, f"{TROUBLE}{key}")
            return
    elif trouble is not None:
        cause = Cause.DEAD_LETTERED if trouble.why == DEAD_LETTERED else Cause.RETRYING_TOO_LONG
        yield _Found(cause, trouble.since, trouble.since + after("retrying"), step, f"{TROUBLE}{key}")
    if command is None:
        return
    if command.state == "claimed":
        lease = command.lease_until
        if lease is not None:
            yield _Found(Cause.LEASE_LAPSED, lease, lease + after("lease"), step, hold.message_id)
    elif command.state in {"open", "handed_over"}:
        explained = _not_begun(command, queue)
        if explained is not None:
            cause, name = explained
            since, seen_at = hold.since, queue.asked_at if queue is not None else None
            if cause is Cause.NO_CONSUMER and queue is not None and queue.unserved_since is not None:
                since = max(since, queue.unserved_since)
            from_when = since + after(name)
            if cause is Cause.COMMAND_LOST and queue is not None and queue.empty_since is not None:
                from_when = max(from_when, queue.empty_since + LOST_AFTER)
            yield _Found(cause, since, from_when, step, hold.message_id, seen_at)


def _not_begun(command: CommandFacts, queue: QueueFacts | None) -> tuple[Cause, Name] | None:
    """What explains that a command is not begun, and the threshold of that; None where nothing has to."""
    if command.deferred:
        return Cause.BACKLOG, "start"
    if queue is not None and not queue.consumers:
        return Cause.NO_CONSUMER, "consumer"
    if command.state == "handed_over":
        return (Cause.BACKLOG, "start") if queue is not None and queue.messages else None
    if queue is not None and not queue.messages and command.issued >= ISSUED_IN_VAIN:
        return Cause.COMMAND_LOST, "consumer"
    return Cause.BACKLOG, "start"


def _waiting(row: WorkflowRow, thresholds: Thresholds) -> Iterator[_Found]:
    """What may be wrong with waits and with what is to come: all of it is in the row."""
    standing = row.standing

    def after(name: Name) -> timedelta:
        return thresholds.of(name, row.definition)

    for key, hold in standing.pending.items():
        step = key.partition(":")[2]
        trouble = standing.troubles.get(step)
        shown = standing.undoing or "" if step == UNDO else step
        if trouble is not None and not _lacks(trouble):
            cause = Cause.DEAD_LETTERED if trouble.why == DEAD_LETTERED else Cause.RETRYING_TOO_LONG
            retrying = thresholds.of("retrying", row.definition, trouble.activity)
            yield _Found(cause, trouble.since, trouble.since + retrying, shown, f"{TROUBLE}{step}")
        if hold.due_at is not None and BUDGET_WAIT not in standing.waits:
            yield _Found(Cause.TIMER_OVERDUE, hold.due_at, hold.due_at + after("timer"), shown, key)
    for key, hold in standing.waits.items():
        step, _, reason = key.rpartition(":")
        if reason == "approval":
            yield _approval(step, key, hold, after)
        elif reason == "outcome_unknown":
            yield _Found(Cause.OUTCOME_UNKNOWN, hold.since, hold.since, step, key)
        elif reason in {"intervention", "budget"}:
            yield _Found(_asked_why(row, step), hold.since, hold.since, step, key)
        elif hold.due_at is not None:
            yield _Found(Cause.TIMER_OVERDUE, hold.due_at, hold.due_at + after("timer"), step, key)
    if row.deadline_at is not None and not standing.stopping and not standing.compensating:
        yield _Found(Cause.TIMER_OVERDUE, row.deadline_at, row.deadline_at + after("timer"), key="deadline")


def _approval(step: str, key: str, hold: Hold, after: Callable[[Name], timedelta]) -> _Found:
    """A person's wait is within its time until its deadline, or until the threshold where it has none."""
    if hold.due_at is not None:
        return _Found(Cause.APPROVAL_OVERDUE, hold.due_at, hold.due_at + after("timer"), step, key)
    return _Found(Cause.APPROVAL_OVERDUE, hold.since, hold.since + after("approval"), step, key)


def _asked_why(row: WorkflowRow, step: str) -> Cause:
    """Why a person is asked: for what went wrong before, where that is a cause of its own."""
    troubles = row.standing.troubles
    undoing = troubles.get(UNDO)
    if undoing is not None and undoing.why == COMPENSATION_FAILED and row.standing.undoing == step:
        return Cause.COMPENSATION_FAILED
    why = troubles[step].why if step in troubles else ""
    if why == DEAD_LETTERED:
        return Cause.DEAD_LETTERED
    return Cause.APPROVAL_OVERDUE if why == APPROVAL_EXPIRED else Cause.INTERVENTION_NEEDED
