"""Claims, renewals and the sweep's questions, on a real database by its own clock."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.claims import LONGEST_REISSUE_SECONDS, ClaimedRow, Claims, OpenRow, Renewed
from domain.store.application import WorkflowStore
from tests.unit.consumers.stage import LEASE_SECONDS, OWNER, DatabaseClock, open_inbox, put, rows


@pytest.fixture
def clock() -> DatabaseClock:
    return DatabaseClock()


@pytest.fixture
def store(tmp_path: Path, clock: DatabaseClock) -> Iterator[WorkflowStore]:
    opened = open_inbox(tmp_path, clock)
    yield opened
    opened.close()


@pytest.fixture
def claims(store: WorkflowStore) -> Claims:
    return Claims(store, OWNER, lease_seconds=LEASE_SECONDS)


def test_only_what_is_open_is_claimed_all_with_one_statement(store: WorkflowStore, claims: Claims) -> None:
    opened = [put(store, f"wf_{number}") for number in range(3)]
    others = [put(store, "wf_done", "done"), put(store, "wf_theirs", "claimed", "there-2")]
    assert claims.claim([*opened, *others, "wf_none/a/run/1"]) == set(opened)
    assert rows(store)["wf_0"] == ("claimed", OWNER)
    assert rows(store)["wf_theirs"] == ("claimed", "there-2")
    assert claims.claim(opened) == set()
    assert claims.known([opened[0], others[0], "wf_none/a/run/1"]) == {
        opened[0]: ("claimed", OWNER),
        others[0]: ("done", None),
    }


def test_of_two_claimants_one_wins(store: WorkflowStore, claims: Claims) -> None:
    name = put(store, "wf_1")
    other = Claims(store, "there-2", lease_seconds=LEASE_SECONDS)
    assert other.claim([name]) == {name}
    assert claims.claim([name]) == set()


def test_a_renewal_says_what_is_still_held(store: WorkflowStore, claims: Claims, clock: DatabaseClock) -> None:
    mine = put(store, "wf_1", "claimed", OWNER, lease_until=clock.at + 1)
    theirs = put(store, "wf_2", "claimed", "there-2", lease_until=clock.at + 1)
    lapsed = put(store, "wf_3", "lapsed", OWNER, lease_until=clock.at + 1)
    clock.at += 20
    assert claims.renew([mine, theirs, lapsed]) == Renewed(frozenset({mine}))
    assert claims.run_out(10) == [ClaimedRow("wf_2/a/run/1", "wf_2", "there-2")]
    clock.at += LEASE_SECONDS
    assert {row.workflow_id for row in claims.run_out(10)} == {"wf_1", "wf_2"}


def test_a_claim_that_nobody_runs_is_not_renewed_with_the_others(
    store: WorkflowStore, claims: Claims, clock: DatabaseClock
) -> None:
    mine = put(store, "wf_1", "claimed", OWNER, lease_until=clock.at + 1)
    put(store, "wf_2", "claimed", OWNER, lease_until=clock.at + 1)
    clock.at += 20
    claims.renew([mine])
    assert [row.workflow_id for row in claims.run_out(10)] == ["wf_2"]


def test_a_new_holder_finds_the_claims_of_all_others(store: WorkflowStore, claims: Claims) -> None:
    put(store, "wf_1", "claimed", OWNER, lease_until=9e9)
    put(store, "wf_2", "claimed", "there-2", lease_until=9e9)
    put(store, "wf_3", "claimed", "there-3", lease_until=0.0)
    assert {row.owner for row in claims.left_by_others()} == {"there-2", "there-3"}
    assert [row.workflow_id for row in claims.left_by_others({"wf_3", "wf_9"})] == ["wf_3"]
    assert claims.left_by_others(set()) == []


def test_expiry_goes_by_the_engines_clock(store: WorkflowStore, claims: Claims) -> None:
    put(store, "wf_1", expires_at=100.0)
    put(store, "wf_2", "claimed", OWNER, expires_at=100.0)
    put(store, "wf_3", expires_at=200.0)
    assert claims.expired(100.0, 10) == [OpenRow("wf_1/a/run/1", "wf_1", 3)]
    assert claims.expired(99.0, 10) == []
    assert len(claims.expired(200.0, 1)) == 1


def test_commands_nobody_claims_are_issued_again_at_doubling_intervals(
    store: WorkflowStore, claims: Claims, clock: DatabaseClock
) -> None:
    name = put(store, "wf_1", issue_after=clock.at)
    waits: list[float] = []
    for _ in range(10):
        assert [row.message_id for row in claims.not_claimed(10)] == [name]
        claims.note_issued([name])
        ((after,),) = store.query("SELECT issue_after FROM inbox")
        waits.append(after - clock.at)
        clock.at = after - 1
        assert claims.not_claimed(10) == []
        clock.at = after
    assert waits == [45, 60, 120, 240, 480, 960, 1_920, *[LONGEST_REISSUE_SECONDS] * 3]


def test_within_a_horizon_what_is_due_soon_is_found_the_longest_due_first(
    store: WorkflowStore, claims: Claims, clock: DatabaseClock
) -> None:
    put(store, "wf_1", issue_after=clock.at + 20)
    put(store, "wf_2", issue_after=clock.at + 10)
    put(store, "wf_3", issue_after=clock.at + 40)
    assert claims.not_claimed(10) == []
    assert [row.workflow_id for row in claims.not_claimed(10, horizon_seconds=30)] == ["wf_2", "wf_1"]
    assert [row.workflow_id for row in claims.not_claimed(1, horizon_seconds=90)] == ["wf_2"]


def test_a_new_holder_makes_all_that_is_open_due(store: WorkflowStore, claims: Claims, clock: DatabaseClock) -> None:
    put(store, "wf_1", issue_after=clock.at + 3_000)
    put(store, "wf_2", issue_after=clock.at + 3_000)
    assert claims.make_due({"wf_1"}) == 1
    assert [row.workflow_id for row in claims.not_claimed(10)] == ["wf_1"]
    assert claims.make_due() == 1
    assert claims.make_due() == 0


def test_a_scope_of_many_is_asked_for_in_parts(store: WorkflowStore, claims: Claims) -> None:
    for number in range(300):
        put(store, f"wf_{number}", issue_after=0.0)
    scope = {f"wf_{number}" for number in range(290)}
    assert len(claims.not_claimed(1_000, scope)) == 290
    assert len(claims.not_claimed(280, scope)) == 280


def test_the_sweeps_questions_are_answered_by_index(store: WorkflowStore) -> None:
    questions = [
        "SELECT message_id FROM inbox WHERE state = 'claimed' AND lease_until <= 1.0",
        "SELECT message_id FROM inbox WHERE state = 'open' AND expires_at <= 1.0",
        "SELECT message_id FROM inbox WHERE state = 'open' AND issue_after <= 1.0 ORDER BY issue_after LIMIT 5",
    ]
    plans = [str(store.query(f"EXPLAIN QUERY PLAN {question}")) for question in questions]
    assert ["inbox_claimed" in plans[0], "inbox_expiring" in plans[1], "inbox_open" in plans[2]] == [True, True, True]
    assert "SCAN" not in "".join(plans)
    assert "TEMP B-TREE" not in "".join(plans)


# --- told otherwise, handed over, stopping --------------------------------------------------------------------------


def with_digest(store: WorkflowStore, workflow: str, digest: str) -> str:
    name = put(store, workflow)
    with store.transaction() as cursor:
        cursor.execute("UPDATE inbox SET digest = ? WHERE message_id = ?", (digest, name))
    return name


def test_what_is_told_otherwise_than_it_was_scheduled_stays_open(store: WorkflowStore, claims: Claims) -> None:
    right, wrong, unsaid = with_digest(store, "wf_1", "a"), with_digest(store, "wf_2", "b"), put(store, "wf_3")
    taken = claims.take([right, wrong, unsaid], digests={right: "a", wrong: "c", unsaid: "d"})
    assert (taken.claimed, taken.differing) == ({right, unsaid}, {wrong})
    assert rows(store)["wf_2"] == ("open", None)
    assert claims.take([wrong], digests={wrong: "b"}).claimed == {wrong}


def test_only_what_is_open_is_handed_over(store: WorkflowStore, claims: Claims) -> None:
    name, taken = put(store, "wf_1", expires_at=100.0), put(store, "wf_2", "claimed", OWNER)
    assert claims.hand_over([name, taken, "wf_9/a/run/1"]) == {name}
    assert claims.hand_over([name]) == set()
    assert claims.claim([name]) == set()
    assert claims.not_claimed(10) == []
    assert claims.expired(200.0, 10) == []
    assert claims.overdue(99.0, 10) == []
    assert [row.message_id for row in claims.overdue(100.0, 10)] == [name]
    assert rows(store)["wf_1"][0] == "handed_over"


def test_what_the_broker_gave_back_is_open_again(store: WorkflowStore, claims: Claims) -> None:
    name, taken = put(store, "wf_1", "handed_over"), put(store, "wf_2", "claimed", OWNER)
    assert claims.take_back([name, taken]) == {name}
    assert rows(store)["wf_1"] == ("open", None)


def test_what_was_handed_over_and_not_answered_can_be_issued_again(store: WorkflowStore, claims: Claims) -> None:
    name = put(store, "wf_1", "handed_over")
    put(store, "wf_2")
    assert claims.handed_over(10) == [OpenRow(name, "wf_1", 3)]


def test_a_renewal_says_which_workflows_are_stopping(store: WorkflowStore, claims: Claims) -> None:
    names = [put(store, f"wf_{number}", "claimed", OWNER) for number in range(3)]
    with store.transaction() as cursor:
        cursor.execute("UPDATE inbox SET cancel = 'asked' WHERE workflow_id = 'wf_1'")
        cursor.execute("UPDATE inbox SET cancel = 'forced' WHERE workflow_id = 'wf_2'")
    assert claims.renew(names) == Renewed(frozenset(names), {names[1]: False, names[2]: True})
