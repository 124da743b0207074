"""The definitions that are shipped are those of the topology, with rights and without anything secret."""

from __future__ import annotations

import json
from pathlib import Path

from deploy.broker_definitions import broker_definitions, definitions_text
from domain.rights import default_users
from domain.topology import topology_of

SHIPPED = Path(__file__).resolve().parents[3] / "deploy" / "rabbitmq" / "definitions.json"


def test_the_file_is_rendered_from_the_topology() -> None:
    expected = definitions_text(broker_definitions(topology_of(), default_users()))
    assert SHIPPED.read_text(encoding="utf-8") == expected, (
        "`handrail topology render > deploy/rabbitmq/definitions.json`"
    )


def test_it_holds_users_and_no_credentials() -> None:
    shipped = json.loads(SHIPPED.read_text(encoding="utf-8"))
    assert [sorted(user) for user in shipped["users"]] == [["name", "password_hash", "tags"]] * len(default_users())
    assert {user["password_hash"] for user in shipped["users"]} == {""}
    assert {one["user"] for one in shipped["permissions"]} == {user["name"] for user in shipped["users"]}
