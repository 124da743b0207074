"""`handrail compare`: against another run, or by itself against the last of the definition that completed."""

import sqlite3

import pytest

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
