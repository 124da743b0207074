"""JSON for people: whatever fits on a line stays on a line, and a long document is cut."""

from __future__ import annotations

import json
from typing import Any, Final

LINES: Final = 30
WIDTH: Final = 92


def outline(value: Any, *, width: int = WIDTH, lines: int = LINES) -> list[str]:
    """A value as few lines of JSON; where there are more than `lines`, the last one says how many are left out."""
    written = [_plain(line, 2 * width) for line in _lines(value, width, "", "")]
    if len(written) <= lines:
        return written
    return [*written[: lines - 1], f"… {len(written) - lines + 1} more lines; `handrail show ID --json` has all"]


def _lines(value: Any, width: int, indent: str, label: str) -> list[str]:
    flat = f"{indent}{label}{json.dumps(value, ensure_ascii=False, default=str)}"
    if len(flat) <= width or not isinstance(value, dict | list) or not value:
        return [flat]
    opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
    deeper = f"{indent}  "
    parts = (
        [(f"{json.dumps(str(key), ensure_ascii=False)}: ", part) for key, part in value.items()]
        if isinstance(value, dict)
        else [("", part) for part in value]
    )
    written = [f"{indent}{label}{opening}"]
    for number, (name, part) in enumerate(parts, start=1):
        inner = _lines(part, width, deeper, name)
        if number < len(parts):
            inner[-1] += ","
        written += inner
    return [*written, f"{indent}{closing}"]


def _plain(line: str, most: int) -> str:
    """The line without anything that a terminal would act on."""
    shown = "".join(mark if mark.isprintable() else "�" for mark in line)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"
