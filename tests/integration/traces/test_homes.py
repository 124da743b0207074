"""Processes on a home: one connected graph over all of them, and children tied to their parents."""

from pathlib import Path

import pytest

from deploy.loading import load
from deploy.opened import open_store
from deploy.runtime import Runtime
from domain.state import Status
from tests.integration.command_line import CommandLine
from tests.integration.traces.conftest import RECIPES
from tests.servers.collector import Collected, Collector, Node, components

BLOCKED = 3


def dangling(spans: list[Collected]) -> set[Node]:
    return {node for one in spans for node in one.above} - {one.node for one in spans}


def test_a_workflow_is_one_graph_over_the_processes_that_went_on_with_it(collector: Collector, tmp_path: Path) -> None:
    handrail = CommandLine(tmp_path, RECIPES)
    started = handrail("run", "--goal", "undone", "--by", "rita", **collector.settings)
    assert started.code == BLOCKED, started
    handrail("approve", "wf_001", "--by", "alice", **collector.settings)
    handrail("resume", "wf_001", **collector.settings)
    store = open_store(handrail.home, load((RECIPES,), examples=False))
    state = store.load("wf_001")
    store.close()
    assert state.status is Status.COMPENSATED

    spans = collector.of("wf_001")
    assert {one.attributes.get("handrail.workflow.version") for one in spans} >= {state.version}
    assert len({one.instance for one in spans}) >= 2
    assert [len(group) for group in components(spans)] == [len(spans)]
    assert dangling(spans) == set()


async def test_a_child_is_tied_to_its_parent_both_ways(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in collector.settings.items():
        monkeypatch.setenv(name, value)
    async with Runtime(tmp_path, [RECIPES], examples=False) as runtime:
        parent = await runtime.start("parent", requested_by="rita")
        assert (await runtime.wait(parent, 60)).status is Status.COMPLETED
    child = f"{parent}.child"
    family = [*collector.of(parent), *collector.of(child)]
    assert len({one.trace for one in family}) == 2
    assert [len(group) for group in components(family)] == [len(family)]
    assert dangling(family) == set()
    (began,) = [one for one in family if one.name == "ask ChildStarted"]
    (ended,) = [one for one in family if one.name == "ask WorkflowCompleted"]
    starts = [one for one in collector.of(child) if one.attributes.get("handrail.trigger") == "StartWorkflow"]
    ends = [one for one in collector.of(parent) if one.attributes.get("handrail.trigger") == "EndChild"]
    assert began.node in starts[0].links
    assert ended.node in ends[0].links
