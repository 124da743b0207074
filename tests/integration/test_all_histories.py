"""What looks at every history of a store says the same of SQLite and of PostgreSQL."""

from pathlib import Path
from typing import Any

from deploy.loading import LoadedDefinitions
from deploy.opened import SCHEMA, open_store
from domain.definitions import Definition
from domain.store.application import WorkflowStore
from domain.store.opening import open_postgres_store
from projections.replaying.checking import CheckingAll
from projections.replaying.whatif import WhatIf
from projections.replaying.whatif_policies import OtherPolicies
from tests.integration.exports.stock import PAYING, fill, histories
from tests.servers.postgres import Database
from tests.unit.domain.scenario import Loaded
from tests.unit.projections.histories import FIXED, PLANNED, START

WORKFLOWS = 40
DEFINITIONS: list[Definition] = [FIXED, PLANNED, PAYING]
KNOWN = Loaded({(one.name, one.version): one for one in DEFINITIONS})
STRICTER = {"activities": {"*": {"retry": {"max_attempts": 1}}}, "approvals": {"*": {"four_eyes": True}}}


def answers(store: WorkflowStore) -> dict[str, Any]:
    checking = CheckingAll(store.reading, store.mapper.read, KNOWN)
    ranges = list(checking.ranges(7))
    asking = WhatIf(store.reading, store.mapper.read, KNOWN, OtherPolicies(STRICTER, DEFINITIONS, "file"))
    return {
        "checked": list(checking.run(lambda _: True)),
        "ranges": ranges,
        "by range": [one for among in ranges for one in checking.run(lambda _: True, among=among)],
        "since": list(checking.run(lambda _: True, START.replace(hour=23))),
        "asked": list(asking.over_all(lambda _: True)),
    }


def test_every_history_comes_out_the_same_on_both(tmp_path: Path, database: Database) -> None:
    made = histories(WORKFLOWS, decisions=20)
    sqlite = open_store(tmp_path, LoadedDefinitions())
    postgres = open_postgres_store(database.url, definitions=LoadedDefinitions(), schema=SCHEMA, create=True)
    try:
        for store in (sqlite, postgres):
            fill(store, made)
        found = answers(sqlite)
        assert answers(postgres) == found
    finally:
        sqlite.close()
        postgres.close()
    assert {one.word for one in found["checked"]} == {"agrees"}
    assert found["by range"] == found["checked"]
    assert len(found["ranges"]) == 6
    assert len(found["asked"]) == WORKFLOWS
    assert any(one.change is not None for one in found["asked"])
