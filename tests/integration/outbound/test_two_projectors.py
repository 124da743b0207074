"""Two projectors at once, as after the connection of the first one's lock died unnoticed: the views never go back."""

from datetime import datetime

import pytest

from deploy.viewing import Judged, ViewsRole
from domain.store.application import WorkflowStore
from projections.keeper import Keeper
from projections.log import LogReader
from projections.projector import catch_up
from projections.queries import count_statuses, list_workflows
from projections.thresholds import Thresholds
from tests.integration.outbound.conftest import Begin
from tests.integration.outbound.recipes import CHAIN
from tests.integration.outbound.stage import ScriptedBroker, running, until


def log_of(store: WorkflowStore) -> LogReader:
    return LogReader(store.recorder, store.mapper.read)


def versions(store: WorkflowStore) -> dict[str, int]:
    return {row["workflow_id"]: row["version"] for row in list_workflows(store.query)}


async def test_the_one_that_was_overtaken_writes_nothing_over_what_is_newer(
    begin: Begin, broker: ScriptedBroker
) -> None:
    first = begin(CHAIN)
    names = await first.start(CHAIN, 3)
    overtaken = Keeper(first.store)
    overtaken.begin()
    overtaken.take(log_of(first.store).read(0, 500))

    second = begin(CHAIN, name="two")
    async with second.relaying(), running(second.work(broker)):
        await until(lambda: second.ended(names))
    catch_up(Keeper(second.store), log_of(second.store))
    newest = {name: second.state(name).version for name in names}
    assert versions(second.store) == newest

    assert overtaken.write() is False
    assert versions(second.store) == newest
    assert overtaken.position == second.store.newest()


async def test_two_that_follow_at_the_same_time_agree_with_the_log(begin: Begin, broker: ScriptedBroker) -> None:
    first, second = begin(CHAIN), begin(CHAIN, name="two")
    roles = [ViewsRole(process.store, busy=lambda: False) for process in (first, second)]
    names: list[str] = []
    async with running(roles[0].run()), running(roles[1].run()), first.relaying(), running(first.work(broker)):
        for batch in range(5):
            names += await second.start(CHAIN, 5, f"wf{batch}")
        await until(lambda: first.ended(names))
        await until(lambda: versions(first.store) == {name: first.state(name).version for name in names})
    assert count_statuses(first.store.query) == {"completed": 25}


async def test_one_that_cannot_judge_any_more_does_not_go_on_without(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.judging.JUDGE_SECONDS", 0.01)

    def stopped() -> datetime:
        raise RuntimeError("the clock has stopped")

    judged = Judged(stopped, Thresholds(), lambda _: {})
    with pytest.raises(RuntimeError, match="the clock has stopped"):
        await ViewsRole(begin(CHAIN).store, busy=lambda: False, judged=judged).run()
