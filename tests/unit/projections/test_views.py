"""The views' folds against the engine's own state: for every prefix of a history both say the same."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.evolve import EVOLVE, evolve
from domain.recorded import RecordedEvent
from domain.state import UNDER_WAY, State, Status
from projections.rows import WorkflowRow
from projections.views import _FOLDS, ViewBroken, fold
from tests.unit.projections.histories import FIXED, PLANNED, forked, history

MANY = 300


def compare(events: list[RecordedEvent]) -> WorkflowRow:
    state, row = State(events[0].originator_id), WorkflowRow(events[0].originator_id)
    for recorded in events:
        evolve(state, recorded)
        fold(row, recorded)
        where = f"after event {recorded.originator_version} ({recorded.name})"
        assert row.status == state.status, where
        assert row.version == state.version
        assert row.attempts == state.attempts
        assert {name: str(step.status) for name, step in row.steps.items()} == {
            name: str(state.step_status(name)) for name in (*state.steps, *state.settled) if not name.startswith("_")
        }, where
        if state.ended is None:
            standing = row.standing
            assert {key: (hold.since, hold.due_at, hold.name) for key, hold in standing.waits.items()} == {
                key: (wait.since, wait.due_at, wait.name or "") for key, wait in state.waits.items()
            }, where
            assert {hold.message_id for hold in standing.live.values()} == set(state.live), where
            assert {key: hold.due_at for key, hold in standing.pending.items()} == {
                key: due for key, due in state.dues.items() if key.startswith(UNDER_WAY)
            }, where
    return row


@given(seed=st.integers(0, 2**32), definition=st.sampled_from([FIXED, PLANNED]))
@settings(max_examples=MANY, deadline=None)
def test_the_row_says_what_the_state_says_for_every_prefix(seed: int, definition: object) -> None:
    compare(history(seed, 80, FIXED if definition is FIXED else PLANNED))


@given(seed=st.integers(0, 2**32), cut=st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_a_fork_is_folded_from_what_its_source_had_settled(seed: int, cut: int) -> None:
    source = history(seed, 60)[:cut]
    row = compare(list(forked(source, seed + 1, 30)))
    assert row.forked_from == "wf_001"


def test_the_histories_reach_every_status_and_almost_every_event() -> None:
    statuses: Counter[str] = Counter()
    names: set[type] = set()
    for seed in range(250):
        for definition in (FIXED, PLANNED):
            state = State("wf_001")
            for recorded in history(seed, 80, definition):
                evolve(state, recorded)
                names.add(type(recorded.event))
                statuses[state.status] += 1
    assert set(statuses) == set(Status) - {Status.NEW}
    missing = {kind.__name__ for kind in EVOLVE.keys() - names}
    assert missing <= {"WorkflowForked", "ForkTaken"}, missing


def test_every_event_has_a_fold() -> None:
    assert _FOLDS.keys() == EVOLVE.keys()


def test_a_gap_breaks_the_view() -> None:
    events = history(1)
    row = WorkflowRow("wf_001")
    fold(row, events[0])
    with pytest.raises(ViewBroken, match="event 3 does not follow event 1"):
        fold(row, events[2])
