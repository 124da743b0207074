"""A private Prometheus: scrapes what its configuration names, and answers queries."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from typing import Any

from tests.servers.web import WebServer, program

PACKAGE = "prometheus"


class Prometheus(WebServer):
    """A Prometheus on the loopback address, up while it is entered."""

    name = "prometheus"

    @staticmethod
    def found() -> str:
        """The program; raises ServerMissing."""
        return program(["prometheus"], PACKAGE)

    def arguments(self) -> Sequence[str]:
        """Where its data lie."""
        return [f"--storage.tsdb.path={self.folder / 'data'}", "--storage.tsdb.retention.time=1d"]

    def configure(self, configuration: Mapping[str, Any]) -> None:
        """Have it go on with another configuration, a moment later; one that is wrong leaves it as it is."""
        self.write(configuration)
        if self.process is not None:
            self.process.send_signal(signal.SIGHUP)

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """The series that an expression has now: labels, `__name__` among them where it has one, and value."""
        found = self.ask("/api/v1/query", query=expression)["data"]["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that are pending or firing: `labels`, `annotations`, `state`."""
        alerts: list[dict[str, Any]] = self.ask("/api/v1/alerts")["data"]["alerts"]
        return alerts

    def rules(self) -> list[dict[str, Any]]:
        """Every loaded rule: `name`, `query`, `health`, `lastError` and more."""
        return [rule for group in self.ask("/api/v1/rules")["data"]["groups"] for rule in group["rules"]]


def promtool() -> str:
    """The program that checks rules and tests them; raises ServerMissing."""
    return program(["promtool"], PACKAGE)
