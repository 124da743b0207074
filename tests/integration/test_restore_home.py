"""`handrail backup` put back into a home: what happened after it does not happen twice."""

from __future__ import annotations

import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest

from deploy.cli.place import DEFAULT_HOME
from deploy.lock import HomeLock
from deploy.opened import DATABASE_FILE
from tests.integration.command_line import CommandLine, Ended
from tests.integration.shop import LEDGER


class Shop:
    """A home, its ledger, and a backup of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = folder / "ledger"
        self.line = CommandLine(folder, "tests.integration.shop")
        self.home = folder / DEFAULT_HOME

    def __call__(self, *arguments: str, **environment: str) -> Ended:
        return self.line(*arguments, **{LEDGER: str(self.ledger)}, **environment)

    def put_back(self, backup: Path) -> None:
        for file in self.home.glob(f"{DATABASE_FILE}*"):
            file.unlink()
        shutil.copy(backup, self.home / DATABASE_FILE)

    def restored(self, *options: str, **environment: str) -> Ended:
        return self("restore", "--by", "ann", "--reason", "the disk broke", *options, **environment)

    def entries(self) -> Counter[str]:
        return Counter(self.ledger.read_text(encoding="utf-8").splitlines())


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_what_was_paid_after_the_backup_is_asked_about_and_not_paid_again(shop: Shop) -> None:
    assert shop("run", "--goal", "patient shop").code == 3
    assert shop("run", "--goal", "paid first").code == 3
    backup = shop.folder / "monday.db"
    assert shop("backup", str(backup)).code == 0
    assert shop("approve", "wf_001", "--by", "ann").code == 0
    assert shop("run", "--goal", "paid first").code == 3
    before = shop.entries()

    shop.put_back(backup)
    told = shop.restored()
    assert told.code == 0, told.errors
    assert told.lines[0] == "2 workflows looked at, 2 of them open"
    assert shop("approve", "wf_001", "--by", "ann").code == 3
    assert shop.entries() - before == {"reserve wf_001/reserve/run": 1}
    assert shop("settle", "wf_001", "--step", "pay", "--as", "applied", "--by", "bob", "--reason", "seen").code == 0
    assert shop.entries()["pay wf_001/pay/run"] == 1
    assert shop.entries()["reserve wf_001/tell/run"] == 2
    # The lost wf_003 has paid under its key: a new workflow has a number that no lost one had.
    assert shop("run", "--goal", "paid first").code == 3
    assert {count for entry, count in shop.entries().items() if entry.startswith("pay ")} == {1}
    assert shop("show", "wf_003").code == 2


@pytest.mark.parametrize("point", ["commit.after:1", "commit.after:2"])
def test_killed_at_any_commit_it_goes_on_where_it_was(shop: Shop, point: str) -> None:
    assert shop("run", "--goal", "patient shop").code == 3
    backup = shop.folder / "monday.db"
    shop("backup", str(backup))
    shop.put_back(backup)
    assert shop.restored(HANDRAIL_FAULT_POINT=point).code == -signal.SIGKILL
    refused = shop("run", "--goal", "paid first")
    assert (refused.code, "run `handrail restore` again" in refused.errors) == (4, True)
    assert shop.restored().code == 0
    history = [event["name"] for event in shop("history", "wf_001").objects]
    assert history.count("WorkflowRestored") == 1
    assert shop("approve", "wf_001", "--by", "ann").code == 3
    assert shop("settle", "wf_001", "--step", "pay", "--as", "not-applied", "--by", "b", "--reason", "no").code == 0
    assert shop.entries()["pay wf_001/pay/run"] == 1


def test_a_child_that_began_after_the_backup_does_not_pay_again(shop: Shop) -> None:
    assert shop("run", "--goal", "family").code == 3
    backup = shop.folder / "monday.db"
    shop("backup", str(backup))
    assert shop("approve", "wf_001", "--by", "ann").code == 0
    shop.put_back(backup)
    assert shop.restored().code == 0
    assert shop("approve", "wf_001", "--by", "ann").code == 3
    assert shop.entries()["pay wf_001.child/pay/run"] == 1
    settled = shop("settle", "wf_001.child", "--step", "pay", "--as", "applied", "--by", "bob", "--reason", "seen")
    assert settled.code == 0, settled
    assert shop("resume", "wf_001").code == 0
    assert shop.entries()["pay wf_001.child/pay/run"] == 1


def test_a_dry_run_changes_nothing(shop: Shop) -> None:
    shop("run", "--goal", "patient shop")
    before = shop("history", "wf_001").out
    assert shop.restored("--dry-run").lines[0] == "1 workflow looked at, 1 of them open"
    elsewhere = shop.restored("--dry-run", "--module", "tests.integration.recipes")
    assert "1 of them wait for a definition that is not loaded here" in elsewhere.errors
    assert shop("history", "wf_001").out == before


def test_a_home_in_use_is_not_restored(shop: Shop) -> None:
    shop("run", "--goal", "patient shop")
    lock = HomeLock(shop.home)
    assert lock.try_acquire()
    try:
        refused = shop.restored()
    finally:
        lock.release()
    assert (refused.code, "end the process that holds it" in refused.errors) == (2, True)
