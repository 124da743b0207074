"""The page in Chromium: it fits every width, asks for nothing, complains of nothing, and can be read and reached."""

from pathlib import Path
from typing import Any

from tests.integration.reports.looking import look, pages

LEAST_CONTRAST = 4.5


def faults(seen: dict[str, Any]) -> list[str]:
    """What is wrong with a page as it was seen."""
    found = {
        "too wide": seen["wide"] > seen["window"],
        "asks for something": len(seen["asked"]) != 1,
        "says something": bool(seen["said"]),
        "runs something": seen["scripts"] > 0,
        "out of reach": seen["unreachable"] > 0,
        "hard to read": seen["contrast"] < LEAST_CONTRAST,
        "does not open": not seen["opened"],
    }
    return [name for name, wrong in found.items() if wrong]


def test_pages_are_sound_at_every_width_light_and_dark(tmp_path: Path) -> None:
    looks = look(pages(tmp_path))
    assert len(looks) == 12
    assert {(one["width"], one["colorScheme"]): faults(one) for one in looks if faults(one)} == {}
    grounds = {one["colorScheme"]: one["background"] for one in looks}
    assert grounds["light"] != grounds["dark"]


PLANTED = """<!DOCTYPE html><html><body><main style="color: #aaa">pale
<div style="width: 3000px">wide</div><div style="width: 50px; overflow-x: auto"><p style="width: 90px">far</p></div>
<img src="nowhere.png"><script>console.log("said")</script></main></body></html>"""


def test_what_is_not_sound_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "planted.html"
    page.write_text(PLANTED, encoding="utf-8")
    for one in look([page]):
        assert len(faults(one)) == 7, faults(one)
