"""Who asks for an archived workflow from elsewhere: other services, and messages that come late."""

from collections.abc import AsyncIterator

import httpx
import pytest

from consumers.inbox import receive
from deploy.http.problems import problem_of
from deploy.lookout import Expected, HttpLookout, StoreLookout
from domain.errors import WorkflowArchived, WorkflowUnknown
from domain.ports import Receipt, Request
from domain.store.application import WorkflowStore
from domain.store.aside import Threads
from domain.store.tombstones import Bury, lacking
from domain.triggers import RecordOutcome
from tests.contracts.tombstone_contract import tombstone
from tests.integration.archiving.stage import LATER

GOAL = Expected("wf_001", "goal/one", "0" * 64)


@pytest.fixture
def archived(store: WorkflowStore) -> WorkflowStore:
    """A store where a workflow is archived whose goal's receipt is there."""
    with store.transaction() as cursor:
        receive(cursor, GOAL.receipt, "goal", GOAL.digest)
        Bury([tombstone("wf_001")]).run(cursor)
    return store


@pytest.fixture
async def threads() -> AsyncIterator[Threads]:
    found = Threads("test", most=1)
    yield found
    found.close()


async def test_a_goal_sent_again_is_told_of(archived: WorkflowStore, threads: Threads) -> None:
    with pytest.raises(WorkflowArchived, match="was archived on 2025-06-01 by ann"):
        await StoreLookout(archived, threads).accepted(GOAL)
    assert await StoreLookout(archived, threads).accepted(Expected("wf_002", "goal/two", "0" * 64)) is None


async def test_who_waits_for_its_result_is_told(archived: WorkflowStore, threads: Threads) -> None:
    with pytest.raises(WorkflowArchived):
        await StoreLookout(archived, threads).result("wf_001")


def test_the_endpoint_says_that_it_is_gone(archived: WorkflowStore) -> None:
    problem = problem_of(lacking(archived.query, "wf_001"))
    assert (problem.status, problem.name) == (410, "archived")
    assert "may.jsonl" not in str(vars(problem)), "where the file is is nobody's business out there"
    assert problem_of(lacking(archived.query, "wf_002")).status == 404


async def test_the_client_understands_that() -> None:
    lookout = HttpLookout("http://handrail", "t", transport=httpx.MockTransport(lambda _: httpx.Response(410)))
    with pytest.raises(WorkflowArchived):
        await lookout.result("wf_001")
    await lookout.close()


def test_an_outcome_that_comes_late_begins_nothing(archived: WorkflowStore) -> None:
    outcome = RecordOutcome(step="s", kind="run", attempt=1, status="ok", output={}, worker="w")
    receipt = Receipt("late", "outcome", "1" * 64)
    (decided,) = archived.decide_turn([Request("wf_001", outcome, LATER, "late", "w", receipt=receipt)])
    assert isinstance(decided.error, WorkflowArchived)
    assert isinstance(decided.error, WorkflowUnknown), "whoever took it in buries it as for any unknown workflow"
    assert archived.query("SELECT count(*) FROM stored_events") == [(0,)]
    assert archived.query("SELECT count(*) FROM inbox WHERE message_id = 'late'") == [(0,)]
