"""The contract for others: it is what the code says, a valid document, and true of every message."""

import json
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deploy.cli.schemas import schema_text
from deploy.contract import CHECKED_IN, contract
from domain.messages.announcements import ANNOUNCEMENTS, announcement_of
from domain.messages.writing import outgoing_announcement, outgoing_command
from domain.ports import Command
from domain.topology import topology_of
from domain.transport import Outgoing
from tests.integration.command_line import CommandLine
from tests.node_programs import ROOT, node, node_environment
from tests.unit.domain.test_wire_writing import ASKED, ORIGIN, recorded, sent_of
from tests.unit.domain.wire_samples import READERS
from tests.wire import ContractBroken, check, promises

AT = datetime(2030, 1, 2, tzinfo=UTC)
COMMAND = Command(
    "wf_1/pay/run/2", "wf_1", "pay", "run", 2, 1, "charge", "bank", {"amount": 7}, "shop", "4", "key", AT, "alice"
)
TOLD = outgoing_announcement(announcement_of(recorded(ASKED), ORIGIN), causation_id="m-1")  # type: ignore[arg-type]  # it is announced


def test_the_document_is_current() -> None:
    current = schema_text(contract())
    assert CHECKED_IN.read_text(encoding="utf-8") == current, f"run `handrail schema --asyncapi > {CHECKED_IN.name}`"


def test_the_command_line_prints_it(tmp_path: Path) -> None:
    command_line = CommandLine(tmp_path)
    assert command_line("schema", "--asyncapi", "--write", "here").code == 2
    assert command_line("schema", "--asyncapi").out == CHECKED_IN.read_text(encoding="utf-8")


def test_asyncapis_own_parser_takes_it() -> None:
    run = subprocess.run(
        [node(), str(ROOT / "tests/node/check_asyncapi.js")],
        input=CHECKED_IN.read_bytes(),
        env=node_environment(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr.decode()
    said = json.loads(run.stdout)
    assert said["valid"]
    assert {one["code"] for one in said["diagnostics"]} <= {"asyncapi-latest-version"}
    assert set(said["channels"]) == set(contract()["channels"])


def test_the_parser_would_notice_a_mistake() -> None:
    broken = contract()
    broken["channels"]["goals"]["messages"]["goalStart"]["$ref"] = "#/components/messages/nothing"
    run = subprocess.run(
        [node(), str(ROOT / "tests/node/check_asyncapi.js")],
        input=json.dumps(broken).encode(),
        env=node_environment(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert not json.loads(run.stdout)["valid"]


def test_every_message_has_its_place() -> None:
    announcements = {one.wire_type for one in ANNOUNCEMENTS}
    assert set(promises()) == {*READERS, *announcements, "handrail.step.run.v1"}
    exchanges = {one.name for one in topology_of().exchanges}
    assert {one.exchange for one in promises().values()} <= exchanges


# --- every message is held to it ------------------------------------------------------------------------------------


@pytest.mark.parametrize("wire_type", list(READERS))
def test_what_is_written_keeps_the_contract(wire_type: str) -> None:
    check(sent_of(wire_type), user_id="desk")


def test_commands_and_announcements_keep_the_contract() -> None:
    check(outgoing_command(COMMAND, causation_id="wf_1/3", traceparent="00-aa-bb-01"))
    check(TOLD)


def spoilt(sent: Outgoing, **changed: Any) -> Outgoing:
    content = {**json.loads(sent.body), **changed}
    return replace(sent, body=json.dumps({k: v for k, v in content.items() if v is not ...}).encode())


GOAL = sent_of("handrail.goal.start.v1")
OUTCOME = sent_of("handrail.outcome.record.v1")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (replace(GOAL, type="handrail.goal.start.v9"), "knows no message"),
        (replace(GOAL, exchange="handrail.approvals"), "does not go to 'handrail.approvals'"),
        (replace(GOAL, routing_key="goals"), "does not go to"),
        (replace(TOLD, routing_key="approval.requested."), "does not go to"),
        (replace(GOAL, message_id=""), "properties: message_id"),
        (replace(GOAL, headers={"traceparent": 7}), "headers: traceparent"),
        (replace(GOAL, headers={"x-other": "a"}), "knows no headers"),
        (replace(GOAL, body=b" " * 2_000_000), "bytes, at most"),
        (spoilt(GOAL, goal=7), "body: goal"),
        (spoilt(GOAL, goal=...), "'goal' is a required property"),
        (spoilt(GOAL, deadline="tomorrow"), "body: deadline"),
        (spoilt(GOAL, deadline="2030-01-02T03:04:05"), "body: deadline"),
        (spoilt(OUTCOME, status="maybe"), "body: status"),
        (spoilt(OUTCOME, status="failed", failure={"kind": "odd", "message": ""}), "body: failure"),
        (replace(OUTCOME, correlation_id="No Workflow"), "properties: correlation_id"),
        (spoilt(TOLD, digest=...), "'digest' is a required property"),
        (spoilt(outgoing_command(COMMAND), expires_at=7), "body: expires_at"),
    ],
)
def test_what_breaks_the_contract_is_noticed(message: Outgoing, words: str) -> None:
    with pytest.raises(ContractBroken, match=words):
        check(message, user_id="desk")


def test_a_goal_without_a_sender_breaks_it() -> None:
    with pytest.raises(ContractBroken, match="'user_id' is a required property"):
        check(GOAL)
