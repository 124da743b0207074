"""A heartbeat comes between the sweep's look and its decision: the attempt goes on, and nothing lapses."""

from typing import Any

from consumers.sweep import Sweep
from domain.ids import message_id
from domain.ports import Decided, Request
from tests.integration.outbound.conftest import Begin
from tests.integration.outbound.recipes import CHAIN
from tests.integration.outbound.stage import Process, utc_now


class LeaseOver:
    """Every lease is over."""

    def run(self, cursor: Any) -> None:
        cursor.execute("UPDATE inbox SET lease_until = ? WHERE state = 'claimed'", (cursor.now() - 60.0,))


class AfterAHeartbeat:
    """The port `Decider`: before anything is decided, the claim's owner renews it."""

    def __init__(self, sweeping: Process, owner: Process) -> None:
        self._sweeping = sweeping
        self._owner = owner
        self.asked = 0

    async def decide(self, request: Request) -> Decided:
        self.asked += 1
        self._owner.claims.renew([message_id(request.workflow_id, "s0", "run", 1)])
        return await self._sweeping.turns.decide(request)


async def test_a_claim_that_is_renewed_while_the_sweep_decides_does_not_lapse(begin: Begin) -> None:
    owner, sweeping = begin(CHAIN), begin(CHAIN, name="two")
    (name,) = await owner.start(CHAIN)
    assert owner.claims.claim([f"{name}/s0/run/1"])
    owner.store.run(LeaseOver())
    decider = AfterAHeartbeat(sweeping, owner)
    sweep = Sweep(
        claims=sweeping.claims,
        decider=decider,
        clock=utc_now,
        running=list,
        scope=lambda: None,
        reissue=sweeping.outbound.reissue,
    )
    await sweep.once()
    assert decider.asked == 1
    assert states(owner, name) == ["claimed"]
    assert "AttemptLapsed" not in [one.name for one in owner.store.read(name)]
    owner.store.run(LeaseOver())
    await sweeping.sweep.once()
    assert [one.name for one in owner.store.read(name)].count("AttemptLapsed") == 1


def states(process: Process, name: str) -> list[str]:
    """The states of a workflow's commands."""
    rows = process.store.query("SELECT state FROM inbox WHERE workflow_id = ?", (name,))
    return [state for (state,) in rows]
