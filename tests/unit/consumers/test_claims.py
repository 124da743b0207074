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
    put(store, "wf_2", "claimed", "there-2", lease_until=clock.at + 1)
    put(store, "wf_3", "lapsed", OWNER, lease_until=clock.at + 1)
    clock.at += 20
    assert claims.renew() == Renewed(frozenset({mine}))
    assert claims.run_out(10) == [ClaimedRow("wf_2/a/run/1", "wf_2", "there-2")]
    clock.at += LEASE_SECONDS
    assert {row.workflow_id for row in claims.run_out(10)} == {"wf_1", "wf_2"}


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
    assert waits == [60, 120, 240, 480, 960, 1_920, *[LONGEST_REISSUE_SECONDS] * 4]


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
