"""A run that makes something of everything that dashboards show, on real processes that a real Prometheus scrapes.

Workflows complete, are retried, fail, are undone; people grant, reject, are refused and are too late; a message cannot
be accepted, the broker gives a command up, a queue is missing and another one is consumed by nobody; a process dies.
What is to be seen of it is in `expected.py`.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from domain.ids import workflow_id_from_message
from domain.messages import bodies
from domain.topology import activity_queue
from tests.integration.dashboards.boards import Asked, boards, filled_in
from tests.integration.dashboards.recipes import FAX, NO_SUCH_VENDOR, PRINTER
from tests.integration.serving.deployment import Deployment, Served, until
from tests.integration.serving.test_serve_all import published
from tests.servers.prometheus import Prometheus

RECIPES: Final = "tests.integration.dashboards.recipes"
JOB: Final = "handrail"
DEFINITION: Final = "onboard a vendor"
SCRAPE_SECONDS: Final = 1.0
LIMIT_SECONDS: Final = 60.0

GOALS: Final[Mapping[str, tuple[str, int]]] = {
    "invoice": ("pay an invoice", 6),
    "order": ("ship an order", 2),
    "refund": ("refund an order", 2),
    "account": ("close an account", 2),
    "vendor": ("onboard a vendor", 5),
    "contract": ("sign a contract", 1),
    "discount": ("grant a discount", 1),
    "limit": ("raise a limit", 1),
    "money": ("transfer money", 1),
    "letter": ("print a letter", 2),
    "fax": ("fax a letter", 1),
    "reminder": ("remind a customer", 1),
    "nonsense": ("nobody has a definition for this", 1),
}
"""What services send, and how often."""


def settings(folder: Path) -> dict[str, str]:
    """What the processes of a run are told; seals go to the folder."""
    return {
        "HANDRAIL_STUCK": '{"consumer": 1, "parked": 1}',
        "HANDRAIL_HEARTBEAT_SECONDS": "2",
        "HANDRAIL_SEAL": json.dumps({"every": "1d", "folder": str(folder)}),
    }


Series = Mapping[str, float]
"""Values by the labels of their series: `blocked, pay an invoice`, in the order of the labels' names."""


@dataclass
class Run:
    """What Prometheus knows of the run. All is asked as of one instant, so that the same is answered again."""

    prometheus: httpx.Client
    began: float
    names: dict[str, str]
    """What the processes are called here, by the instances that Prometheus tells them apart by."""
    ended: float = 0.0
    _variables: dict[str, str] = field(default_factory=dict)

    @property
    def seconds(self) -> int:
        """How long it took, from before the first scrape."""
        return math.ceil(self.ended - self.began)

    @property
    def variables(self) -> Mapping[str, str]:
        """The values of the dashboards' variables; of Grafana's own ones, so that all of the run is in every rate."""
        whole = f"{self.seconds}s"
        return {
            **self._variables,
            "definition": DEFINITION,
            "__rate_interval": whole,
            "__range": whole,
            "__interval": whole,
        }

    def look(self) -> None:
        """From now on, all is asked as of now."""
        self.ended = time.time()
        self._variables = {"job": JOB, "activity": "|".join(self.values_of("handrail-activities", "activity"))}

    def values_of(self, board: str, name: str) -> list[str]:
        """The values that a variable offers, by its own query."""
        (query,) = (one["query"]["query"] for one in boards()[board]["templating"]["list"] if one["name"] == name)
        series, label = query.removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
        matching = filled_in(series, {"job": JOB})
        found: list[str] = self._ask(f"label/{label}/values", {"match[]": matching})
        return found

    def series(self, asked: Asked) -> Series:
        """What a query gives."""
        return {self._named(labels): value for labels, value in self.labelled(asked)}

    def labelled(self, asked: Asked) -> list[tuple[dict[str, str], float]]:
        """The same, with the labels as they are."""
        expression = filled_in(asked.expression, self.variables)
        answer = self._ask("query", {"query": expression, "time": f"{self.ended:.3f}"})
        return [(one["metric"], float(one["value"][1])) for one in answer["result"]]

    def over_time(
        self, asked: Asked, *, step: float, over: float
    ) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """What a query gives as a graph: a value each `step` seconds up to the end, rates taken over so many."""
        # The last of the values is of the instant at which everything else is asked: what has only just come is in it.
        begin = self.ended - (self.ended - self.began) // step * step
        short = {"__rate_interval": f"{over:g}s", "__interval": f"{over:g}s"}
        answer = self._ask(
            "query_range",
            {
                "query": filled_in(asked.expression, {**self.variables, **short}),
                "start": f"{begin:.3f}",
                "end": f"{self.ended:.3f}",
                "step": f"{step:g}",
            },
        )
        return [(one["metric"], [(float(at), float(value)) for at, value in one["values"]]) for one in answer["result"]]

    def _ask(self, path: str, parameters: Mapping[str, str]) -> Any:
        answer = self.prometheus.get(f"/api/v1/{path}", params=parameters)
        if answer.is_error:
            raise AssertionError(f"{parameters}: {answer.text}")
        return answer.json()["data"]

    def _named(self, labels: Mapping[str, str]) -> str:
        values = (self.names.get(value, value) for name, value in sorted(labels.items()) if name != "__name__")
        return ", ".join(values)


@contextmanager
def run_on(deployment: Deployment) -> Iterator[Run]:
    """The run, on a deployment of RECIPES with SETTINGS; Prometheus is up while it is entered."""
    front = deployment.serve(*"goals approvals signals control outcomes relay timer projector".split())
    # One after the other where it matters: the first one leads.
    others = {
        "workers": deployment.begun("activities", "--queues", "default"),
        "spare": deployment.begun("relay", "timer", "projector"),
        "gone": deployment.begun("goals"),
    }
    processes = {"front": front, **{name: deployment.up(served) for name, served in others.items()}}
    deployment.vhost.broker.ask("DELETE", "queues", deployment.vhost.name, activity_queue(FAX))
    began = time.time()
    with Prometheus(_scraping(processes)) as prometheus:
        names = {_instance(served): name for name, served in processes.items()}
        until(lambda: len(prometheus.query("handrail_ready == 1")) == len(processes), "they are not scraped")
        processes["gone"].kill9()
        ids = _published(deployment)
        _give_up_a_command(deployment)
        _decide(deployment, ids)
        with httpx.Client(base_url=prometheus.url, timeout=LIMIT_SECONDS) as client:
            yield Run(client, began, names)


def _instance(served: Served) -> str:
    return served.address.removeprefix("http://")


def _scraping(processes: Mapping[str, Served]) -> dict[str, Any]:
    targets = [_instance(served) for served in processes.values()]
    interval = f"{SCRAPE_SECONDS:g}s"
    return {
        "global": {"scrape_interval": interval, "scrape_timeout": interval},
        "scrape_configs": [{"job_name": JOB, "static_configs": [{"targets": targets}]}],
    }


def _published(deployment: Deployment) -> dict[str, str]:
    """All goals, and one of them twice: the ids of their workflows by the goals' message ids."""
    goals = {
        f"{name}-{number}": bodies.Goal(goal=goal) for name, (goal, often) in GOALS.items() for number in range(often)
    }
    goals["vendor-4"] = bodies.Goal(goal=DEFINITION, input={"name": NO_SUCH_VENDOR})
    asyncio.run(published(deployment, goals))
    asyncio.run(published(deployment, {"invoice-0": goals["invoice-0"]}))
    return {name: workflow_id_from_message(deployment.goal_service.name, name) for name in goals}


def _give_up_a_command(deployment: Deployment) -> None:
    """Have the broker give up a command, as a consumer does that rejects it for good."""
    asked = {"count": 1, "ackmode": "reject_requeue_false", "encoding": "auto"}
    queue = ("queues", deployment.vhost.name, activity_queue(PRINTER), "get")
    until(lambda: deployment.vhost.broker.ask("POST", *queue, body=asked), "no command came")


def _decide(deployment: Deployment, ids: Mapping[str, str]) -> None:
    """People decide: two grants, a rejection, one who may not, and one who accepts what could not be undone."""
    for name in ("vendor-0", "vendor-1", "vendor-2", "vendor-3", "contract-0"):
        until(lambda name=name: deployment.store.exists(ids[name]) and deployment.store.load(ids[name]).ballots, name)
    act = deployment.run
    for arguments, code in (
        (("approve", ids["vendor-0"], "--by", "ann"), 0),
        (("approve", ids["vendor-1"], "--by", "bob"), 0),
        (("reject", ids["vendor-2"], "--by", "ann", "--reason", "no papers"), None),
        (("approve", ids["contract-0"], "--by", "mallory"), 2),
    ):
        done = act(*arguments)
        if code is not None and done.returncode != code:
            raise AssertionError(f"{arguments}: {done.returncode}, {done.stdout}{done.stderr}")
    until(lambda: deployment.store.load(ids["account-0"]).waits, "its undoing never failed")
    done = act("skip", ids["account-0"], "--step", "close", "--by", "bob", "--reason", "reopened by hand")
    if done.returncode == 2:
        raise AssertionError(done.stderr)
