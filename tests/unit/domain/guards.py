"""The rules that are guarded: read from `guards.toml`, where each stands with the line that holds it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True)
class Guard:
    """One rule: take `text` out of `file` (put `without` in its place), and `test` must fail."""

    rule: str
    file: str
    text: str
    without: str
    test: str


def _read() -> tuple[Guard, ...]:
    table = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return tuple(Guard(**row) for row in table["guard"])


GUARDS: Final[tuple[Guard, ...]] = _read()
