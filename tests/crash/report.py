"""The last lines of a test run about crashes: how often a process was killed, and with which seeds."""

from __future__ import annotations

import pytest

KILLS = "kills"
SEEDS = "seeds"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Add up what the tests recorded as their properties, in whichever process they ran."""
    kills: dict[str, int] = {}
    seeds: dict[str, None] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if not isinstance(report, pytest.TestReport) or report.when != "call":
                continue
            for name, value in report.user_properties:
                if name == KILLS:
                    kills[report.nodeid] = kills.get(report.nodeid, 0) + int(str(value))
                elif name == SEEDS:
                    seeds[str(value)] = None
    if kills:
        terminalreporter.write_sep("-", "crashes")
        for test, count in sorted(kills.items()):
            terminalreporter.write_line(f"{count:5} kills  {test}")
        terminalreporter.write_line(f"{sum(kills.values()):5} kills in all; seeds: {' '.join(seeds) or 'none'}")
