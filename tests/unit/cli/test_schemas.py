"""JSON Schemas of every event version: checked in, equal, and true of what the engine writes."""

import json
from pathlib import Path

import jsonschema
import pytest

from deploy.cli.schemas import CHECKED_IN, DIALECT, schema_documents, schema_text, write_schemas
from domain.errors import StoreUnavailable
from domain.events import STORED
from tests.unit.projections.histories import FIXED, PLANNED, history


def test_those_checked_in_are_those_of_the_code() -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in CHECKED_IN.glob("*.json")}
    current = {name: schema_text(document) for name, document in schema_documents().items()}
    assert written == current, "run `make schema ARGS='--write deploy/schemas'`; a shape that changed is a new version"


def test_there_is_one_for_every_version() -> None:
    assert set(schema_documents()) == {f"{name}.v{version}.json" for name, version in STORED}


def test_each_is_a_schema() -> None:
    for name, document in schema_documents().items():
        assert document["$schema"] == DIALECT
        assert document["title"] == name.removesuffix(".json").replace(".", " ")
        jsonschema.Draft202012Validator.check_schema(document)


def test_payloads_are_as_their_schema_says() -> None:
    validators = {
        name: jsonschema.Draft202012Validator(document, format_checker=jsonschema.FormatChecker())
        for name, document in schema_documents().items()
    }
    seen = set()
    for definition in (FIXED, PLANNED):
        for seed in range(15):
            for recorded in history(seed, 60, definition):
                name = f"{recorded.event.stored_name}.v{recorded.event.stored_version}.json"
                validators[name].validate(json.loads(recorded.payload))
                seen.add(name)
    assert len(seen) > len(validators) * 3 // 4


def test_they_are_written_where_one_likes(tmp_path: Path) -> None:
    (tmp_path / "mine.v1.json").write_text("{}")
    written = write_schemas(tmp_path)
    assert {path.name for path in written} == set(schema_documents())
    assert (tmp_path / "mine.v1.json").read_text() == "{}"
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        write_schemas(tmp_path / "file" / "folder")
