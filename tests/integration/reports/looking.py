"""Pages in a real browser: what Chromium sees of them, and pictures of them.

    python -m tests.integration.reports.looking FOLDER

makes pages of what has something of everything, and puts pictures of them into the folder, for people to look at.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.node_programs import ROOT, chromium, node, node_environment
from tests.unit.projections.reporting.stories import HOSTILE, chained, facts_of_scenario, incident, page_of

PROGRAM: Final = ROOT / "tests" / "node" / "look_at_pages.js"
LIMIT_SECONDS: Final = 100.0


def look(files: Sequence[Path], pictures: Path | None = None) -> list[dict[str, Any]]:
    """What Chromium sees of the pages: the first in all ways, the others in two."""
    ended = subprocess.run(
        [node(), str(PROGRAM), chromium(), str(pictures or ""), *map(str, files)],
        env=node_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    if ended.returncode != 0:
        raise RuntimeError(f"{PROGRAM.name} ended with {ended.returncode}: {ended.stderr[-2_000:]}")
    return [json.loads(line) for line in ended.stdout.splitlines()]


def pages(folder: Path) -> list[Path]:
    """Pages of an incident, of one whose texts are hostile, and of a long workflow."""
    stories = {"incident": incident(), "hostile": incident(" ".join(HOSTILE), goal=HOSTILE[0]), "long": chained(130)}
    made = []
    for name, story in stories.items():
        made.append(folder / f"{name}.html")
        made[-1].write_text(page_of(facts_of_scenario(story)), encoding="utf-8")
    return made


def main(arguments: Sequence[str]) -> int:
    """Put pages and their pictures into a folder."""
    folder = Path(arguments[0] if arguments else "build/report")
    folder.mkdir(parents=True, exist_ok=True)
    for seen in look(pages(folder), folder):
        print(json.dumps(seen))
    print(f"pages and pictures are in {folder}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
