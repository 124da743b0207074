"""What the rooms ask of the store, whatever the database: whole turns, the newest version, nothing half-saved.

`Stage` is a process; two stages on one database are two processes.
"""

from typing import Any

import pytest

from domain.errors import (
    DecisionFault,
    FenceMissed,
    InputInvalid,
    StoreUnavailable,
    VersionConflict,
    WorkflowConflict,
    WorkflowUnknown,
)
from domain.faultpoints import arm
from domain.ids import local_workflow_id
from domain.state import Status
from domain.store.deciding import LAPSED_OTHERWISE, RECEIVED_BEFORE
from domain.store.shelf import Held
from domain.workflow import Outcome, Workflow
from tests.contracts.stage import Note, Stage, goal
from tests.contracts.staged import PAUSE, RESUME, Staged, Stages


class Fuse:
    """Raises once, when the named fault point is reached for the `nth` time."""

    def __init__(self, point: str, error: BaseException, nth: int = 1) -> None:
        self.point = point
        self.error = error
        self.left = nth

    def __call__(self, name: str) -> None:
        if name == self.point:
            self.left -= 1
            if self.left == 0:
                raise self.error


class StoreContract(Staged):
    # --- deciding and reading

    def test_what_was_decided_is_what_is_read(self, stage: Stage, other: Stage) -> None:
        (decided,) = stage.done(stage.start("wf_1"))
        assert list(decided.events) == stage.checked("wf_1") == other.checked("wf_1")
        assert stage.names("wf_1")[:2] == ["WorkflowStarted", "PlanProposed"]
        assert other.store.load("wf_1") == decided.state
        assert decided.ignored is None

    def test_a_workflow_goes_to_its_end(self, stage: Stage) -> None:
        stage.finish(stage.begin("wf_1"))
        assert stage.store.load("wf_1").status is Status.COMPLETED
        assert set(stage.row_states().values()) == {"done"}
        assert len(stage.store.shelf) == 0, "what is over is not kept in memory"

    def test_a_turn_holds_many_workflows(self, stage: Stage) -> None:
        names = [f"wf_{number}" for number in range(300)]
        commands = stage.begin(*names)
        assert [command.workflow_id for command in commands] == names
        stage.finish(commands)
        assert {stage.store.load(name).status for name in names[::50]} == {Status.COMPLETED}

    def test_requests_for_one_workflow_are_decided_in_their_order(self, stage: Stage) -> None:
        commands = stage.begin("wf_1", definition="wide")
        turn = stage.done(*[stage.outcome(command) for command in commands])
        assert [decided.events[0].event.model_dump()["step"] for decided in turn] == ["s0", "s1", "s2", "s3"]
        assert [decided.events[0].originator_version for decided in turn] == sorted(
            decided.events[0].originator_version for decided in turn
        )
        assert len(stage.checked("wf_1")) == turn[-1].state.version

    def test_the_past_can_be_read(self, stage: Stage) -> None:
        stage.finish(stage.begin("wf_1"))
        whole = stage.checked("wf_1")
        assert stage.store.read("wf_1", upto=3) == whole[:3]
        past = stage.store.load("wf_1", upto=3)
        assert (past.version, past.head) == (3, whole[2].digest)
        assert stage.store.load("wf_1", upto=10_000).version == len(whole)

    def test_what_nobody_started_is_unknown(self, stage: Stage) -> None:
        for read in (stage.store.read, stage.store.load):
            with pytest.raises(WorkflowUnknown, match="wf_9"):
                read("wf_9")
        assert not stage.store.exists("wf_9")
        (decided,) = stage.decide(stage.ask("wf_9", PAUSE))
        assert isinstance(decided.error, WorkflowUnknown)
        assert not stage.store.exists("wf_9")

    def test_ids_are_listed_in_pages(self, stage: Stage) -> None:
        stage.begin("wf_2", "wf_1", "wf_3")
        assert stage.store.workflow_ids() == ["wf_1", "wf_2", "wf_3"]
        assert stage.store.workflow_ids(after="wf_1", limit=1) == ["wf_2"]
        assert stage.store.exists("wf_1")

    def test_local_numbers_are_given_once(self, stage: Stage, other: Stage) -> None:
        stage.begin(local_workflow_id(2))
        given = [one.store.next_local_number() for one in (stage, other, stage)]
        assert given == [1, 3, 4]

    # --- refusals and faults

    def test_a_refusal_is_one_request_s_own(self, stage: Stage) -> None:
        stage.begin("wf_1")
        turn = stage.decide(stage.start("wf_2"), stage.ask("wf_1", goal("else")), stage.start("wf_3"))
        assert [type(decided.error) for decided in turn] == [type(None), WorkflowConflict, type(None)]
        assert stage.store.workflow_ids() == ["wf_1", "wf_2", "wf_3"]

    def test_a_workflow_goes_on_after_a_refusal_in_the_same_turn(self, stage: Stage) -> None:
        turn = stage.decide(stage.start("wf_1"), stage.ask("wf_1", goal("else")), stage.ask("wf_1", PAUSE))
        assert [type(decided.error) for decided in turn] == [type(None), WorkflowConflict, type(None)]
        assert stage.names("wf_1")[-1] == "WorkflowPaused"

    def test_a_refusal_leaves_nothing_of_what_was_decided_on_the_way(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stage.begin("wf_1")
        handle = Workflow.handle

        def refuse(workflow: Workflow, *given: Any) -> Outcome:
            handle(workflow, *given)
            monkeypatch.undo()
            raise InputInvalid("no")

        monkeypatch.setattr(Workflow, "handle", refuse)
        turn = stage.decide(stage.ask("wf_1", PAUSE), stage.ask("wf_1", PAUSE))
        assert [type(decided.error) for decided in turn] == [InputInvalid, type(None)]
        assert stage.names("wf_1").count("WorkflowPaused") == 1
        assert turn[1].state.version == len(stage.checked("wf_1"))

    def test_a_request_that_cannot_be_decided_holds_up_no_other(self, stage: Stage) -> None:
        turn = stage.decide(stage.start("wf_1"), stage.start("wf_2", "broken"), stage.start("wf_3"))
        assert [type(decided.error) for decided in turn] == [type(None), DecisionFault, type(None)]
        assert "the registry fell over" in str(turn[1].error)
        assert stage.store.workflow_ids() == ["wf_1", "wf_3"]

    def test_a_request_that_cannot_be_stored_holds_up_no_other(self, stage: Stage) -> None:
        stage.meddler.brings = lambda turn: [
            Note("poison", object()) for decided in turn if decided.request.workflow_id == "wf_2"
        ]
        turn = stage.decide(stage.start("wf_1"), stage.start("wf_2"), stage.start("wf_3"))
        assert [decided.error is None for decided in turn] == [True, False, True]
        assert stage.store.workflow_ids() == ["wf_1", "wf_3"]
        stage.meddler.brings = lambda _: ()
        stage.done(stage.start("wf_2"))

    def test_companions_hear_of_what_stands_only(self, stage: Stage) -> None:
        stage.meddler.brings = lambda turn: [Note(decided.request.workflow_id, "x") for decided in turn]
        stage.decide(stage.start("wf_1"), stage.ask("wf_9", PAUSE))
        assert list(stage.rows("notes")) == ["wf_1"]
        assert [decided.request.workflow_id for decided in stage.meddler.told] == ["wf_1"]

    # --- others decide too

    def test_others_events_are_decided_upon(self, stage: Stage, other: Stage) -> None:
        commands = stage.begin("wf_1")
        other.done(other.ask("wf_1", PAUSE))
        (decided,) = stage.done(stage.outcome(commands[0]))
        assert decided.state.paused
        assert stage.begun.taken() == []
        assert stage.checked("wf_1")[-1].event == decided.events[-1].event

    def test_what_others_decide_while_it_is_read_is_not_missed(
        self, stage: Stage, other: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stage.begin("wf_1")
        select_since = stage.store.recorder.select_since
        cold = other.store.shelf

        def meanwhile(wanted: Any) -> Any:
            found = select_since(wanted)
            monkeypatch.undo()
            stage.done(stage.ask("wf_1", PAUSE))
            return found

        monkeypatch.setattr(other.store.recorder, "select_since", meanwhile)
        for paused in (False, True):
            taken = cold.take(["wf_1"])["wf_1"]
            assert isinstance(taken, Held)
            assert taken.workflow.state.paused is paused
            cold.keep([taken])

    def test_who_comes_second_decides_again(self, stage: Stage, other: Stage) -> None:
        commands = stage.begin("wf_1")
        stage.meddler.then = lambda: other.done(other.ask("wf_1", PAUSE))
        (decided,) = stage.done(stage.outcome(commands[0]))
        assert decided.state.paused
        names = stage.names("wf_1")
        assert names.index("WorkflowPaused") < names.index("StepSucceeded")
        assert names.count("StepScheduled") == 1

    def test_a_start_that_comes_second_meets_the_first(self, stage: Stage, other: Stage) -> None:
        stage.meddler.then = lambda: other.done(other.start("wf_1"))
        (decided,) = stage.done(stage.start("wf_1"))
        assert decided.events == ()
        assert decided.ignored
        assert stage.names("wf_1").count("WorkflowStarted") == 1
        assert stage.begun.taken() == []

    def test_a_decision_without_events_is_made_on_the_newest_version(self, stage: Stage, other: Stage) -> None:
        """Resuming what is not paused is ignored and acknowledged; but it was paused before that was in the store."""
        stage.begin("wf_1")
        stage.meddler.then = lambda: other.done(other.ask("wf_1", PAUSE))
        (decided,) = stage.done(stage.ask("wf_1", RESUME, receipt=stage.received("resume-1")))
        assert stage.names("wf_1")[-2:] == ["WorkflowPaused", "WorkflowResumed"]
        assert decided.ignored is None
        assert stage.row_states()["resume-1"] == "done"

    def test_who_is_always_second_gives_up_and_says_so(self, stage: Stage, other: Stage) -> None:
        commands = stage.begin("wf_1")

        def again() -> None:
            trigger = RESUME if other.store.load("wf_1").paused else PAUSE
            other.done(other.ask("wf_1", trigger))
            stage.meddler.then = again

        stage.meddler.then = again
        (decided,) = stage.decide(stage.outcome(commands[0]))
        assert isinstance(decided.error, VersionConflict)
        stage.meddler.then = None
        stage.done(stage.outcome(commands[0]))

    def test_the_members_of_a_turn_that_failed_are_decided_one_by_one(self, stage: Stage, other: Stage) -> None:
        commands = stage.begin("wf_1", "wf_2", "wf_3")
        stage.meddler.then = lambda: other.done(other.ask("wf_2", PAUSE))
        turn = stage.done(*[stage.outcome(command) for command in commands])
        assert [decided.state.paused for decided in turn] == [False, True, False]
        assert [command.workflow_id for command in stage.begun.taken()] == ["wf_1", "wf_3"]
        for name in ("wf_1", "wf_2", "wf_3"):
            assert stage.names(name).count("StepSucceeded") == 1

    # --- fences

    def test_an_outcome_whose_claim_is_gone_is_still_recorded(self, stage: Stage, other: Stage) -> None:
        commands = stage.begin("wf_1", "wf_2", "wf_3")
        other.done(other.lapse(commands[1]))
        turn = stage.done(*[stage.outcome(command) for command in commands])
        assert [decided.request.completes is None for decided in turn] == [False, True, False]
        assert [bool(decided.events) for decided in turn] == [True, True, True]
        assert stage.row_states()[commands[1].message_id] == "lapsed"
        assert [stage.row_states()[command.message_id] for command in commands[::2]] == ["done", "done"]

    def test_a_claim_that_goes_while_its_outcome_is_saved_fences_it_off(self, stage: Stage, other: Stage) -> None:
        (command,) = stage.begin("wf_1")
        stage.meddler.then = lambda: other.done(other.lapse(command))
        (decided,) = stage.done(stage.outcome(command))
        assert decided.request.completes is None
        assert "AttemptLapsed" in stage.names("wf_1")

    def test_a_lapse_of_a_claim_that_ended_is_nothing(self, stage: Stage, other: Stage) -> None:
        (command,) = stage.begin("wf_1")
        late = stage.lapse(command)
        stage.meddler.then = lambda: other.done(other.outcome(command))
        (decided,) = stage.done(late)
        assert decided.ignored == LAPSED_OTHERWISE
        assert decided.state.version == stage.store.load("wf_1").version
        assert "AttemptLapsed" not in stage.names("wf_1")

    def test_a_message_received_twice_is_decided_once(self, stage: Stage, other: Stage) -> None:
        stage.begin("wf_1")
        stage.done(stage.ask("wf_1", PAUSE, receipt=stage.received("pause-1")))
        stage.done(stage.ask("wf_1", RESUME))
        (decided,) = other.done(other.ask("wf_1", PAUSE, receipt=other.received("pause-1")))
        assert decided.ignored == RECEIVED_BEFORE
        assert other.names("wf_1").count("WorkflowPaused") == 1

    def test_a_command_claimed_while_it_is_revoked_is_waited_for(self, stages: Stages) -> None:
        stage = stages.open("one", claims=False)
        stage.done(stage.start("wf_1"))
        (message,) = stage.row_states()

        def claim() -> None:
            with stage.store.transaction() as cursor:
                cursor.execute("UPDATE inbox SET state = 'claimed', owner = 'one' WHERE message_id = ?", (message,))

        stage.meddler.then = claim
        (decided,) = stage.done(stage.ask("wf_1", PAUSE))
        assert list(decided.state.live) == [message]
        assert stage.row_states() == {message: "claimed"}

    def test_a_command_nobody_claimed_is_revoked(self, stages: Stages) -> None:
        stage = stages.open("one", claims=False)
        stage.done(stage.start("wf_1"))
        (message,) = stage.row_states()
        (decided,) = stage.done(stage.ask("wf_1", PAUSE))
        assert list(decided.state.live) == []
        assert stage.row_states() == {message: "revoked"}

    # --- saves that fail, and saves that only seem to

    def test_nothing_of_a_failed_save_stays_in_memory(self, stage: Stage) -> None:
        commands = stage.begin("wf_1", "wf_2")
        before = stage.store.load("wf_1")
        arm(Fuse("commit.before", StoreUnavailable("the disk is full")))
        with pytest.raises(StoreUnavailable):
            stage.decide(*[stage.outcome(command) for command in commands], stage.start("wf_3"))
        assert stage.store.load("wf_1") == before
        assert not stage.store.exists("wf_3")
        assert stage.begun.taken() == []
        turn = stage.done(*[stage.outcome(command) for command in commands])
        assert [decided.events[0].originator_version for decided in turn] == [before.version + 1] * 2
        stage.finish(stage.begun.taken())
        assert stage.checked("wf_1")

    def test_a_save_that_an_unforeseen_error_ended_is_tried_again(self, stage: Stage) -> None:
        (command,) = stage.begin("wf_1")
        arm(Fuse("commit.before", RuntimeError("whatever")))
        (decided,) = stage.done(stage.outcome(command))
        assert decided.events
        assert stage.names("wf_1").count("StepSucceeded") == 1

    @pytest.mark.parametrize(
        "error", [VersionConflict("lost"), StoreUnavailable("lost"), RuntimeError("lost"), FenceMissed("lost")]
    )
    def test_a_success_whose_answer_was_lost_is_found(self, stage: Stage, error: Exception) -> None:
        commands = stage.begin("wf_1", "wf_2")
        follower = stage.store.follow(stage.store.newest())
        assert follower.take() == []
        arm(Fuse("commit.after", error))
        turn = stage.done(*[stage.outcome(command) for command in commands])
        assert [decided.request.completes is None for decided in turn] == [False, False]
        for decided, command in zip(turn, commands, strict=True):
            assert stage.names(command.workflow_id).count("StepSucceeded") == 1
            assert list(decided.events) == stage.checked(command.workflow_id)[-len(decided.events) :]
        assert [notification.event for notification in follower.take()] == [
            recorded for decided in turn for recorded in decided.events
        ]
        following = stage.begun.taken()
        assert [command.step for command in following] == ["s1", "s1"]
        stage.finish(following)

    def test_a_lost_answer_that_is_not_ours_is_not_taken_for_ours(self, stage: Stage, other: Stage) -> None:
        (command,) = stage.begin("wf_1")
        stage.meddler.then = lambda: other.done(other.outcome(command, output={"value": 7}))
        (decided,) = stage.done(stage.outcome(command, output={"value": 8}))
        assert decided.request.completes is None
        assert stage.begun.taken() == []
        succeeded = [one for one in stage.checked("wf_1") if one.name == "StepSucceeded"]
        assert [one.event.model_dump()["output"] for one in succeeded] == [{"value": 7}]

    def test_a_process_that_is_ended_leaves_nothing_in_memory(self, stage: Stage) -> None:
        (command,) = stage.begin("wf_1")
        arm(Fuse("commit.before", KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            stage.decide(stage.outcome(command))
        stage.done(stage.outcome(command))
        assert stage.checked("wf_1")
