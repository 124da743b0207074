"""A workflow driven at random: triggers in any order, repeated, late and lost, with a model of the inbox beside it.

The driver is what surrounds a workflow: workers that claim commands, end them, die over them or report when nobody
expects it any more; timers that come late, twice or never; people who decide and interfere; children; restarts. After
each decision it holds the workflow to what must always hold. `finish` then shows that from wherever a workflow has got
to, a patient operator can bring it to its end.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from domain import events as e
from domain.definitions import Definition
from domain.errors import Refused
from domain.recorded import RecordedEvent, from_state, to_state, verify
from domain.replay import decide_again, fold
from domain.state import STATE, State, StepStatus
from domain.triggers import (
    CancelWorkflow,
    DeadLetterCommand,
    DeliverSignal,
    EndChild,
    ExtendBudget,
    ForkHere,
    ForkWorkflow,
    Given,
    LapseAttempt,
    PauseWorkflow,
    RecordDecision,
    RecordOutcome,
    ResumeWorkflow,
    RetryStep,
    SettleOutcome,
    SkipStep,
    StartWorkflow,
    SupplyOutput,
    Trigger,
    Wake,
)
from domain.workflow import Outcome, Workflow
from tests.properties import worlds
from tests.properties.answers import answer, ok, same_attempt, timed_out
from tests.properties.approvals import Approvals
from tests.properties.backups import Backups
from tests.properties.chance import Chance, one_in, one_of, weighted
from tests.properties.effects import Effects
from tests.unit.domain.scenario import BEGINNING, ID, Loaded

ROUNDS_TO_THE_END: Final = 400
AFTER_THE_END: Final = (
    e.LateOutcomeRecorded, e.InterventionRequested, e.InterventionApplied, e.DecisionRefused, e.ForkTaken
)  # fmt: skip
"""All that a workflow may record once it is over: none of it acts."""


class Driver:
    """One workflow, its surroundings, and what is known of both. `thorough` checks the fold after every decision."""

    def __init__(
        self,
        chance: Chance,
        *,
        thorough: bool = True,
        definition: Definition | None = None,
        first: Trigger | None = None,
    ) -> None:
        self.chance = chance
        self.thorough = thorough
        self.definition = definition or worlds.definition(chance)
        self.known = Loaded({("test", "1"): self.definition})
        self.loaded = True
        self.now = BEGINNING
        self.workflow = Workflow(ID)
        self.shadow = Workflow(ID)
        self.history: list[RecordedEvent] = []
        self.effects = Effects()
        self.open: dict[str, e.StepScheduled] = {}
        self.claimed: dict[str, e.StepScheduled] = {}
        self.lost: list[e.StepScheduled] = []
        self.told: list[Trigger] = []
        self.children: dict[str, str] = {}
        self.born: set[str] = set()
        self.approvals = Approvals()
        self.seen: set[str] = set()
        self.begun: set[tuple[str, str, int]] = set()
        self.backups = Backups()
        self.paused = self.stopping = False
        self.decide(first or self.goal())

    def forked(self, version: int | None = None) -> Driver:
        """A fork of this workflow at a version of it, at some if none is named."""
        if version is None:
            version = 1 + self.chance.below(len(self.history))
        first = ForkWorkflow(
            source=ID,
            source_version=version,
            source_digest=self.history[version - 1].digest,
            state=STATE.dump_python(fold(self.history, upto=version), mode="json"),
            requested_by="rita",
        )
        return Driver(self.chance, thorough=self.thorough, definition=self.definition, first=first)

    # --- deciding ---------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self.workflow.state

    def goal(self) -> StartWorkflow:
        return StartWorkflow(
            goal="goal", definition="test", definition_version="1", input={"odd": True}, requested_by="rita"
        )

    def decide(self, trigger: Trigger, *, at: datetime | None = None) -> Outcome | None:
        """Decide as the store would, and take the events in; None where the request was refused."""
        ended = self.state.ended
        given = Given(trigger, at or self.now, "cause", "actor", frozenset(self.open))
        try:
            outcome = self.workflow.handle(given, self.definition if self.loaded else None)
        except Refused:
            assert not self.loaded, "only the lack of the definition is a reason to refuse here"
            self.restart()
            return None
        events = list(self.workflow.collect_events())
        for recorded in events:
            self._take_in(recorded.event, ended=ended)
        self.history.extend(events)
        self._check(events, trigger)
        if ended is None and self.state.ended is not None:
            self._check_end()
        return outcome

    def _take_in(self, event: e.Event, *, ended: str | None) -> None:
        assert ended is None or isinstance(event, AFTER_THE_END), f"{event.stored_name} after the end"
        self._hold_back(event)
        for command in getattr(event, "revoked", ()):
            assert command in self.open, f"{event.stored_name} revokes {command}, which is not open"
            del self.open[command]
        self.backups.lost.observe(event, self.effects.scheduled)
        if isinstance(event, e.StepScheduled):
            rows = (self.open | self.claimed).values()
            assert all(row.step != event.step for row in rows), f"two live attempts of {event.step}"
            assert (event.step, event.attempt) not in self.effects.scheduled, f"{event.message_id} comes twice"
            self.open[event.message_id] = event
        elif isinstance(event, e.ChildStarted):
            assert event.child_workflow not in self.born, "each child has an id of its own"
            self.born.add(event.child_workflow)
            self.children[event.child_workflow] = event.step
        elif isinstance(event, (e.CompensationStarted, *e.TERMINAL_EVENTS)):
            assert not self.open, "an end over an open command"
            assert not self.claimed, "an end over a running attempt"
        self.effects.observe(event)
        self.approvals.observe(event)

    def _hold_back(self, event: e.Event) -> None:
        """While paused nothing new begins; once stopping has begun, only what undoes and what asks."""
        begins = isinstance(event, e.StepScheduled | e.ChildStarted | e.CompensationScheduled)
        assert not (self.paused and begins), f"{event.stored_name} while paused"
        if self.stopping:
            assert not isinstance(event, e.ChildStarted | e.StoppingBegan | e.ApprovalRequested)
            assert not isinstance(event, e.StepScheduled) or event.kind in {"compensate", "probe"}
        if isinstance(event, e.WorkflowPaused | e.WorkflowResumed | e.StoppingBegan):
            self.paused = isinstance(event, e.WorkflowPaused)
            self.stopping = isinstance(event, e.StoppingBegan)

    def restart(self) -> None:
        """The process is gone; what the store has is folded anew, or read from a snapshot."""
        state = fold([_stored(one) for one in self.history])
        if one_in(self.chance, 2):
            state = STATE.validate_json(STATE.dump_json(state))
        self.workflow = Workflow(ID, state)

    def folded(self) -> Workflow:
        """The history as it is stored, folded anew."""
        return Workflow(ID, fold([_stored(one) for one in self.history]))

    # --- what must always hold --------------------------------------------------------------------------------------

    def _check(self, events: list[RecordedEvent], trigger: Trigger) -> None:
        state = self.state
        self.seen.add(state.status.value)
        self.seen.update(f"wait:{wait.reason}" for wait in state.waits.values())
        assert set(state.live) == set(self.open) | set(self.claimed), "an attempt is live until it has ended, once"
        if state.ended is not None:
            assert not state.live
            assert not self.children, "an end over a running child"
        if isinstance(trigger, Wake) and state.next_due is not None:
            assert state.next_due > self.now, "a timer that fires at once, again and again"
        running = sum(command.kind == "run" for command in (self.open | self.claimed).values())
        assert running <= self.definition.parallel
        if self.thorough:
            for recorded in events:
                self.shadow.apply(_stored(recorded))
            assert self.shadow.state == state, "the fold of what is stored is the live state"
            assert STATE.validate_json(STATE.dump_json(state)) == state, "a snapshot keeps the state"

    def _check_end(self) -> None:
        state = self.state
        unknown = [step.id for step in state.steps.values() if step.status is StepStatus.OUTCOME_UNKNOWN]
        assert not unknown, "an end over an unknown outcome"
        if state.stopping is None:
            assert not self.effects.undone, "undone without need"
        elif not state.stopping.compensate:
            assert not self.effects.undone, "undone although that was not asked for"
        else:
            assert not self.effects.left(), f"not undone: {self.effects.left()}"

    def check_history(self) -> None:
        """What is checked once, of the whole record."""
        verify(self.history, head=self.state.head)
        assert decide_again([_stored(one) for one in self.history], self.known) is None
        attempts: dict[str, int] = {}
        keys: dict[tuple[str, str, int], str] = {}
        for command in self.effects.scheduled.values():
            assert command.attempt > attempts.get(command.step, 0), "attempt numbers rise"
            attempts[command.step] = command.attempt
            named = (command.step, "run" if command.kind == "probe" else command.kind, command.generation)
            assert keys.setdefault(named, command.key) == command.key, "one key for all attempts of a generation"
        assert len(set(keys.values())) == len(keys), "a key of its own for each generation and kind"

    # --- one step of the surroundings -------------------------------------------------------------------------------

    def step(self) -> None:
        """Something happens."""
        weighted(self.chance, self._happenings())()

    def _happenings(self) -> tuple[tuple[int, Callable[[], object]], ...]:
        return (
            (10, self.a_worker_answers),
            (4, self.a_worker_claims),
            (3, self.time_passes_and_a_timer_fires),
            (4, self.somebody_decides),
            (2, self.a_worker_is_lost),
            (2, self.a_lost_worker_answers),
            (1, self.a_message_comes_twice),
            (1, self.a_command_is_given_up),
            (2, self.a_signal_comes),
            (3, self.a_child_ends),
            (3, self.an_operator_acts),
            (1, self.a_timer_fires_for_nothing),
            (1, self.time_passes),
            (1, self.the_workflow_is_paused_or_resumed),
            (1, self.the_workflow_is_cancelled),
            (1, self.a_fork_is_taken),
            (1, self.the_definition_comes_or_goes),
            (1, self.restart),
            (1, self.a_backup_is_taken),
            (1, self.the_backup_is_put_back),
        )

    def a_backup_is_taken(self) -> None:
        self.backups.take(self)

    def the_backup_is_put_back(self) -> None:
        self.backups.put_back(self)

    def a_worker_claims(self) -> None:
        if self.open:
            self._claim(one_of(self.chance, tuple(self.open)))

    def _claim(self, command: str) -> None:
        self.claimed[command] = row = self.open.pop(command)
        self.effects.began(row)
        self.backups.lost.check_begins(row, only_once=worlds.once(row.activity))
        self.begun.add((row.kind, row.step, row.generation))

    def a_worker_answers(self) -> None:
        """A claimed attempt ends and is reported; where none is claimed, one is claimed first."""
        if not self.claimed:
            self.a_worker_claims()
        if self.claimed:
            command = self.claimed.pop(one_of(self.chance, tuple(self.claimed)))
            self._answer(command, answer(self.chance, command, self._proposal))

    def _answer(self, command: e.StepScheduled, outcome: RecordOutcome) -> None:
        self.effects.heard(outcome, late=False)
        if timed_out(outcome) and command.kind != "compensate":
            self.lost.append(command)
        self.told.append(outcome)
        self.decide(outcome, at=self.now - timedelta(seconds=self.chance.below(3)))

    def a_worker_is_lost(self) -> None:
        if not self.claimed:
            return
        command = self.claimed.pop(one_of(self.chance, tuple(self.claimed)))
        self.lost.append(command)
        self.effects.may_stand(command.step, command.attempt)
        lapse = LapseAttempt(step=command.step, kind=command.kind, attempt=command.attempt, owner="worker")
        self.told.append(lapse)
        self.decide(lapse)

    def a_lost_worker_answers(self) -> None:
        if not self.lost:
            return
        command = self.lost.pop(self.chance.below(len(self.lost)))
        outcome = answer(self.chance, command, self._proposal)
        late_again = timed_out(outcome)
        said_before = late_again and any(timed_out(one) and same_attempt(one, outcome) for one in self.told)
        if late_again:
            self.lost.append(command)  # its code may still end
        self.effects.heard(outcome, late=True)
        self.told.append(outcome)
        decided = self.decide(outcome)
        assert decided is not None
        recorded = any(isinstance(one.event, e.LateOutcomeRecorded) for one in decided.events)
        assert recorded is not said_before, "what comes late is recorded, once"

    def a_message_comes_twice(self) -> None:
        triggers = [*self.told, self.goal()]
        again = triggers[self.chance.below(len(triggers))]
        decided = self.decide(again)
        assert decided is None or decided.ignored is not None, f"{again} counted twice"

    def a_command_is_given_up(self) -> None:
        rows = self.open | self.claimed
        if not rows:
            return
        command = rows[one_of(self.chance, tuple(rows))]
        self.decide(DeadLetterCommand(step=command.step, kind=command.kind, attempt=command.attempt, reason="limit"))

    def time_passes(self) -> None:
        self.now += timedelta(seconds=one_of(self.chance, (1, 30, 120)))

    def time_passes_and_a_timer_fires(self) -> None:
        due = self.state.next_due
        if due is None or due <= self.now or one_in(self.chance, 3):
            self.time_passes()
        else:
            self.now = due
        self.decide(Wake())

    def a_timer_fires_for_nothing(self) -> None:
        self.decide(Wake())

    def somebody_decides(self) -> None:
        ballots = list(self.state.ballots.values())
        if not ballots:
            return
        asked = one_of(self.chance, ballots).request
        quoted: dict[str, Any] = {"approval_id": asked.approval_id, "round": asked.round, "digest": asked.digest}
        wrong = one_in(self.chance, 8)
        if wrong:
            quoted |= one_of(self.chance, ({"digest": "0" * 64}, {"round": 9}, {"approval_id": "other.1"}))
        decision = RecordDecision(
            decision="reject" if one_in(self.chance, 5) else "approve",
            decided_by=one_of(self.chance, worlds.PEOPLE),
            controls=("be careful",) if one_in(self.chance, 3) else (),
            **quoted,
        )
        decided = self.decide(decision)
        counted = decided is not None and any(isinstance(one.event, e.ApprovalRecorded) for one in decided.events)
        assert not (wrong and counted), "a decision that quotes something else counts"

    def a_signal_comes(self) -> None:
        self.decide(DeliverSignal(name="news", correlation=f"key-{self.chance.below(3)}", payload={"n": 1}))

    def a_child_ends(self) -> None:
        if not self.children:
            return
        child = one_of(self.chance, tuple(self.children))
        step = self.children.pop(child)
        effects = [
            e.Undo(step="inner", activity="reserve", compensation="undo_reserve", key=f"{child}/inner/run"),
            e.Undo(step="last", activity="ship", compensation=None, key=f"{child}/last/run"),
        ]
        end = EndChild(
            step=step,
            child_workflow=child,
            status=weighted(self.chance, ((5, "completed"), (1, "failed"), (1, "cancelled"), (1, "compensated"))),
            output={"value": 1},
            effects=tuple(effects[: weighted(self.chance, ((3, 0), (2, 1), (1, 2)))]),
        )
        self.told.append(end)
        self.decide(end)

    def an_operator_acts(self) -> None:
        steps = [*self.state.steps, *self.state.settled][:8]
        if self.state.undoing is not None:
            steps.insert(0, self.state.undoing.step)
        if one_in(self.chance, 2):  # where somebody is waited for, operators come more often
            steps = [wait.step for wait in self.state.waits.values() if wait.step] or steps
        if not steps:
            return
        common: dict[str, Any] = {
            "step": one_of(self.chance, steps),
            "by": one_of(self.chance, worlds.PEOPLE),
            "reason": "so",
        }
        act: Trigger = weighted(
            self.chance,
            (
                (3, RetryStep(**common, input=one_of(self.chance, (None, {"number": 7})))),
                (1, SkipStep(**common)),
                (1, SupplyOutput(**common, output={"value": 2})),
                (2, SettleOutcome(**common, applied=one_in(self.chance, 2))),
                (1, ExtendBudget(by=common["by"], reason="so", attempts=2)),
            ),
        )
        self.decide(act)

    def the_workflow_is_paused_or_resumed(self) -> None:
        act = ResumeWorkflow if self.state.paused else PauseWorkflow
        self.decide(act(by="oscar", reason="so"))

    def a_fork_is_taken(self) -> None:
        if one_in(self.chance, 4):
            state = self.state
            ended, waits = state.ended, dict(state.waits)
            act = ForkHere(
                by="oscar", reason="so", version=state.version, digest=state.head, fork=f"wf_{state.version}"
            )
            self.decide(act)
            if ended is not None:
                assert (self.state.ended, self.state.waits) == (ended, waits), "a fork changes what is over"

    def the_workflow_is_cancelled(self) -> None:
        if one_in(self.chance, 4):
            self.decide(CancelWorkflow(by="oscar", reason="so", compensate=not one_in(self.chance, 3)))

    def the_definition_comes_or_goes(self) -> None:
        self.loaded = not self.loaded
        self.decide(Wake())

    def _proposal(self) -> Any:
        known = [*self.state.settled, *self.state.steps]
        earlier = [name for name in known if not name.startswith("_")]
        planned = [one.model_dump(mode="json") for one in worlds.steps(self.chance, self.chance.below(3), earlier)]
        return weighted(
            self.chance,
            (
                (5, {"steps": planned, "done": True, "reason": "enough"}),
                (3, {"steps": planned, "done": False}),
                (1, {"steps": [{"id": "x", "activity": "unheard-of"}], "done": True}),
                (1, "nonsense"),
            ),
        )

    # --- to the end -------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """A patient operator brings the workflow to its end: everything is answered, decided and settled."""
        self.loaded = True
        for _ in range(ROUNDS_TO_THE_END):
            if self.state.ended is not None:
                return
            self._help()
        raise AssertionError(f"stuck: {self.state.status.value}, waits {sorted(self.state.waits)}")

    def _help(self) -> None:
        if self.state.paused:
            self.decide(ResumeWorkflow(by="oscar", reason="to the end"))
        for command in list(self.open):
            if command in self.open:
                self._claim(command)
        for command in list(self.claimed):
            row = self.claimed.pop(command)
            output: Any = {"steps": [], "done": True} if row.kind == "plan" else {"value": 3}
            self._answer(row, ok(row, output))
        for child, step in list(self.children.items()):
            del self.children[child]
            self.decide(EndChild(step=step, child_workflow=child, status="completed"))
        for wait in list(self.state.waits.values()):
            self._help_out(wait.step, wait.reason)
        self.now = max(self.now, self.state.next_due or self.now)
        self.decide(Wake())

    def _help_out(self, step: str, reason: str) -> None:
        """What a person does about a wait, if it is still open."""
        if not any((wait.step, wait.reason) == (step, reason) for wait in self.state.waits.values()):
            return
        person: dict[str, Any] = {"by": "oscar", "reason": "to the end"}
        if reason == "approval":
            asked = self.state.ballots[step].request
            quoted: dict[str, Any] = {"approval_id": asked.approval_id, "round": asked.round, "digest": asked.digest}
            for who in ("ann", "bob", "eve", "zoe"):
                if step in self.state.ballots:
                    self.decide(RecordDecision(decision="approve", decided_by=who, **quoted))
            if step in self.state.ballots:
                self.decide(SkipStep(step=step, **person))
        elif reason in {"signal", "time", "intervention"}:
            self.decide(SkipStep(step=step, **person))
        elif reason == "outcome_unknown":
            self.decide(SettleOutcome(step=step, applied=True, **person))
        elif reason == "budget":
            self.decide(ExtendBudget(attempts=10, **person))


def _stored(recorded: RecordedEvent) -> RecordedEvent:
    return from_state(recorded.originator_id, recorded.originator_version, recorded.name, to_state(recorded))
