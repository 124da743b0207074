"""`handrail keys` and `handrail erase` as a person uses them, on a home."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.integration.command_line import CommandLine, Ended

WORD = "Wolpertinger"
ARTIFACTS = ("artifacts", "workflows")
"""Folders of a home with files for people, which are in clear."""


class Encrypted(CommandLine):
    """A command line with a key ring in its folder."""

    @property
    def ring(self) -> Path:
        return self.folder / "ring.json"

    def __call__(self, *arguments: str, **environment: str) -> Ended:
        return super().__call__(*arguments, **{"HANDRAIL_ENCRYPTION_KEYS": str(self.ring), **environment})

    def done(self, *arguments: str) -> Ended:
        ended = self(*arguments)
        assert ended.code == 0, ended.errors
        return ended

    def holding(self, word: str) -> list[str]:
        """The files of the home that hold a word; of artifacts too."""
        files = (path for path in self.home.rglob("*") if path.is_file())
        return sorted(str(path.relative_to(self.home)) for path in files if word.encode() in path.read_bytes())


@pytest.fixture
def handrail(tmp_path: Path) -> Encrypted:
    program = Encrypted(tmp_path)
    program.done("keys", "new", "-o", "ring.json")
    return program


def onboarded(handrail: Encrypted) -> None:
    """A workflow that a person granted, with the word wherever people may write."""
    goal = ("--goal", f"vendor onboarding review {WORD}", "--definition", "vendor onboarding review")
    started = handrail("run", *goal, "--tag", f"for={WORD}")
    assert started.code == 3, started.errors
    handrail.done("approve", "wf_001", "--by", "ann", "--reason", f"fine, {WORD}", "--control", f"look at {WORD}")


def test_nothing_that_people_wrote_is_in_clear_but_artifacts(handrail: Encrypted) -> None:
    onboarded(handrail)
    handrail.done("list")  # which brings the views up to the log
    assert [name for name in handrail.holding(WORD) if not name.startswith(ARTIFACTS)] == []
    assert WORD in handrail.done("list").out
    assert WORD in handrail.done("show", "wf_001").out
    assert WORD in handrail.done("list", "--tag", f"for={WORD}").out


def test_erasing_leaves_nothing_of_it_and_everything_that_verifies(handrail: Encrypted) -> None:
    onboarded(handrail)
    handrail.done("export", "--all", "-o", "before.jsonl")
    handrail.done("seal", "-o", "sealed.jsonl")
    assert any(name.startswith(ARTIFACTS) for name in handrail.holding("onboarding"))
    for as_json in ((), ("--json",)):
        refused = handrail("erase", "wf_001", "--by", "ann", "--reason", "asked for", *as_json)
        assert (refused.code, refused.out, refused.errors.count("\n")) == (2, "", 1)
        assert "cannot be undone, and nobody can be asked here: say with --yes" in refused.errors
    looked = handrail.done("erase", "wf_001", "--by", "ann", "--reason", "asked for", "--dry-run", "--json").document
    assert (looked["dry_run"], looked["workflows"][0]["artifacts"]) == (True, 1)
    dry = handrail.done("erase", "wf_001", "--by", "ann", "--reason", "asked for", "--dry-run").out
    assert f"the payloads of {looked['workflows'][0]['events']} events, and 1 artifact would be erased" in dry
    assert handrail.done("show", "wf_001").code == 0, "a dry run changes nothing"
    erased = handrail.done("erase", "wf_001", "--by", "ann", "--reason", "asked for", "--yes", "--json").document
    assert erased["workflows"][0]["events"] == looked["workflows"][0]["events"]
    assert handrail.holding(WORD) == []
    assert [name for name in handrail.holding("onboarding") if name.startswith(ARTIFACTS)] == []
    # All that reads says so, and nothing calls it damaged.
    for command in ("list", "show wf_001", "history wf_001", "replay --all", "projections verify all", "stuck"):
        told = handrail.done(*command.split())
        assert WORD not in told.out
        assert "damaged" not in told.out + told.errors, command
    replayed = handrail("replay", "wf_001")
    assert replayed.out.count("erased on") == 1, "it is told once, and not for each event"
    assert (replayed.lines[0], replayed.code) == ("wf_001  completed", 3)
    assert replayed.out == handrail("replay", "wf_001").out
    shown = handrail.done("show", "wf_001")
    assert shown.lines[0].startswith("wf_001  completed; more is not known: the payload of event 1 is withheld")
    assert re.fullmatch(r"  erased on \d{4}-\d\d-\d\d \d\d:\d\d UTC by ann \(asked for\)", shown.lines[1])
    document = handrail.done("show", "wf_001", "--json").document
    assert (document["status"], document["erased"]["by"]) == ("completed", "ann")
    assert document["definition"] == "vendor onboarding review"
    assert document["started_at"] < document["ended_at"] < document["erased"]["at"]
    handrail.done("report", "wf_001", "-o", "report")
    page = (handrail.folder / "report" / "wf_001.html").read_text()
    assert ("Nothing was attempted" in page, page.count("erased on")) == (False, 1)
    handrail.done("export", "--all", "-o", "after.jsonl")
    for file in ("before.jsonl", "after.jsonl", "sealed.jsonl"):
        handrail.done("verify", file, "--store")
    roots = [json.loads((handrail.folder / name).read_bytes().splitlines()[-1])["manifest"]["root"]
             for name in ("before.jsonl", "after.jsonl")]  # fmt: skip
    assert roots[0] == roots[1]
    again = handrail.done("erase", "wf_001", "--by", "bob", "--reason", "once more", "--yes")
    assert "was erased on" in again.out
    assert "by ann (asked for)" in again.out
    late = handrail("cancel", "wf_001", "--by", "ann", "--reason", "late")
    assert (late.code, "was erased on" in late.errors) == (2, True)


def test_others_are_compared_with_the_last_run_that_was_not_erased(handrail: Encrypted) -> None:
    for name in ("wf_001", "wf_002", "wf_003"):
        handrail("run", "--goal", "asking", "--by", "ada")
        handrail.done("approve", name, "--by", "bob")
    assert handrail.done("compare", "wf_003", "--json").document["other"] == "wf_002"
    handrail.done("erase", "wf_002", "--by", "ann", "--reason", "asked for", "--yes")
    assert handrail.done("compare", "wf_003", "--json").document["other"] == "wf_001"
    handrail("run", "--goal", "asking", "--by", "ada")
    handrail("reject", "wf_004", "--by", "bob", "--reason", "too much")
    handrail.done("erase", "wf_003", "--by", "ann", "--reason", "asked for", "--yes")
    assert handrail("replay", "wf_004", "--json").document["beside"]["workflow"] == "wf_001"


def test_keys_are_counted_and_rotated(handrail: Encrypted) -> None:
    onboarded(handrail)
    assert handrail.done("keys", "status", "--json").document == {
        "encrypted": True, "current": "k1", "under": {"k1": 1}, "erased": 0, "began_in_clear": 0, "in_clear": 0,
    }  # fmt: skip
    assert handrail.done("keys", "rotate", "--json").document == {"current": "k2", "wrapped": 1}
    ring = json.loads(handrail.ring.read_text())
    del ring["keys"]["k1"]
    handrail.ring.write_text(json.dumps(ring))
    assert WORD in handrail.done("show", "wf_001").out, "nothing is under the old key"


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        ("{}", 0o600, "is no key ring; `handrail keys new -o FILE` makes one"),
        (None, 0o644, "others than its owner may use it; `chmod 600"),
        ('{"format":"handrail.keys.v1","current":"k1","keys":{"k1":"QUJD"}}', 0o600, "key 'k1' has 3 bytes, not 32"),
        ('{"format":"handrail.keys.v1","current":"k1","keys":{}}', 0o600, "has no such key"),
    ],
)
def test_a_ring_that_does_not_do_is_refused(handrail: Encrypted, content: str | None, mode: int, words: str) -> None:
    if content is not None:
        handrail.ring.write_text(content)
    handrail.ring.chmod(mode)
    handrail.home.mkdir()
    refused = handrail("list")
    assert refused.code == 2
    assert words in refused.errors.replace("\n", " ")
    assert "QUJD" not in refused.errors


def test_a_home_in_clear_is_enabled_once(handrail: Encrypted) -> None:
    assert handrail("run", "--goal", "vendor onboarding review", HANDRAIL_ENCRYPTION_KEYS="").code == 3
    assert "payloads are in clear: 1 workflow;" in handrail("keys", "status", HANDRAIL_ENCRYPTION_KEYS="").out
    assert "run `handrail keys enable` once" in handrail("list").errors.replace("\n", " ")
    assert handrail.done("keys", "enable", "--json").document == {"current": "k1", "began_in_clear": 1}
    assert handrail.done("keys", "enable", "--json").document["began_in_clear"] == 1
    handrail.done("approve", "wf_001", "--by", "ann")
    assert "completed" in handrail.done("list").out
    without = handrail("show", "wf_001", HANDRAIL_ENCRYPTION_KEYS="")
    assert without.code == 4
    assert "are encrypted: name the key ring" in without.errors.replace("\n", " ")


def test_a_backup_is_read_with_the_ring_alone(handrail: Encrypted, tmp_path: Path) -> None:
    onboarded(handrail)
    handrail.done("backup", "copy.db")
    copy = handrail.folder / "copy.db"
    assert WORD.encode() not in copy.read_bytes()
    (tmp_path / "other").mkdir()
    copy.rename(tmp_path / "other" / "handrail.db")
    assert handrail("list", "--home", "other", HANDRAIL_ENCRYPTION_KEYS="").code == 4
    assert WORD in handrail.done("show", "wf_001", "--home", "other").out


def test_an_export_is_imported_in_clear_whatever_ring_there_is(handrail: Encrypted) -> None:
    onboarded(handrail)
    handrail.done("export", "--all", "-o", "whole.jsonl")
    handrail.done("import", "whole.jsonl", "--read-only", "--home", "imported")
    for ring in ("", str(handrail.ring)):
        told = handrail("show", "wf_001", "--home", "imported", HANDRAIL_ENCRYPTION_KEYS=ring)
        assert (told.code, WORD in told.out) == (0, True), told.errors


def test_an_erased_workflow_is_archived_and_imported_as_it_is(handrail: Encrypted) -> None:
    onboarded(handrail)
    handrail.done("erase", "wf_001", "--by", "ann", "--reason", "asked for", "--yes")
    handrail("run", "--goal", "vendor onboarding review")  # the newest event of the log is never archived
    handrail.done("archive", "--older-than", "1s", "-o", "old.jsonl", "--by", "ann", "--reason", "old", "--yes")
    assert WORD.encode() not in (handrail.folder / "old.jsonl").read_bytes()
    handrail.done("verify", "old.jsonl")
    handrail.done("import", "old.jsonl", "--read-only", "--home", "imported")
    assert "withheld" in handrail.done("show", "wf_001", "--home", "imported").out
    counted = handrail.done("keys", "status", "--json").document
    assert (counted["erased"], counted["in_clear"], counted["under"]) == (1, 0, {"k1": 1})


def test_whoever_erases_hears_which_files_of_archives_hold_the_data(handrail: Encrypted) -> None:
    onboarded(handrail)
    fork = handrail("fork", "wf_001", "--at", "8", "--yes", "--json").objects[0]["workflow"]
    handrail("cancel", fork, "--by", "ann", "--reason", "not wanted")  # the newest event of the log is never archived
    handrail.done("archive", "--older-than", "1s", "-o", "old.jsonl", "--by", "ann", "--reason", "old", "--yes")
    asked_for = ("--by", "ann", "--reason", "asked for", "--yes")
    refused = handrail("erase", "wf_001", *asked_for)
    assert refused.code == 2
    assert "was archived" in refused.errors
    assert "that file, which holds its payloads in clear" in refused.errors
    erased = handrail.done("erase", fork, *asked_for)
    assert f"wf_001 was archived, and may hold data of it too: in {handrail.folder / 'old.jsonl'}" in erased.errors
    again = handrail.done("erase", fork, *asked_for, "--json").document
    assert again["workflows"][0]["before"]


def test_an_archive_takes_nobody_who_was_erased_between_its_file_and_now(handrail: Encrypted) -> None:
    onboarded(handrail)
    handrail("run", "--goal", "vendor onboarding review")  # the newest event of the log is never archived
    handrail.done("export", "wf_001", "-o", "clear.jsonl")
    handrail.done("backup", "before.db")
    handrail.done("erase", "wf_001", "--by", "ann", "--reason", "asked for", "--yes")
    handrail.done("export", "wf_001", "-o", "erased.jsonl")
    archive = ("archive", "--older-than", "1s", "--by", "ann", "--reason", "old", "--yes", "-o")
    told = handrail.done(*archive, "clear.jsonl").errors
    assert "1 workflow stays in the store: it is not, or no longer, what is in the file" in told
    for name in ("handrail.db-wal", "handrail.db-shm"):
        (handrail.home / name).unlink(missing_ok=True)
    shutil.copy(handrail.folder / "before.db", handrail.home / "handrail.db")
    told = handrail.done(*archive, "erased.jsonl").errors
    assert "1 workflow stays in the store: it is not, or no longer, what is in the file" in told
    assert WORD in handrail.done("show", "wf_001").out
    os.mkfifo(handrail.folder / "pipe")
    refused = handrail(*archive, "pipe")
    assert (refused.code, "is no plain file" in refused.errors) == (2, True), refused
    assert "archived 1 workflow " in handrail.done(*archive, "clear.jsonl").out
