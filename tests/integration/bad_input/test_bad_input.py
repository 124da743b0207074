"""One deployment, every kind of bad message in every queue, and after them a workflow that needs all of the queues."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import aio_pika
from pamqp import commands

from consumers.inbox import InboxCompanion
from consumers.limits import LimitsCompanion
from domain.events import DecisionRefused
from domain.ids import workflow_id_from_message
from domain.messages.faults import MOST_BURIED_BYTES
from domain.ports import Request
from domain.rights import approval_service, foreign_worker, operator, signal_service
from domain.triggers import StartWorkflow
from producers.signals import SignalsCompanion
from producers.timers import TimersCompanion
from tests.integration.bad_input.cases import DIGEST, LONG, POSTS, Case, anywhere, somewhere
from tests.integration.dead.morgue import Morgue
from tests.integration.serving.conftest import Deploy
from tests.integration.serving.deployment import RECIPES, Deployment, Served, until
from tests.servers.rabbitmq import Login

OTHERS = "tests.integration.others.recipes"
NOT_SERVED = "tests.integration.activities.recipes"


class Site:
    """The deployment, its senders, and what they publish."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.senders: dict[str, Login] = {
            "shop": deployment.goal_service,
            "runtime": deployment.runtime,
            "desk": deployment.login(approval_service("desk")),
            "stranger": deployment.login(approval_service("stranger")),
            "crm": deployment.login(signal_service("crm")),
            "worker": deployment.login(foreign_worker("worker", "papers")),
            "operator": deployment.login(operator("operator")),
        }
        self.morgue = Morgue(deployment, self.senders["operator"])
        deployment.settings |= {
            "HANDRAIL_MODULES": f"{RECIPES},{OTHERS}",
            "HANDRAIL_VOUCHING": json.dumps({self.senders["desk"].name: ["*"]}),
            "HANDRAIL_OPERATING": json.dumps({self.senders["operator"].name: {"pause": ["*"]}}),
            "HANDRAIL_ANSWERING": json.dumps({self.senders["worker"].name: ["papers"]}),
            "HANDRAIL_DEFINITION_PATIENCE_SECONDS": "0.5",
        }

    def publish(self, *cases: Case) -> None:
        """Publish these, each over its sender's connection."""
        by_sender: dict[str, list[Case]] = {}
        for case in cases:
            if case.message_id is None:
                self.publish_nameless(case)
            else:
                by_sender.setdefault(case.sender or case.post.sender, []).append(case)
        for sender, theirs in by_sender.items():
            login = self.senders[sender]
            asyncio.run(published(self.deployment.vhost.url_of(login), login.name, theirs))

    def publish_nameless(self, case: Case) -> None:
        """Publish without a message id, which the library would make up."""
        vhost, given = self.deployment.vhost, case.published
        body = {
            "properties": {"type": given["message_type"], "headers": given["headers"], "delivery_mode": 2},
            "routing_key": given["key"],
            "payload": given["body"].decode(),
            "payload_encoding": "string",
        }
        vhost.broker.ask("POST", "exchanges", vhost.name, given["exchange"], "publish", body=body)

    def send(self, where: str, message_id: str, /, **given: Any) -> None:
        """Publish something good to a queue."""
        case = Case(message_id, POSTS[where], "", "", message_id=message_id, body=json.dumps(given).encode())
        self.publish(case)

    def goal(self, message_id: str, **given: Any) -> str:
        """Publish a goal; the id of its workflow."""
        self.send("goals", message_id, **given)
        return workflow_id_from_message(self.senders["shop"].name, message_id)

    def until_status(self, status: str, name: str) -> None:
        store = self.deployment.store
        until(
            lambda: store.exists(name) and store.load(name).status == status,
            lambda: f"{name} is not {status}: {store.load(name) if store.exists(name) else 'it is not there'}",
        )

    def until_asked(self, name: str) -> dict[str, Any]:
        """The approval that a workflow waits for, as a decision quotes it."""
        store = self.deployment.store
        until(lambda: store.exists(name) and store.load(name).ballots, "it never asked for an approval")
        (ballot,) = store.load(name).ballots.values()
        asked = ballot.request
        return {"workflow_id": name, "approval_id": asked.approval_id, "round": asked.round, "digest": asked.digest}

    def depths(self) -> dict[str, int]:
        """How many dead letters each dead queue has."""
        return {post.dead: self.morgue.depth(post.dead) for post in POSTS.values()}

    def until_dead(self, queue: str, message_id: str) -> dict[str, Any]:
        """The letter of a dead queue with this message id, once it is there."""

        def found() -> dict[str, Any] | None:
            code, out, _ = self.morgue.run("show", queue, "--limit", "1000", "--bytes", "0", "--json")
            letters = json.loads(out) if code == 0 else []
            return next((one for one in letters if one["message_id"] == message_id), None)

        letter: dict[str, Any] = until(found, f"{message_id[:20]} is not in {queue}")
        return letter

    def letters(self) -> dict[str, dict[str, Any]]:
        """All dead letters, by the case that they were."""
        found: dict[str, dict[str, Any]] = {}
        for dead in {post.dead for post in POSTS.values()}:
            code, out, errors = self.morgue.run("show", dead, "--limit", "1000", "--bytes", "0", "--json")
            if code == 0:
                found |= {one["headers"].get("case", one["message_id"]): one for one in json.loads(out)}
            else:
                assert "is empty" in errors
        return found


async def published(url: str, login: str, cases: list[Case]) -> None:
    connection = await aio_pika.connect(url)
    try:
        channel = await (await connection.channel()).get_underlay_channel()
        for case in cases:
            given = case.published
            body, exchange, key = given.pop("body"), given.pop("exchange"), given.pop("key")
            if case.user_id:
                given["user_id"] = login
            properties = commands.Basic.Properties(**given)
            await channel.basic_publish(body, exchange=exchange, routing_key=key, properties=properties)
    finally:
        await connection.close()


def test_what_is_bad_ends_with_a_reason_and_what_is_good_goes_on(deploy: Deploy) -> None:
    site = Site(deploy(modules=f"{RECIPES},{OTHERS},{NOT_SERVED}"))
    serving = site.deployment.serve("all")
    asking = site.goal("asking", goal="asking")
    site.until_asked(asking)

    cases = [case for where, post in POSTS.items() for case in anywhere(where, post)]
    cases += somewhere({"asking": asking})
    site.publish(*cases)
    expected = Counter(case.post.dead for case in cases)
    until(lambda: site.depths() == expected, lambda: f"{site.depths()}, not {expected}", limit_seconds=30)
    letters = site.letters()
    assert {name: one["fault"] for name, one in letters.items()} == {case.name: case.fault for case in cases}
    for case in cases:
        one = letters[case.name]
        assert case.words in one["reason"], case.name
        assert (one["queue"], one["from_queue"]) == (case.post.dead, case.post.queue), case.name
        assert one["reason"].isprintable(), case.name

    what_does_not_count_is_refused_on_the_record(site, asking)
    another_body_under_the_same_id_is_a_conflict(site)
    what_this_process_cannot_run_waits_and_says_why(site)
    what_is_too_large_to_be_moved_is_left_to_the_broker(site, serving)
    everything_good_goes_on(site, asking)
    assert serving.process.poll() is None
    assert serving.terminate() == 0


def what_does_not_count_is_refused_on_the_record(site: Site, asking: str) -> None:
    store, asked = site.deployment.store, site.until_asked(asking)
    for name, change in (("of nothing", {"approval_id": "nothing.1"}), ("of another action", {"digest": DIGEST})):
        site.send("approvals", name, **{**asked, **change}, decision="approve", decided_by="bea")

    def refused() -> list[str]:
        return [one.event.reason for one in store.read(asking) if isinstance(one.event, DecisionRefused)]

    until(lambda: len(refused()) == 2, lambda: f"refused: {refused()}")
    assert all(reason.isprintable() for reason in refused())
    assert store.load(asking).ballots, "it is still asked"


def another_body_under_the_same_id_is_a_conflict(site: Site) -> None:
    store = site.deployment.store
    first = site.goal(LONG, goal="greet")
    site.until_status("completed", first)
    events = len(store.read(first))
    assert site.goal(LONG, goal="greet", tags={"team": "blue"}) == first
    letter = site.until_dead("handrail.dead.goals", LONG)
    assert (letter["fault"], "received before with another body" in letter["reason"]) == ("conflict", True)
    assert site.goal(LONG, goal="greet") == first, "the same again is a repeat"
    assert len(store.read(first)) == events


def what_this_process_cannot_run_waits_and_says_why(site: Site) -> None:
    store = site.deployment.store
    inbox = InboxCompanion("test", lease_seconds=30)
    store.deciding.companions += [LimitsCompanion(), inbox, TimersCompanion(), SignalsCompanion()]
    store.deciding.open_commands = inbox
    trigger = StartWorkflow(goal="waiting", definition="waiting", definition_version="1", requested_by="ann")
    store.decide_turn([Request("wf_strange", trigger, datetime.now(UTC), "test", "ann")])
    until(lambda: ":definition" in store.load("wf_strange").waits, "nobody said that it cannot be run")
    assert "'waiting' version '1' is not loaded" in store.load("wf_strange").waits[":definition"].detail


def what_is_too_large_to_be_moved_is_left_to_the_broker(site: Site, serving: Served) -> None:
    site.publish(Case("vast", POSTS["signals"], "", "", body=b" " * (MOST_BURIED_BYTES + 1)))
    letter = site.until_dead("handrail.dead.signals", "vast")
    assert (letter["fault"], "see the log" in letter["reason"]) == ("rejected", True)
    assert any("too large" in one["message"] for one in serving.said if one.get("message_id") == "vast")


def everything_good_goes_on(site: Site, asking: str) -> None:
    """After all that, each queue's next good message does what it says."""
    reading = site.goal("reading", goal="Count, then sign", input={"text": "two words"})
    command = f"{reading}/count/run/1"
    store = site.deployment.store
    until(lambda: store.query("SELECT 1 FROM inbox WHERE message_id = ?", (command,)), "it was never scheduled")
    outcome = {**POSTS["outcomes"].body, "message_id": command, "output": {"words": 2}}
    site.send("outcomes", f"{command}/outcome", **outcome)
    site.send("approvals", "good", **site.until_asked(reading), decision="approve", decided_by="bea")
    site.until_status("completed", reading)
    signalled = site.goal("signalled", goal="signal")
    site.send("signals", "good", name="letter", correlation="box-1")
    site.until_status("completed", signalled)
    site.send("control", "good", workflow_id=asking, by="olga", reason="wait for the bank")
    until(lambda: store.load(asking).paused, "it was never paused")
