"""`handrail compare`: against another run, or by itself against the last of the definition that completed."""

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from deploy.examples import vendor_onboarding
from deploy.loading import LoadedDefinitions
from deploy.opened import open_store
from projections.replaying import reading
from tests.integration.command_line import CommandLine
from tests.integration.watched import everything, watched


@pytest.fixture
def ran(handrail: CommandLine) -> CommandLine:
    """One workflow that waits for an approval, and two of the same definition: one was granted it, one was not."""
    for _ in range(3):
        handrail("run", "--goal", "asking", "--by", "ada")
    handrail("approve", "wf_001", "--by", "bob")
    handrail("reject", "wf_002", "--by", "bob", "--reason", "too much")
    return handrail


def test_it_compares_with_the_last_that_completed(ran: CommandLine) -> None:
    compared = ran("compare", "wf_002")
    assert compared.code == 1
    assert compared.lines[:3] == [
        "wf_002 and wf_001 part at event 7: the approval of big",
        "  here      event 7: bob rejects big",
        "  there     event 7: bob approves big",
    ]
    assert "the last of this definition that" in compared.out
    assert max(map(len, compared.lines)) <= 80
    told = ran("compare", "wf_002", "--json").document
    assert (told["other"], told["chosen"], told["same"]) == ("wf_001", True, False)
    assert (told["first_difference"]["what"], told["first_difference"]["here"]) == ("decision", 7)


def test_equal_runs_exit_with_0_and_the_same_bytes(ran: CommandLine) -> None:
    ran("run", "--goal", "asking", "--by", "ada")
    compared = ran("compare", "wf_003", "wf_004")
    assert (compared.code, compared.lines[0]) == (
        0,
        "wf_003 and wf_004 went the same way with the same data: 6 events",
    )
    assert ran("compare", "wf_003", "wf_004").out == compared.out


def test_what_there_is_nothing_to_compare_with_is_refused(ran: CommandLine) -> None:
    for arguments, words in (
        (("wf_001",), "no other workflow of definition 'asking' has completed"),
        (("wf_009",), "there is no workflow 'wf_009'"),
        (("wf_001", "wf_009"), "there is no workflow 'wf_009'"),
    ):
        refused = ran("compare", *arguments)
        assert (refused.code, refused.out, refused.errors.count("\n")) == (2, "", 1)
        assert words in refused.errors


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO parked_views VALUES ('wf_003', 3, 'odd')",
        "UPDATE stored_events SET state = x'ff' WHERE originator_id = 'wf_003' AND originator_version = 1",
        "DELETE FROM stored_events WHERE originator_id = 'wf_003'",
    ],
)
def test_one_that_tells_nothing_is_not_chosen(
    ran: CommandLine, statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran("approve", "wf_003", "--by", "bob")
    assert ran("compare", "wf_002", "--json").document["other"] == "wf_003"
    with sqlite3.connect(ran.home / "handrail.db") as connection:
        connection.execute(statement)
    connection.close()
    assert ran("compare", "wf_002", "--json").document["other"] == "wf_001"
    monkeypatch.setattr(reading, "RUNS_A_PAGE", 1)
    with contextlib.closing(open_store(ran.home, LoadedDefinitions())) as store, store.reading() as cursor:
        found = reading.last_completed(cursor, store.mapper.read, "asking", "1", besides="wf_002")
    assert found == "wf_001", "on another page"


def test_a_damaged_record_is_not_compared_in_silence(ran: CommandLine) -> None:
    with sqlite3.connect(ran.home / "handrail.db") as store:
        store.execute(
            "UPDATE stored_events SET state = CAST(replace(CAST(state AS TEXT), 'too much', 'too late') AS BLOB) "
            "WHERE originator_id = 'wf_002'"
        )
    for other in ((), ("wf_003",), ("wf_003", "--json")):
        compared = ran("compare", "wf_002", *other)
        assert compared.code == 1
        assert "do not believe this: wf_002 is damaged: the payload of event 7 was changed" in compared.errors


def test_it_opens_no_connection_and_writes_nothing(ran: CommandLine) -> None:
    before = everything(ran.home)
    assert watched(ran, "compare", "wf_002").code == 1
    assert watched(ran, "compare", "wf_002", "wf_003", "--json").code == 1
    assert everything(ran.home) == before


# --- two vendors of the example --------------------------------------------------------------------------------------

REVIEW = "run", "--goal", "vendor onboarding review", "--by", "ada"


@pytest.fixture
def reviewed(handrail: CommandLine) -> CommandLine:
    """Two vendors of which one was approved and one rejected, after the same steps; and one that has no number yet."""
    northwind = Path(vendor_onboarding.__file__).parent / "vendors" / "northwind"
    shutil.copytree(northwind, handrail.folder / "eastwind")
    vendor = handrail.folder / "eastwind" / "vendor.json"
    known = json.loads(vendor.read_text(encoding="utf-8"))
    renamed = known | {"vendor_key": "eastwind", "legal_name": "Eastwind Office Supplies GmbH"}
    vendor.write_text(json.dumps(renamed), encoding="utf-8")
    handrail(*REVIEW)
    handrail(*REVIEW, "--input", "vendor_dir=eastwind")
    handrail(*REVIEW, "--input", "vendor_dir=brightwater")
    handrail("approve", "wf_001", "--by", "grace")
    handrail("reject", "wf_002", "--by", "grace", "--reason", "the owner is unknown")
    return handrail


def test_two_vendors_part_at_the_approval_and_what_differed_before_is_data(reviewed: CommandLine) -> None:
    compared = reviewed("compare", "wf_002", "wf_001")
    assert compared.code == 1
    assert compared.lines[:9] == [
        "wf_002 and wf_001 part at event 12: the approval of policy_screen",
        "  here      event 12: grace rejects policy_screen",
        "  there     event 12: grace approves policy_screen",
        '            /decision: "reject" here, "approve" there',
        "  before    11 events the same way; data that differ are below",
        '  event 1   /input/vendor_dir: "eastwind" here, "northwind" there',
        "  event 3   _plan /input/input/vendor_dir: as in event 1",
        "  event 4   /steps/0/input/vendor_dir: as in event 1",
        "  event 5   docs_collect /input/vendor_dir: as in event 1",
    ]
    assert "  event 10  policy_screen /input/papers/folder: as in event 6" in compared.lines
    assert max(map(len, compared.lines)) <= 80
    told = reviewed("compare", "wf_002", "wf_001", "--json").document
    assert (told["parting"]["what"], told["parting"]["here"]) == ("decision", 12)
    planned = next(point for point in told["data"] if point["here"] == 4)
    assert (planned["what"], planned["differences"]) == (
        "plan",
        [{"path": "/steps/0/input/vendor_dir", "recorded": "eastwind", "decided": "northwind"}],
    )
    collected = next(point for point in told["data"] if point["here"] == 6)
    assert (collected["what"], collected["step"]) == ("outcome", "docs_collect")


def test_vendors_whose_plans_differ_part_at_the_plan(reviewed: CommandLine) -> None:
    compared = reviewed("compare", "wf_003", "wf_001")
    assert compared.lines[0] == "wf_003 and wf_001 part at event 9: the plan"
    told = " ".join(compared.out.split())
    assert "here event 9: plan 2: reserve_vendor_number, policy_screen, final_decision" in told
    assert "there event 9: plan 2: policy_screen, final_decision" in told
    assert '/steps/1/after: ["reserve_vendor_number"] here, [] there' in told


def test_a_replay_names_the_same_point_beside_the_last_that_completed(reviewed: CommandLine) -> None:
    replayed = " ".join(reviewed("replay", "wf_002", "--brief").out.split())
    assert "wf_001, the last that completed, parts from it at event 12; there: grace approves policy_screen" in replayed
