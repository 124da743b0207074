"""The heartbeat on the real stack: it completes, it is hidden, it is not piled up, it survives its leader, it goes."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from deploy.heartbeat import HEARTBEAT_DEFINITION
from deploy.serving.heartbeat_fact import read_fact
from deploy.serving.pruning import KEPT, prune
from domain.topology import Listener, listener_queue
from projections.heartbeat import heartbeat_completed_at
from projections.queries import count_statuses, tallies
from tests.integration.serving.conftest import deploy
from tests.integration.serving.deployment import Deployment, until

__all__ = ["deploy"]

Deploy = Callable[..., Deployment]
OFTEN = {"HANDRAIL_HEARTBEAT_SECONDS": "0.5"}
EAR = Listener("ear")


@pytest.fixture
def often(deploy: Deploy) -> Deployment:
    """A deployment with a heartbeat twice a second, and a service that listens to everything."""
    deployment = deploy(settings=OFTEN, listeners=(EAR,))
    deployment.definitions.add(HEARTBEAT_DEFINITION)
    return deployment


def completed_at(deployment: Deployment) -> float:
    return heartbeat_completed_at(deployment.store.query) or 0.0


def begun(deployment: Deployment) -> int:
    """How many heartbeats the store has."""
    fact = read_fact(deployment.store).fact
    return sum(deployment.store.exists(fact.workflow_id(number)) for number in range(fact.pruned + 1, fact.number + 1))


def numbered(deployment: Deployment) -> int:
    """How many were sent, where none was removed."""
    fact = read_fact(deployment.store).fact
    return fact.number - fact.pruned


def told(deployment: Deployment) -> int:
    return int((deployment.vhost.queue(listener_queue(EAR.name)) or {}).get("messages") or 0)


def test_heartbeats_complete_and_are_in_no_list_no_count_and_no_announcement(often: Deployment) -> None:
    often.serve("all")
    first = until(lambda: completed_at(often), "none ever completed")
    until(lambda: completed_at(often) > first, "only one ever completed")
    assert abs(completed_at(often) - datetime.now(UTC).timestamp()) < 60
    assert often.run("list", "--json").stdout == "[]\n"
    assert often.run("stuck").stdout == "nothing is stuck\n"
    assert often.run("failures").stdout == "nothing has failed\n"
    assert (count_statuses(often.store.query), tallies(often.store.query)) == ({}, [])
    ended = often.run("submit", "--goal", "greet", "--wait")
    assert ended.returncode == 0, ended.stderr
    until(lambda: told(often) == 2, lambda: f"{told(often)} announcements: of the one goal, begun and completed")


def test_where_no_activities_run_there_is_one_heartbeat_and_no_more(often: Deployment) -> None:
    served = often.serve("goals", "relay", "timer", "projector", "outcomes")
    until(lambda: begun(often) == 1, "none ever began")
    ended = often.run("submit", "--goal", "greet", "--message-id", "a-goal")
    assert ended.returncode == 0, ended.stderr
    sent = read_fact(often.store).fact.sent_at
    assert sent is not None
    until(lambda: (datetime.now(UTC) - sent).total_seconds() > 3, "time stood still")
    assert (begun(often), numbered(often), completed_at(often)) == (1, 1, 0.0)
    often.serve("activities", "--queues", "default")
    until(lambda: completed_at(often), "it never completed, though activities are served")
    until(lambda: numbered(often) > 1, "there was no next one")
    assert served.process.poll() is None


def test_another_process_goes_on_with_heartbeats_when_the_one_that_led_is_killed(often: Deployment) -> None:
    first = often.serve("timer")
    rest = often.serve("goals", "relay", "projector", "outcomes", "activities", "timer")
    until(lambda: completed_at(often), "none ever completed")
    first.kill9()
    number = read_fact(often.store).fact.number
    until(lambda: read_fact(often.store).fact.number > number + 2, "nobody went on")
    until(lambda: begun(often) == numbered(often), "one was sent and never began")
    assert rest.process.poll() is None


def test_none_is_sent_where_they_are_off(often: Deployment) -> None:
    often.serve("all", HANDRAIL_HEARTBEAT_SECONDS="0")
    ended = often.run("submit", "--goal", "greet", "--wait")
    assert ended.returncode == 0, ended.stderr
    assert read_fact(often.store).text == ""
    assert often.store.query("SELECT DISTINCT definition FROM workflows") == [("greet",)]


def test_old_ones_are_removed_whole_and_the_others_stay(often: Deployment) -> None:
    served = often.serve("all")
    ended = often.run("submit", "--goal", "greet", "--wait")
    assert ended.returncode == 0, ended.stderr
    until(lambda: numbered(often) >= 4, "there were too few")
    assert served.terminate() == 0
    store, before = often.store, read_fact(often.store)
    names = [before.fact.workflow_id(number) for number in range(before.fact.pruned + 1, before.fact.number)]
    after = prune(store, before, datetime.now(UTC) + KEPT)
    assert after.fact.removed == len(names)
    assert after.fact.digest
    left = {table: number for table in tables(often) if (number := rows_of(often, table, names))}
    assert left == {}
    assert store.query("SELECT count(*) FROM workflows WHERE definition = 'greet'") == [(1,)]
    served = often.serve("all")
    until(lambda: read_fact(store).fact.number > before.fact.number, "no more are sent")
    verified = often.run("list", "--json")
    assert verified.stdout.count('"workflow_id"') == 1


def tables(deployment: Deployment) -> list[str]:
    rows = deployment.store.query("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
    return [str(row[0]) for row in rows]


def rows_of(deployment: Deployment, table: str, names: list[str]) -> int:
    """How many rows of a table mention one of these workflows anywhere."""
    found = 0
    for name in names:
        rows = deployment.store.query(f"SELECT count(*) FROM {table} AS one WHERE one::text LIKE ?", (f"%{name}%",))
        found += int(rows[0][0])
    return found
