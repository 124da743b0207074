"""A real Prometheus and a real Alertmanager around real processes, with the shipped files and a receiver that listens.

    with Stage([served.address]) as stage:
        stage.until_scraped()
        ...  # have something go wrong
        stage.until_told("HandrailStuckNoConsumer", definition="greet")

What is shipped is read, never copied: `deploy/prometheus/prometheus.yml`, its rules, and `alertmanager.yml`. Only times
are changed, and addresses. `for` and `keep_firing_for` of every alert and the waits of Alertmanager's groups become
shorter by one factor, by which minutes are seconds where nothing else is said: what fires first still does. Expressions
stay as they are, with their thresholds (30 s of lag, 60 s of silence), but for those of alerts that are named: where
the threshold is a part of what makes one alert come before another one.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import yaml

from tests.servers.alertmanager import Alertmanager
from tests.servers.processes import ServerBroken, until
from tests.servers.prometheus import Prometheus
from tests.servers.webhook import Notification, Webhook

SHIPPED: Final = Path(__file__).resolve().parents[3] / "deploy" / "prometheus"
RECORDING: Final = "recording.yml"
STUCK: Final = "alerts-stuck.yml"
SYSTEM: Final = "alerts-system.yml"
ALL: Final = (RECORDING, STUCK, SYSTEM)
MINUTES_ARE_SECONDS: Final = 1 / 60
INTERVAL_SECONDS: Final = 0.5
LIMIT_SECONDS: Final = 60.0

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_LIMIT: Final = re.compile(r"> (\d+)\b")
_DURATION: Final = re.compile(r"(\d+)(ms|[smhd])")


class Stage:
    """Up while it is entered; the processes are the caller's.

    `rules` are the files of `deploy/prometheus` that are loaded: `(RECORDING, STUCK)` for the causes alone, so that no
    alert of the system keeps one of them back. `without` are alerts that cannot be meant, such as
    `HandrailHeartbeatLate` where processes send no heartbeat.
    """

    def __init__(
        self,
        addresses: Collection[str] = (),
        *,
        rules: Sequence[str] = ALL,
        without: Collection[str] = (),
        factor: float = MINUTES_ARE_SECONDS,
        shorter: Collection[str] = (),
        job: str = "handrail",
    ) -> None:
        """Nothing is started yet. `addresses` are where the processes serve: `http://127.0.0.1:8080`.

        `factor` is by what times are multiplied, those in the expressions of the alerts `shorter` among them. `job` is
        the name of the deployment.
        """
        self._rules = tuple(rules)
        self._without = frozenset(without)
        self._factor = factor
        self._shorter_too = frozenset(shorter)
        self._job = job
        self._targets = [_target(address) for address in addresses]
        self._begun = False
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as made:
            self._folder = Path(made.enter_context(tempfile.TemporaryDirectory(prefix="handrail-rules-")))
            self._write_targets()
            self.webhook = made.enter_context(Webhook())
            self.alertmanager = made.enter_context(Alertmanager(self._alertmanager_configuration()))
            self.prometheus = made.enter_context(Prometheus(self._prometheus_configuration()))
            if self._targets:
                self._begin()
            self._open = made.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    # --- what is watched --------------------------------------------------------------------------------------------

    def watch(self, *addresses: str) -> None:
        """Scrape these processes too, by where they serve."""
        self._targets += [_target(address) for address in addresses]
        self._write_targets()
        if not self._begun:
            self._begin()

    def forget(self, address: str) -> None:
        """Scrape this process no more: it is not meant to be there."""
        self._targets.remove(_target(address))
        self._write_targets()

    def until_scraped(self, limit_seconds: float = LIMIT_SECONDS) -> None:
        """Wait until all that is watched answers, and nothing else is scraped."""

        def scraped() -> bool:
            up = {labels["instance"] for labels, _ in self.prometheus.query("up == 1")}
            return up == set(self._targets) and not self.prometheus.query("up == 0")

        until(scraped, f"{self._targets} are scraped", limit_seconds)

    def _begin(self) -> None:
        """Load the rules, and wait until each has been evaluated without an error.

        Not before the processes are scraped: Prometheus needs five seconds until it knows of them, in which no process
        would seem to be there.
        """
        self.until_scraped()
        self.prometheus.configure(self._prometheus_configuration(self._rules))
        self._begun = True

        def evaluated() -> bool:
            found = self.prometheus.rules()
            return bool(found) and all(rule["health"] == "ok" for rule in found)

        until(evaluated, "the rules are evaluated", LIMIT_SECONDS)

    # --- what is told -----------------------------------------------------------------------------------------------

    def firing(self) -> list[dict[str, str]]:
        """The labels of every alert that fires in Prometheus, kept back by another one or not."""
        return [alert["labels"] for alert in self.prometheus.alerts() if alert["state"] == "firing"]

    @property
    def notifications(self) -> list[Notification]:
        """All that the receivers were told, in order."""
        return self.webhook.notifications

    def told(self, name: str, **labels: str) -> list[Notification]:
        """The notifications in which this alert fires."""
        wanted = {"alertname": name, **labels}
        return [one for one in self.notifications if any(wanted.items() <= each.items() for each in one.firing)]

    def counted(self) -> Mapping[str, int]:
        """How often the receivers were told of each alert that fires, by its name."""
        return Counter(name for one in self.notifications for name in {each["alertname"] for each in one.firing})

    def until_firing(self, name: str, limit_seconds: float = LIMIT_SECONDS, **labels: str) -> None:
        """Wait until an alert fires in Prometheus."""
        wanted = {"alertname": name, **labels}
        self._until(
            lambda: any(wanted.items() <= one.items() for one in self.firing()), f"{wanted} fires", limit_seconds
        )

    def until_told(self, name: str, limit_seconds: float = LIMIT_SECONDS, **labels: str) -> Notification:
        """Wait until a receiver is told of an alert; the first notification of it."""
        self._until(lambda: bool(self.told(name, **labels)), f"somebody is told of {name} {labels}", limit_seconds)
        return self.told(name, **labels)[0]

    def until_resolved(self, name: str, limit_seconds: float = LIMIT_SECONDS) -> Notification:
        """Wait until a receiver is told that nothing of this alert fires any more."""

        def over() -> list[Notification]:
            return [one for one in self.notifications if one.status == "resolved" and name in one.names]

        self._until(lambda: bool(over()), f"somebody is told that {name} is over", limit_seconds)
        return over()[0]

    def until_rounds(self, rounds: int, limit_seconds: float = LIMIT_SECONDS) -> None:
        """Wait until Prometheus has scraped the processes, and evaluated what follows, so many times more."""

        def looked() -> float:
            return min((value for _, value in self.prometheus.query("count_over_time(up[1d])")), default=0)

        before = looked()
        self._until(lambda: looked() >= before + rounds, f"{rounds} further rounds", limit_seconds)

    def ever_fired(self) -> set[str]:
        """The names of all alerts that have fired since the stage was entered."""
        found = self.prometheus.query('count by (alertname) (count_over_time(ALERTS{alertstate="firing"}[1d]))')
        return {labels["alertname"] for labels, _ in found}

    def _until(self, condition: Callable[[], bool], what: str, limit_seconds: float) -> None:
        try:
            until(condition, what, limit_seconds)
        except ServerBroken as error:
            firing = [alert for alert in self.prometheus.alerts() if alert["state"] != "inactive"]
            raise ServerBroken(
                f"{error}\nalerts: {json.dumps(firing, indent=1)}\ntold: {[one.firing for one in self.notifications]}"
            ) from error

    # --- what is shipped, made short --------------------------------------------------------------------------------

    def _prometheus_configuration(self, rules: Collection[str] = ()) -> dict[str, Any]:
        made: dict[str, Any] = shipped("prometheus.yml")
        made["global"] = {name: _written(INTERVAL_SECONDS) for name in ("scrape_interval", "evaluation_interval")}
        made["rule_files"] = [str(self._shortened(name)) for name in made["rule_files"] if name in rules]
        manager = self.alertmanager.url.removeprefix("http://")
        made["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [manager]}]}]
        (scraped,) = made["scrape_configs"]
        del scraped["static_configs"]
        scraped |= {"job_name": self._job, "file_sd_configs": [{"files": [str(self._targets_file)]}]}
        return made

    def _shortened(self, name: str) -> Path:
        """A file of rules with shorter times, in the folder of this stage."""
        rules = shipped(name)
        for group in rules["groups"]:
            group["rules"] = [rule for rule in group["rules"] if rule.get("alert") not in self._without]
            for rule in group["rules"]:
                for time in {"for", "keep_firing_for"} & rule.keys():
                    rule[time] = self._shorter(rule[time])
                if rule.get("alert") in self._shorter_too:
                    rule["expr"] = _LIMIT.sub(lambda found: f"> {int(found[1]) * self._factor:g}", rule["expr"])
        file = self._folder / name
        file.write_text(json.dumps(rules), encoding="utf-8")
        return file

    def _alertmanager_configuration(self) -> dict[str, Any]:
        made: dict[str, Any] = shipped("alertmanager.yml")
        for route in (made["route"], *made["route"]["routes"]):
            # When something is told again because it has not been mended is nothing that a test waits for.
            for time in {"group_wait", "group_interval"} & route.keys():
                route[time] = self._shorter(route[time])
        for receiver in made["receivers"]:
            for hook in receiver["webhook_configs"]:
                hook["url"] = self.webhook.url
        return made

    def _shorter(self, time: str) -> str:
        return _written(seconds(time) * self._factor)

    @property
    def _targets_file(self) -> Path:
        return self._folder / "targets.json"

    def _write_targets(self) -> None:
        # Renamed into place: Prometheus looks whenever the file changes, and is not to see half of it.
        whole = self._targets_file.with_suffix(".new")
        whole.write_text(json.dumps([{"targets": self._targets}]), encoding="utf-8")
        whole.replace(self._targets_file)


def shipped(name: str) -> Any:
    """What a file of `deploy/prometheus` holds."""
    return yaml.safe_load((SHIPPED / name).read_text(encoding="utf-8"))


def seconds(time: str) -> float:
    """A duration as Prometheus writes it: `1h30m`."""
    return sum(int(number) * _UNITS[unit] for number, unit in _DURATION.findall(time))


def _target(address: str) -> str:
    return address.removeprefix("http://")


def _written(time_seconds: float) -> str:
    return f"{round(time_seconds * 1_000)}ms"
