"""A private Alertmanager, which talks to no other one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.servers.web import WebServer, program

PACKAGE = "prometheus-alertmanager"


class Alertmanager(WebServer):
    """An Alertmanager on the loopback address, up while it is entered."""

    name = "alertmanager"

    @staticmethod
    def found() -> str:
        """The program, by Debian's name or by its own; raises ServerMissing."""
        return program(["prometheus-alertmanager", "alertmanager"], PACKAGE)

    def arguments(self) -> Sequence[str]:
        """Where its data lie; and that it has no peers: gossip would listen on every address."""
        return [f"--storage.path={self.folder / 'data'}", "--cluster.listen-address="]

    def alerts(self) -> list[dict[str, Any]]:
        """What it knows: `labels`, `annotations`, and in `status` whether something inhibits it."""
        alerts: list[dict[str, Any]] = self.ask("/api/v2/alerts")
        return alerts


def amtool() -> str:
    """The program that checks its configuration; raises ServerMissing."""
    return program(["amtool"], PACKAGE)
