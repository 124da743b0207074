"""Processes on a home: one connected graph over all of them, and children tied to their parents."""

import json
from pathlib import Path

import pytest

from deploy.loading import load
from deploy.opened import open_store
from deploy.runtime import Runtime
from domain.state import Status
from tests.integration.command_line import CommandLine
from tests.integration.exports.forms import attributes_of, spans_in
from tests.integration.traces.conftest import RECIPES
from tests.servers.collector import Collected, Collector, Node, components

BLOCKED = 3


def is_told_of_the_past(name: str) -> bool:
    return name.startswith(("execute_tool", "invoke_workflow"))


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

    # What is exported afterwards has the ids of the beginning and of the attempts, and says the same of them.
    exported = handrail("export", "wf_001", "--format", "otlp", "-o", "trace.jsonl")
    assert exported.code == 0, exported
    (past,) = (json.loads(line) for line in (tmp_path / "trace.jsonl").read_text().splitlines())
    told = {(one["traceId"], one["spanId"]): one for one in spans_in(past)}
    live = {one.node: one for one in spans if is_told_of_the_past(one.name)}
    assert len(live) == len([one for one in told.values() if is_told_of_the_past(one["name"])]) == 6
    for node, one in live.items():
        assert told[node]["name"] == one.name
        if one.name.startswith("execute_tool"):
            assert (int(told[node]["startTimeUnixNano"]), int(told[node]["endTimeUnixNano"])) == (one.began, one.ended)
            same = {name: value for name, value in attributes_of(told[node]).items() if name in one.attributes}
            assert same == {name: str(one.attributes[name]) for name in same}
            assert {"handrail.outcome", "handrail.attempt", "gen_ai.tool.name"} <= same.keys()


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
