"""A backup put back into a store that archives: from after an archive, and from before it."""

import shutil

from deploy.opened import DATABASE_FILE
from tests.integration.archiving.stage import at_home, compared, names_in, open_home
from tests.integration.command_line import CommandLine

ARCHIVE = ("archive", "--older-than", "1d", "--by", "ann", "--reason", "old", "--yes", "--json", "-o")


def put_back(handrail: CommandLine, backup: str) -> None:
    for file in handrail.home.glob(f"{DATABASE_FILE}*"):
        file.unlink()
    shutil.copy(handrail.folder / backup, handrail.home / DATABASE_FILE)
    restored = handrail("restore", "--by", "ann", "--reason", "the disk broke")
    assert restored.code == 0, restored.errors


def check_sound(handrail: CommandLine, *, archived: int) -> None:
    """What was sealed before all of it is there, or has a tombstone that agrees; the views agree with the log."""
    held = handrail("verify", "before.seal", "--store", "--json")
    assert (held.code, held.document["store"]["archived"]) == (0, archived), held.out
    assert handrail("replay", "--all", "--json").objects[-1]["archived"] == archived
    with open_home(handrail) as store:
        assert compared(store).total == 0


def test_what_was_archived_before_the_backup_stays_archived(handrail: CommandLine) -> None:
    at_home(handrail)
    assert handrail("seal", "-o", "before.seal").code == 0
    gone = handrail(*ARCHIVE, "old.jsonl").document["workflows"]
    assert handrail("backup", "after.db").code == 0
    put_back(handrail, "after.db")
    check_sound(handrail, archived=gone)
    refused = handrail("show", names_in(handrail.folder / "old.jsonl")[0])
    assert (refused.code, "was archived on" in refused.errors) == (2, True)


def test_what_was_archived_after_the_backup_is_back_and_goes_again_by_the_same_file(handrail: CommandLine) -> None:
    at_home(handrail)
    assert handrail("seal", "-o", "before.seal").code == 0
    assert handrail("backup", "before.db").code == 0
    gone = handrail(*ARCHIVE, "old.jsonl").document["workflows"]
    put_back(handrail, "before.db")
    check_sound(handrail, archived=0)
    back = names_in(handrail.folder / "old.jsonl")[0]
    assert handrail("show", back).code == 0
    again = handrail(*ARCHIVE, "old.jsonl")
    assert (again.code, again.document["workflows"]) == (0, gone), again.errors
    check_sound(handrail, archived=gone)
