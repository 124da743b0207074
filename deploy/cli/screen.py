"""What a command says: lines that scripts read go to stdout, everything else to stderr.

With `--json` each line is one JSON object. A note on stderr is coloured at a terminal and plain anywhere else.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

from deploy.cli.place import PROGRAM

if TYPE_CHECKING:
    from deploy.cli.lines import Line
    from domain.recorded import RecordedEvent


class Screen:
    """stdout and stderr of one command."""

    def __init__(self, *, as_json: bool = False, out: TextIO | None = None, notes: TextIO | None = None) -> None:
        """By default those of the process."""
        self.as_json = as_json
        self._out = out if out is not None else sys.stdout
        self._notes = notes if notes is not None else sys.stderr
        self._console: Any = None

    def line(self, line: Line, recorded: RecordedEvent) -> None:
        """Print a line of a workflow."""
        if not self.as_json:
            self.text(str(line))
            return
        self.value(
            {
                "line": str(line),
                "kind": line.kind,
                "workflow": recorded.originator_id,
                "version": recorded.originator_version,
                "at": recorded.timestamp.isoformat(),
                **line.values,
            }
        )

    def text(self, text: str) -> None:
        """Print one line of text; flushed, so that who reads along sees it now."""
        self._out.write(f"{text}\n")
        self._out.flush()

    def value(self, value: Mapping[str, Any]) -> None:
        """Print one JSON object on one line."""
        self.text(json.dumps(value, ensure_ascii=False, default=str))

    def document(self, value: Any) -> None:
        """Print one JSON document, to be read by people too."""
        self.text(json.dumps(value, ensure_ascii=False, indent=2, default=str))

    def note(self, text: str, style: str = "dim") -> None:
        """Say something beside the lines, on stderr."""
        if not self._notes.isatty():
            self._notes.write(f"{text}\n")
            self._notes.flush()
            return
        self.console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    @property
    def console(self) -> Any:
        """Rich's console on stderr."""
        if self._console is None:
            from rich.console import Console

            self._console = Console(file=self._notes)
        return self._console


def complain(text: str, notes: TextIO | None = None) -> None:
    """Say on stderr, in one line, what went wrong."""
    stream = notes if notes is not None else sys.stderr
    stream.write(f"{PROGRAM}: {' '.join(text.split())}\n")
    stream.flush()


def counted(number: int, what: str) -> str:
    """So many of something, as people write it."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
