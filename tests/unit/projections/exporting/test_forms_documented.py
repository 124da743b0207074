"""The tables of deploy/docs/exports.md name what the forms for other programs write."""

import json
import re
from pathlib import Path

from projections.exporting.ocel_types import FAILURE, HEADER, OBJECTS
from projections.exporting.xes import ACTIVITIES

ROOT = Path(__file__).parents[4]
DOCUMENT = (ROOT / "deploy/docs/exports.md").read_text(encoding="utf-8")


def section(name: str) -> str:
    return DOCUMENT[DOCUMENT.index(f"## {name}\n") :].split("\n## ", maxsplit=1)[0]


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the table with this first heading."""
    table = text[text.index(f"| {heading} |") :].split("\n\n", maxsplit=1)[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table]


def quoted(text: str) -> list[str]:
    return re.findall("`([^`]+)`", text)


def test_every_transition_of_xes_is_in_the_table() -> None:
    told: dict[str, str] = {}
    for events, activity, transition in rows(section("XES"), "events")[:-1]:
        names, transitions = quoted(events), quoted(transition)
        if "manualskip" in transitions:
            transitions = ["autoskip"]
        if len(transitions) == 1:
            transitions *= len(names)
        told |= dict(zip(names, transitions, strict=True))
        for name in names:
            written = ACTIVITIES[name][0]
            if "{" not in written:
                assert quoted(activity) == [written]
            elif " " in written:
                assert quoted(activity) == [written.replace("{step}", "STEP")]
            else:
                assert activity.startswith(("the step", "the same"))
    assert told == {name: transition for name, (_, transition) in ACTIVITIES.items()}


def test_every_object_of_ocel_with_its_attributes_is_in_the_table() -> None:
    text = section("OCEL")
    told = {quoted(name)[0]: re.sub(r"\([^)]*\)", "", attributes) for name, _, attributes, _ in rows(text, "object")}
    assert {name: quoted(attributes) for name, attributes in told.items()} == {
        name: list(attributes) for name, attributes in OBJECTS.items()
    }
    assert {*HEADER, *FAILURE} <= set(quoted(text))


def test_every_attribute_of_cloudevents_is_in_the_table() -> None:
    schema = json.loads((ROOT / "deploy/schemas/exports/cloudevents.json").read_text(encoding="utf-8"))
    told = {name for cells in rows(section("CloudEvents"), "attribute") for name in quoted(cells[0])}
    assert told | {"specversion"} == set(schema["properties"])
