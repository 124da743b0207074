"""What `deploy/prometheus` holds, and the cases of it beside this file, for tests that ask questions of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1]
FOLDER: Final = ROOT / "deploy" / "prometheus"
RUNBOOK: Final = ROOT / "deploy" / "RUNBOOK.md"
CASES: Final = sorted(HERE.glob("*.yml"))

_MATCHER: Final = re.compile(r'\s*(\w+)\s*(=~|!~|!=|=)\s*"(.*)"\s*')
_HEADING: Final = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


@cache
def read(path: Path) -> Any:
    """A file of YAML."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def rules() -> Iterator[dict[str, Any]]:
    """Every rule that Prometheus is told to load."""
    for name in read(FOLDER / "prometheus.yml")["rule_files"]:
        for group in read(FOLDER / name)["groups"]:
            yield from group["rules"]


@cache
def alerts() -> dict[str, dict[str, Any]]:
    """Every alert by its name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


@cache
def recorded() -> dict[str, str]:
    """The expression of every recorded series, by its name."""
    return {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


def anchors(document: str) -> list[str]:
    """What the headings of a page of Markdown are linked by."""
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(document))
    return [heading.replace(" ", "-") for heading in words]


def seconds(time: str) -> float:
    """A duration of minutes, which is what the rules have."""
    assert time.endswith("m"), time
    return 60.0 * int(time.removesuffix("m"))


@dataclass(frozen=True)
class Matcher:
    """One condition on a label, as Alertmanager has it: a pattern is of the whole value."""

    label: str
    how: str
    value: str

    @classmethod
    def of(cls, written: str) -> Matcher:
        """As it is written in the configuration."""
        found = _MATCHER.fullmatch(written)
        assert found, written
        return cls(*found.groups())

    def holds(self, labels: dict[str, str]) -> bool:
        """Whether these labels meet it; a label that is not there is empty."""
        value = labels.get(self.label, "")
        equal = value == self.value if "~" not in self.how else bool(re.fullmatch(self.value, value))
        return equal != self.how.startswith("!")
