"""Whole reviews through the runtime: each shipped vendor ends as the example's README says."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from deploy.examples.vendor_onboarding.definition import vendor_onboarding_review
from deploy.examples.vendor_onboarding.inputs import SHIPPED_VENDORS
from deploy.examples.vendor_onboarding.register import VendorRegister
from domain.triggers import RecordDecision
from handrail import Runtime, State, Status

GOAL = "vendor onboarding review"
# Seconds that a whole review may take; the retries of the flaky register are three of them.
PATIENCE = 60.0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


async def begin(runtime: Runtime, vendor: str) -> tuple[str, State]:
    workflow_id = await runtime.start(
        GOAL, vendor_onboarding_review, {"vendor_dir": vendor, "review_date": "2030-06-15"}, requested_by="ada"
    )
    return workflow_id, await runtime.wait(workflow_id, PATIENCE)


async def decide(runtime: Runtime, workflow_id: str, decision: str, *controls: str) -> State:
    (ballot,) = runtime.store.load(workflow_id).ballots.values()
    asked = ballot.request
    trigger = RecordDecision.model_validate(
        {
            "approval_id": asked.approval_id,
            "round": asked.round,
            "digest": asked.digest,
            "decision": decision,
            "decided_by": "grace",
            "reason": "as seen",
            "controls": controls,
        }
    )
    await runtime.decide(workflow_id, trigger, actor="grace")
    return await runtime.wait(workflow_id, PATIENCE)


def written(home: Path, workflow_id: str) -> dict[str, Any]:
    path = home / "workflows" / workflow_id / "onboarding_decision.json"
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def everything_in(home: Path) -> list[bytes]:
    return [path.read_bytes() for path in home.rglob("*") if path.is_file()]


def number_of(home: Path, vendor: str) -> str | None:
    return VendorRegister(home / "vendor_register.sqlite").number_of(vendor)


async def test_the_default_vendor_blocks_and_a_grant_comes_with_the_proposed_control(home: Path) -> None:
    async with Runtime(home) as runtime:
        workflow_id, state = await begin(runtime, "northwind")
        assert state.status == Status.BLOCKED
        state = await decide(runtime, workflow_id, "approve")
    assert state.status == Status.COMPLETED
    document = written(home, workflow_id)
    assert document["decision"] == "approved_with_controls"
    assert document["controls"] == list(vendor_onboarding_review.default_approval.proposed_controls)
    assert document["approvers"] == ["grace"]
    assert not (home / "vendor_register.sqlite").exists()
    iban = json.loads((SHIPPED_VENDORS / "northwind" / "bank.json").read_text(encoding="utf-8"))["iban"]
    kept = everything_in(home)
    assert any(b"Northwind" in data for data in kept)
    assert not any(iban.encode() in data for data in kept)


@pytest.mark.parametrize("vendor", ["brightwater", "quillmark"])
async def test_a_clean_vendor_is_approved_with_a_number_and_without_a_person(vendor: str, home: Path) -> None:
    async with Runtime(home) as runtime:
        workflow_id, state = await begin(runtime, vendor)
    assert state.status == Status.COMPLETED
    document = written(home, workflow_id)
    assert (document["decision"], document["approvers"]) == ("approved", [])
    assert document["vendor_number"] == number_of(home, vendor) == "V-100001"


async def test_a_listed_vendor_fails_without_an_artifact(home: Path) -> None:
    async with Runtime(home) as runtime:
        workflow_id, state = await begin(runtime, "blackmere")
    assert state.status == Status.FAILED
    assert not (home / "workflows" / workflow_id / "onboarding_decision.json").exists()


async def test_a_rejection_releases_the_number_that_was_reserved(home: Path) -> None:
    async with Runtime(home) as runtime:
        workflow_id, state = await begin(runtime, "ferrowood")
        assert state.status == Status.BLOCKED
        assert number_of(home, "ferrowood") == "V-100001"
        state = await decide(runtime, workflow_id, "reject")
    assert state.status == Status.COMPENSATED
    assert number_of(home, "ferrowood") is None


async def test_expired_papers_wait_for_new_ones_and_are_reviewed_again(home: Path) -> None:
    async with Runtime(home) as runtime:
        workflow_id = await runtime.start(GOAL, vendor_onboarding_review, {"vendor_dir": "saltmarsh"})
        async with asyncio.timeout(PATIENCE):
            async for recorded in runtime.follow(workflow_id):
                if type(recorded.event).__name__ == "WaitStarted":
                    break
        assert await runtime.signal("papers", "saltmarsh", {"vendor_dir": "saltmarsh_renewed"}) == [workflow_id]
        state = await runtime.wait(workflow_id, PATIENCE)
    assert state.status == Status.COMPLETED
    document = written(home, workflow_id)
    assert document["decision"] == "approved"
    assert {paper["state"] for paper in document["papers"]} == {"ok"}


async def test_another_vendors_papers_are_no_answer(home: Path) -> None:
    async with Runtime(home) as runtime:
        await runtime.signal("papers", "saltmarsh", {"vendor_dir": "brightwater"})
        _, state = await begin(runtime, "saltmarsh")
    assert state.status == Status.FAILED
