"""Write the dashboards as JSON: `python -m deploy.grafana [FOLDER] [--runbook URL]`, or `make dashboards`.

Without a folder, into the one that is shipped. `--runbook` is where your people read deploy/RUNBOOK.md: panels link to
its sections.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.grafana.activities import activities
from deploy.grafana.approvals import approvals
from deploy.grafana.boards import RUNBOOK, text_of
from deploy.grafana.definition import definition
from deploy.grafana.infrastructure import infrastructure
from deploy.grafana.overview import overview

SHIPPED: Final = Path(__file__).parent / "dashboards"


def written(runbook: str = RUNBOOK) -> Mapping[str, str]:
    """The dashboards as JSON, by the names of their files."""
    made = (overview(), definition(), activities(), approvals(), infrastructure())
    return {f"{one.uid}.json": text_of(one, runbook) for one in made}


def main() -> None:
    """Write them."""
    parser = argparse.ArgumentParser(prog="python -m deploy.grafana", description="Write Grafana's dashboards as JSON.")
    parser.add_argument("folder", nargs="?", type=Path, default=SHIPPED, help="where to; by default those shipped")
    parser.add_argument("--runbook", metavar="URL", default=RUNBOOK, help="where your people read deploy/RUNBOOK.md")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for name, text in written(given.runbook).items():
        (given.folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
