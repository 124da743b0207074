"""JSON Schemas of every version of every stored event, as they are checked in under deploy/schemas/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from domain.errors import StoreUnavailable
from domain.events import STORED

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
CHECKED_IN: Final = Path(__file__).resolve().parents[1] / "schemas"


def schema_documents() -> dict[str, dict[str, Any]]:
    """Every schema by its file name, `NAME.vN.json`: the shape of an event's payload as it is stored."""
    documents: dict[str, dict[str, Any]] = {}
    for (name, version), shape in sorted(STORED.items()):
        documents[f"{name}.v{version}.json"] = {
            "$schema": DIALECT,
            **shape.model_json_schema(),
            "title": f"{name} v{version}",
        }
    return documents


def schema_text(document: dict[str, Any]) -> str:
    """A schema as its file holds it."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write_schemas(folder: Path) -> list[Path]:
    """Write every schema into the folder; the files written."""
    documents = schema_documents()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for name, document in documents.items():
            path = folder / name
            path.write_text(schema_text(document), encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise StoreUnavailable(f"schemas cannot be written to {folder}: {error.strerror or error}") from error
    return written
