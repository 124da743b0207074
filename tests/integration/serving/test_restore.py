"""A backup put back while the broker and the world are ahead of it: nothing that may happen but once happens twice."""

import asyncio
import json
import signal
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from psycopg import sql

from domain.ids import workflow_id_from_message
from domain.messages import bodies
from domain.store.epochs import EPOCH
from tests.integration.serving.conftest import Deploy
from tests.integration.serving.deployment import Deployment, until
from tests.integration.serving.test_serve_all import published
from tests.integration.shop import LEDGER
from tests.servers.postgres import Database

BLOCKED = "blocked"


class Shop:
    """A deployment of the shop, its ledger, and a backup of its database."""

    def __init__(self, deploy: Deploy, folder: Path) -> None:
        self.ledger = folder / "ledger"
        self.deployment: Deployment = deploy(modules="tests.integration.shop", settings={LEDGER: str(self.ledger)})
        self.database = self.deployment.database

    def ordered(self, definition: str, names: Iterable[str]) -> list[str]:
        """Publish goals; the ids of their workflows."""
        goals = {name: bodies.Goal(goal=f"order {name}", definition=definition) for name in names}
        asyncio.run(published(self.deployment, goals))
        return [workflow_id_from_message(self.deployment.goal_service.name, name) for name in goals]

    def stand_at(self, workflow_ids: list[str], status: str) -> None:
        until(
            lambda: (
                set(self.deployment.statuses(workflow_ids).values()) == {status}
                and len(self.deployment.statuses(workflow_ids)) == len(workflow_ids)
            ),
            lambda: f"{self.deployment.statuses(workflow_ids)}",
        )

    def live(self, workflow_ids: list[str], step: str) -> None:
        """Wait until these have an attempt of this step under way."""

        def there() -> bool:
            known = [one for one in workflow_ids if self.deployment.store.exists(one)]
            states = [self.deployment.store.load(one) for one in known]
            return len(states) == len(workflow_ids) and all(step in state.live.values() for state in states)

        until(there, lambda: f"not at {step}: {self.deployment.statuses(workflow_ids)}")

    def back_up(self) -> Database:
        """A copy of the database, made while nobody is connected."""
        self.deployment.store.close()
        self.database.close_connections()
        backup = self.database.cluster.new_database(self.database.name)
        self.reopen()
        return backup

    def put_back(self, backup: Database) -> None:
        """The backup takes the place of the database; nobody has opened it yet."""
        self.deployment.store.close()
        self.database.cluster.drop(self.database)
        self.database.cluster.administer(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(
                sql.Identifier(backup.name), sql.Identifier(self.database.name)
            )
        )

    def reopen(self) -> None:
        self.deployment.store = self.deployment.opened()

    def entries(self) -> Counter[str]:
        return Counter(self.ledger.read_text(encoding="utf-8").splitlines())

    def restored(self, *options: str, **environment: str) -> tuple[int, str, str]:
        done = self.deployment.run("restore", "--by", "ann", "--reason", "the disk broke", *options, **environment)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def shop(deploy: Deploy, tmp_path: Path) -> Shop:
    return Shop(deploy, tmp_path)


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


def test_after_a_backup_was_put_back_nothing_is_paid_twice_and_everything_ends(shop: Shop) -> None:
    deployment = shop.deployment
    # Some stand before the payment, with its command in the queue; some before all; when the backup is taken.
    serving = deployment.serve("all", "--queues", "default")
    at_payment, blind = shop.ordered("shop", names("early", 6)), shop.ordered("blind shop", names("blind", 2))
    shop.live([*at_payment, *blind], "pay")
    assert serving.terminate() == 0
    serving = deployment.serve("goals", "relay")
    at_first = shop.ordered("shop", names("late", 6))
    shop.live(at_first, "reserve")
    assert serving.terminate() == 0
    backup = shop.back_up()

    # The time that will be lost: everything is paid, and further goals are accepted whose commands wait.
    serving = deployment.serve("all")
    lost = shop.ordered("shop", names("lost", 3))
    everybody = [*at_payment, *blind, *at_first, *lost]
    shop.stand_at(everybody, "completed")
    assert serving.terminate() == 0
    serving = deployment.serve("goals", "relay")
    waiting = shop.ordered("shop", names("waiting", 5))
    shop.live(waiting, "reserve")
    activities = "handrail.activity.default"
    until(lambda: (deployment.vhost.queue(activities) or {}).get("messages") == 5, "not in the queue")
    assert serving.terminate() == 0
    before = shop.entries()
    assert sum(count for entry, count in before.items() if entry.startswith("pay ")) == len(everybody)

    shop.put_back(backup)
    code, said, noted = shop.restored("--dry-run")
    assert (code, said.splitlines()[0]) == (0, "14 workflows looked at, 14 of them open"), noted
    code, said, noted = shop.restored("--json")
    assert code == 0, noted
    counted = json.loads(said)
    assert (counted["open"], counted["unknown"], counted["commands"]) == (14, 8, 6)
    shop.reopen()
    serving = deployment.serve("all")
    shop.stand_at([*at_payment, *at_first], "completed")
    shop.stand_at(blind, BLOCKED)
    for workflow_id in blind:
        settled = deployment.run(
            "settle", workflow_id, "--step", "pay", "--as", "applied", "--by", "bob", "--reason", "seen in the ledger"
        )
        assert settled.returncode == 0, settled.stderr
    shop.stand_at(blind, "completed")

    after = shop.entries()
    assert {count for entry, count in after.items() if entry.startswith("pay ")} == {1}
    assert after.keys() == before.keys(), "idempotent effects come again under the same keys"
    parked = "handrail.dead.commands"
    until(lambda: (deployment.vhost.queue(parked) or {}).get("messages") == 5, lambda: serving.log.read_text()[-3000:])
    # A goal that was accepted in the lost time, and is sent again: its payment was made, and is found.
    shop.stand_at(shop.ordered("shop", names("lost", 3)), "completed")
    assert {count for entry, count in shop.entries().items() if entry.startswith("pay ")} == {1}
    assert serving.terminate() == 0


def test_a_restore_killed_in_the_middle_lets_nobody_in_and_goes_on_where_it_was(shop: Shop) -> None:
    deployment = shop.deployment
    serving = deployment.serve("goals", "relay")
    workflow_ids = shop.ordered("shop", names("early", 3))
    shop.live(workflow_ids, "reserve")
    code, _, noted = shop.restored()
    assert code == 2
    assert "stop every process of Handrail" in noted
    assert serving.terminate() == 0
    shop.put_back(shop.back_up())

    code, _, _ = shop.restored(HANDRAIL_FAULT_POINT="commit.after:2")
    assert code == -signal.SIGKILL
    refused = deployment.run("reconcile")
    assert refused.returncode != 0
    assert "run `handrail restore` again" in refused.stderr
    code, said, noted = shop.restored("--json")
    assert code == 0, noted
    shop.reopen()
    assert deployment.store.query("SELECT value FROM store_facts WHERE name = ?", (EPOCH,)) == [
        (str(json.loads(said)["epoch"]),)
    ]
    serving = deployment.serve("all")
    shop.stand_at(workflow_ids, "completed")
    assert set(shop.entries().values()) == {1}
    assert serving.terminate() == 0
