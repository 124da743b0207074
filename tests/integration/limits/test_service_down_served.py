"""A service that is down under the workflows of two serving processes sees no more than its rate, and all complete.

What the service sees of the rate is judged by its own book. A call comes later than its attempt began, and one call by
more than another; so the instants at which attempts began are noted in the database, by its clock, and a span of calls
is granted what may begin in a span that is longer by what the calls' ways differ.
"""

import asyncio
import math

import psycopg

from domain.ids import workflow_id_from_message
from domain.messages import bodies
from tests.integration.limits.recipes import BREAKER, PORT_VARIABLE, RATE
from tests.integration.limits.service import busiest, serving
from tests.integration.serving.conftest import deploy
from tests.integration.serving.deployment import Deployment, until
from tests.integration.serving.test_serve_all import published

__all__ = ["deploy"]

WORKFLOWS = 400
PROBES = 3
LEASE_SECONDS = 30
PER_SECONDS = RATE.per.total_seconds()
NOTING = (
    b"""
    CREATE TABLE begun (attempt TEXT NOT NULL, at DOUBLE PRECISION NOT NULL);
    CREATE FUNCTION note_begun() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO begun VALUES (NEW.message_id, NEW.lease_until - %d); RETURN NULL; END $$;
    CREATE TRIGGER note_begun AFTER UPDATE ON inbox FOR EACH ROW
        WHEN (OLD.state = 'open' AND NEW.state = 'claimed') EXECUTE FUNCTION note_begun();
"""
    % LEASE_SECONDS
)


def how_many(deployment: Deployment) -> dict[str, int]:
    """How many workflows there are in each status, by the views."""
    return dict(deployment.store.query("SELECT status, count(*) FROM workflows GROUP BY status"))


def test_two_processes_keep_to_its_rate_and_complete_all(deploy: type[Deployment]) -> None:
    with serving() as service:
        deployment = deploy(  # type: ignore[call-arg]  # the fixture knows where
            modules="tests.integration.limits.recipes",
            settings={PORT_VARIABLE: str(service.port), "HANDRAIL_LEASE_SECONDS": str(LEASE_SECONDS)},
        )
        with psycopg.connect(deployment.database.url) as connection:
            connection.execute(NOTING)
        processes = [deployment.serve("all") for _ in range(2)]
        goals = {f"order-{number}": bodies.Goal(goal="call") for number in range(WORKFLOWS)}
        asyncio.run(published(deployment, goals))
        rests = BREAKER.open_for.total_seconds()
        until(
            lambda: service.calls_one_by_one(rests) >= PROBES,
            lambda: f"the breaker never rests; {len(service.calls)} calls\n{processes[0].log.read_text()}",
        )
        service.up = True
        until(
            lambda: how_many(deployment) == {"completed": WORKFLOWS},
            lambda: f"{how_many(deployment)}\n{processes[0].log.read_text()}",
        )
        ids = [workflow_id_from_message(deployment.goal_service.name, name) for name in goals]
        assert set(deployment.statuses(ids).values()) == {"completed"}
        assert [one.terminate() for one in processes] == [0, 0]

    # Each attempt that began called once, whichever process it was in.
    begun: dict[str, float] = dict(deployment.store.query("SELECT attempt, at FROM begun"))
    assert sorted(one.attempt for one in service.calls) == sorted(begun)
    assert {one.process for one in service.calls} == {str(one.process.pid) for one in processes}
    assert sum(one.answered for one in service.calls) == WORKFLOWS

    ways = [one.at - begun[one.attempt] for one in service.calls]
    differ = max(ways) - min(ways)
    for seconds in (PER_SECONDS * spans for spans in (1, 2, 4, 6)):
        granted = RATE.times * math.ceil((seconds + differ) / PER_SECONDS)
        assert busiest([one.at for one in service.calls], seconds) <= granted, f"calls differ by {differ} s"
    assert busiest(list(begun.values()), PER_SECONDS) <= RATE.times
