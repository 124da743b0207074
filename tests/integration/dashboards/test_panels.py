"""Every query of every panel, asked of a real Prometheus that scraped a real run, gives what the run made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.dashboards.boards import Asked, Shown, panels
from tests.integration.dashboards.expected import EXPECTED, wrong
from tests.integration.dashboards.recipes import DEFINITIONS
from tests.integration.dashboards.run import JOB, LIMIT_SECONDS, RECIPES, Run, run_on, settings
from tests.integration.serving.conftest import Deploy, deploy
from tests.integration.serving.deployment import until

__all__ = ["deploy"]

STEP_SECONDS = 1.0
OVER_SECONDS = 8.0


# Half a minute; and as long again as is waited for what does not come, so that what is wrong is said.
@pytest.mark.timeout(240)
def test_every_panel_shows_what_the_run_made(deploy: Deploy, tmp_path: Path) -> None:
    """One test for all: the run takes half a minute."""
    assert {(shown.board, shown.title) for shown in panels()} == {
        (board, title) for board, titles in EXPECTED.items() for title in titles
    }
    deployment = deploy(modules=RECIPES, settings=settings(tmp_path))
    with run_on(deployment) as run:
        until(lambda: next(all_wrong(run), None) is None, lambda: "\n".join(all_wrong(run)), LIMIT_SECONDS)
        assert not unnoticed(run), "these may be renamed, and nobody notices"
        assert not empty_graphs(run)
        assert run.values_of("handrail-overview", "job") == [JOB]
        offered = run.values_of("handrail-definition", "definition")
        assert set(offered) >= {one.name for one in DEFINITIONS}
        assert not [name for name in offered if name.startswith("handrail-")]


def all_wrong(run: Run) -> Iterator[str]:
    """What is wrong with what the panels show now."""
    run.look()
    for shown in panels():
        for number, asked in enumerate(shown.queries):
            yield from of_query(run, shown, number, asked)


def of_query(run: Run, shown: Shown, number: int, asked: Asked) -> list[str]:
    """What is wrong with what one query gives."""
    queries = EXPECTED[shown.board][shown.title]
    if len(queries) != len(shown.queries):
        return [f"{shown.place}: asks {len(shown.queries)} queries, not {len(queries)}"]
    found = wrong(queries[number], run.series(asked), run.seconds)
    return [f"{shown.place}, {asked.letter}: {line}" for line in found]


def unnoticed(run: Run) -> list[str]:
    """The metrics of queries whose results would still pass if they were called otherwise."""
    return [
        f"{shown.place}, {asked.letter}: {metric}"
        for shown in panels()
        for number, asked in enumerate(shown.queries)
        for metric in sorted(asked.metrics)
        if not of_query(run, shown, number, asked.renamed(metric))
    ]


def empty_graphs(run: Run) -> list[str]:
    """The queries that draw nothing over time, with rates taken over a few scrapes, as a screen shows them."""
    return [
        f"{shown.place}, {asked.letter}"
        for shown in panels()
        for asked in shown.queries
        if not asked.is_instant and not run.over_time(asked, step=STEP_SECONDS, over=OVER_SECONDS)
    ]
