"""The table: race, test, guard. A guard is a piece of a file, and what stands there when it is taken out."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Guard:
    """One race: the tests that hold it (one is enough to turn red), and how to take their guard out."""

    race: str
    test: str
    file: str
    there: str
    taken_out: str
    why: str


_POSTGRES: Final = "tests/integration/postgres/test_races.py::test_"
_STORE: Final = "tests/contracts/test_store_postgres.py::TestPostgresStore::test_"
_OUTBOUND: Final = "tests/integration/outbound/test_"

GUARDS: Final = (
    Guard(
        "a decision on a stale cache",
        f"{_STORE}a_decision_without_events_is_made_on_the_newest_version",
        "domain/store/deciding.py",
        "along.append(VersionsHeld(acknowledged))",
        "pass",
        "what only acknowledges holds the version that it was decided on; what writes is held by its events' versions",
    ),
    Guard(
        "a cached workflow that others have moved on",
        f"{_STORE}what_others_decide_while_it_is_read_is_not_missed",
        "domain/store/shelf.py",
        "if held.seen != seen:",
        "if held.seen < 0:",
        "whatever is in memory is brought up to the store's version before it is decided on",
    ),
    Guard(
        "a command revoked while it waits in the queue",
        "tests/integration/activities/test_workers.py::"
        "test_a_command_that_was_revoked_while_it_waited_in_the_queue_never_runs",
        "consumers/claims.py",
        "({places}) AND state = 'open' \"\n",
        "({places}) AND state <> 'done' \"\n",
        "only an open row is claimed",
    ),
    Guard(
        "cancel over a running attempt",
        "tests/unit/domain/test_running_attempts.py::test_a_cancelled_workflow_waits_for_its_running_attempt",
        "domain/nodes/compensator.py",
        "if state.live or _unsettled(state):",
        "if _unsettled(state):",
        "nothing ends over a running attempt",
    ),
    Guard(
        "the late success of a cancelled attempt",
        "tests/integration/activities/test_late_success.py::test_a_cancelled_workflow_undoes_what_ends_after_all",
        "domain/nodes/compensator.py",
        "if state.live or _unsettled(state):",
        "if _unsettled(state):",
        "the same, on real processes: the effect is undone, because the cancellation waited for it",
    ),
    Guard(
        "a heartbeat against the sweep",
        f"{_OUTBOUND}sweep_race.py::test_a_claim_that_is_renewed_while_the_sweep_decides_does_not_lapse",
        "consumers/inbox.py",
        "(state = 'claimed' AND lease_until <= ? OR state = 'handed_over')",
        "(state = 'claimed' AND ? > 0 OR state = 'handed_over')",
        "the lapse hits its row only where the lease is still over",
    ),
    Guard(
        "re-issue under a backlog",
        f"{_OUTBOUND}reissue.py::test_a_backlog_that_is_being_worked_off_is_not_multiplied",
        "consumers/backlogs.py",
        "elif row.queue in moving:",
        "elif row.queue in moving and False:",
        "what merely waits in a queue that is worked off is left alone",
    ),
    Guard(
        "a commit whose answer was lost",
        f"{_POSTGRES}a_commit_whose_answer_was_lost_is_found_and_not_repeated",
        "domain/store/deciding.py",
        "if not (isinstance(error, Exception) and asked_to_commit and self._is_saved(turn)):",
        "if not asked_to_commit or error is not None:",
        "after a failed save the store is asked whether it has the turn",
    ),
    Guard(
        "two relays after the lock's connection died",
        f"{_OUTBOUND}two_relays.py::test_the_one_that_was_overtaken_moves_nothing_and_steps_down",
        "domain/store/positions.py",
        'f"UPDATE positions SET position = ? WHERE name = ? AND position = ?{self._and}",',
        'f"UPDATE positions SET position = ? WHERE name = ? AND ? >= 0{self._and}",',
        "positions move by compare-and-set",
    ),
    Guard(
        "two projectors after the lock's connection died",
        f"{_OUTBOUND}two_projectors.py::test_the_one_that_was_overtaken_writes_nothing_over_what_is_newer",
        "projections/keeper.py",
        "self._move(self.position).run(cursor)\n",
        "\n",
        "the views' rows are written in one transaction with the position",
    ),
    Guard(
        "an unbound queue",
        f"{_OUTBOUND}real_broker.py::test_a_queue_that_is_missing_stops_nobody_else",
        "producers/publisher.py",
        "message.exchange, message.routing_key, message.mandatory)",
        "message.exchange, message.routing_key, False)",
        "commands are mandatory: what no queue takes comes back, and is parked",
    ),
    Guard(
        "a full queue",
        f"{_OUTBOUND}real_broker.py::test_a_full_queue_stops_nobody_else",
        "producers/relay.py",
        "self._parked = [*self._parked, *not_carried]",
        "pass",
        "what the broker refused is parked with the position, and tried again",
    ),
    Guard(
        "a database away: no good message dead",
        "tests/broker/test_consumer.py::test_a_store_that_is_away_stops_the_consuming_and_kills_no_message",
        "consumers/line.py",
        "except (StoreUnavailable, BrokerUnavailable) as error:",
        "except BrokerUnavailable as error:",
        "trouble of the place is no message's fault: consuming stops, nothing is rejected",
    ),
    Guard(
        "a database away under a whole deployment",
        "tests/integration/serving/test_database_away.py::test_goals_that_come_while_the_database_is_away_wait_for_it",
        "consumers/line.py",
        "except (StoreUnavailable, BrokerUnavailable) as error:",
        "except BrokerUnavailable as error:",
        "the same, on a real database that is stopped",
    ),
    Guard(
        "the same message id from two senders",
        "tests/unit/consumers/test_intake.py::test_the_same_id_of_two_senders_is_two_goals",
        "domain/ids.py",
        "_short_digest('goal', sender, message_id)",
        "_short_digest('goal', message_id)",
        "a workflow's id follows from the sender too",
    ),
    Guard(
        "the same id with another body",
        "tests/contracts/rooms/test_intake.py::test_the_same_id_with_another_body_is_a_conflict",
        "consumers/intake.py",
        "if digest == message.receipt.digest:",
        "if digest:",
        "a receipt stands for one body",
    ),
    Guard(
        "a backup restored",
        "tests/unit/consumers/test_epochs.py::"
        "test_a_command_of_an_older_epoch_is_buried_whether_its_row_is_there_or_not",
        "consumers/waiting.py",
        "elif epoch_of(command.attempt) < epoch:",
        "elif epoch_of(command.attempt) < 0:",
        "commands of the time that was lost are known by their attempt's number",
    ),
    Guard(
        "a follower would skip events if inserts were not serialised",
        f"{_POSTGRES}a_follower_skips_nothing_that_is_committed_late",
        "domain/store/recorder_postgres.py",
        "float8, pg_advisory_xact_lock({INSERTS})::text",
        "float8, {INSERTS}::text",
        "who adds to the log holds an advisory lock until it has committed",
    ),
    Guard(
        "an insert during VACUUM",
        f"{_POSTGRES}an_insert_does_not_wait_for_a_vacuum",
        "domain/store/recorder_postgres.py",
        "            clock = wire.gather(_LOCK_AND_TELL if rows else _LOCK)",
        '            wire.gather("LOCK TABLE stored_events IN EXCLUSIVE MODE")\n'
        "            clock = wire.gather(_LOCK_AND_TELL if rows else _LOCK)",
        "the lock is no lock on the table, as the library's is",
    ),
)
