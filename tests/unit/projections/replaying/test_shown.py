"""How reports of golden histories look, line for line.

Where what is shown was changed on purpose: `python -m tests.unit.projections.replaying.test_shown` writes the files
anew, and the difference is for whoever reviews it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from deploy.cli.replay_text import text_of
from domain.recorded import from_state
from projections.replaying.reading import Elsewhere, history_of
from projections.replaying.report import Report, build
from tests.replay.files import FOLDER, read
from tests.replay.recipes import DEFINITIONS

SHOWN = Path(__file__).with_name("shown")
NAMES = ("blocked", "compensating", "once_settled", "planned", "waiting")


def report_of(name: str) -> Report:
    golden = read(FOLDER / f"{name}.jsonl")
    rows = [(version, topic, state) for _, version, topic, state in golden.rows]
    history = history_of("wf_001", rows, from_state, position=99)
    return build(history, DEFINITIONS, lambda _: None, lambda one, _: Elsewhere(one, 2, "2030", "2030-01-02T03:04", 98))


@pytest.mark.parametrize("name", NAMES)
def test_a_report_looks_as_it_did(name: str) -> None:
    expected = (SHOWN / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    assert list(text_of(report_of(name))) == expected


def test_there_is_nothing_else_shown() -> None:
    assert {path.stem for path in SHOWN.iterdir()} == set(NAMES)


def main() -> int:
    """Write what is shown now."""
    for name in NAMES:
        (SHOWN / f"{name}.txt").write_text("\n".join(text_of(report_of(name))) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
