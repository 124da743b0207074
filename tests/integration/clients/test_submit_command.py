"""`handrail submit` and `handrail token` against a shared store: the real program beside a process that serves."""

from __future__ import annotations

import asyncio
import contextlib
import re

import httpx

from domain.errors import WorkflowUnknown
from tests.integration.clients.conftest import Served
from tests.integration.command_line import LIMIT_SECONDS, CommandLine, Ended

NOWHERE = "amqp://shop:hidden-word@127.0.0.1:9/handrail"


async def typed(handrail: CommandLine, *arguments: str, **environment: str) -> Ended:
    """Run a command while the loop of this test serves."""
    return await asyncio.to_thread(handrail, *arguments, **environment)


def places(served: Served) -> dict[str, str]:
    return {"HANDRAIL_BROKER": served.shop, "HANDRAIL_STORE": served.store}


async def test_a_goal_is_submitted_and_followed_to_its_end(served: Served, handrail: CommandLine) -> None:
    words = ("submit", "--goal", "chain", "--input", "@i.json", "--message-id", "order-7")
    (handrail.folder / "i.json").write_text('{"i": 1}', encoding="utf-8")
    ended = await typed(handrail, *words, "--wait", "--tag", "team=blue", **places(served))
    assert ended.code == 0, ended.errors
    first, *lines = ended.lines
    match = re.fullmatch(r"\[workflow\] id=(wf_[a-z2-7]{26}) accepted", first)
    assert match is not None
    assert lines == [f"[step] s{number}=ok" for number in range(5)]
    assert not (handrail.folder / ".handrail").exists()
    again = await typed(handrail, *words, "--tag", "team=blue", "--json", **places(served))
    assert again.objects == [{"line": first, "kind": "accepted", "workflow": match[1], "message_id": "order-7"}]
    other = await typed(handrail, *words, "--definition", "asking", **places(served))
    assert (other.code, other.lines) == (2, [])
    assert "another body" in other.errors


async def test_without_a_store_it_says_submitted(served: Served, handrail: CommandLine) -> None:
    ended = await typed(handrail, "submit", "--goal", "chain", HANDRAIL_BROKER=served.shop)
    assert ended.code == 0
    assert ended.lines[0].endswith(" submitted")
    assert "handrail dead show" in ended.errors
    refused = await typed(handrail, "submit", "--goal", "chain", "--wait", HANDRAIL_BROKER=served.shop)
    assert (refused.code, refused.lines) == (2, [])


async def test_a_wait_that_is_given_up_at_a_block_says_so(served: Served, handrail: CommandLine) -> None:
    words = ("submit", "--goal", "asking", "--wait", "--timeout", "3")
    ended = await typed(handrail, *words, **places(served))
    assert ended.code == 3, ended.errors
    assert ended.lines[1:] == ["[step] ask=blocked(manual approval)"]
    assert ended.errors.count(" waits: ask approval (") == 1
    workflow_id = ended.lines[0].split("id=")[1].split()[0]
    assert f"    handrail approve {workflow_id} --by WHO\n" in ended.errors
    assert f"    handrail reject {workflow_id} --by WHO --reason TEXT\n" in ended.errors


async def test_a_wait_that_is_given_up_at_a_childs_block_says_so(served: Served, handrail: CommandLine) -> None:
    words = ("submit", "--goal", "asks through a child", "--message-id", "order-8")
    first = await typed(handrail, *words, "--json", **places(served))
    (child,) = await blocked_children(served, first.objects[0]["workflow"])
    ended = await typed(handrail, *words, "--wait", "--timeout", "3", **places(served))
    assert ended.code == 3, ended.errors
    assert f"{child} waits: ask approval" in ended.errors


async def blocked_children(served: Served, workflow_id: str) -> list[str]:
    """The children of a workflow, as soon as each waits for a person."""

    def look() -> list[str]:
        waits = served.parts.store.load(workflow_id).waits.values()
        children = [served.parts.store.load(wait.name) for wait in waits if wait.reason == "child" and wait.name]
        return [child.workflow_id for child in children if child.people_waits()]

    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            with contextlib.suppress(WorkflowUnknown):  # a child is asked for before it begins
                if found := await asyncio.to_thread(look):
                    return found


async def test_a_broker_that_is_not_there_is_told_without_its_password(handrail: CommandLine) -> None:
    ended = await typed(handrail, "submit", "--goal", "chain", "--timeout", "0.3", HANDRAIL_BROKER=NOWHERE)
    assert (ended.code, ended.lines) == (4, [])
    assert "same message id" in ended.errors
    assert "hidden-word" not in ended.errors
    missing = await typed(handrail, "submit", "--goal", "chain")
    assert missing.code == 2
    assert "HANDRAIL_BROKER" in missing.errors


async def test_tokens_are_kept_in_the_shared_store(served: Served, handrail: CommandLine) -> None:
    made = await typed(handrail, "token", "new", "--name", "vera", "--role", "viewer", HANDRAIL_STORE=served.store)
    assert made.code == 0, made.errors
    async with httpx.AsyncClient(base_url=served.address) as client:
        headers = {"Authorization": f"Bearer {made.lines[0]}"}
        assert (await client.get("/approvals", headers=headers)).status_code == 200
        revoked = await typed(handrail, "token", "revoke", "--name", "vera", HANDRAIL_STORE=served.store)
        assert revoked.code == 0
        assert (await client.get("/approvals", headers=headers)).status_code == 401
    both = await typed(handrail, "token", "list", "--home", "x", HANDRAIL_STORE=served.store)
    assert both.code == 2
    assert "two places" in both.errors
