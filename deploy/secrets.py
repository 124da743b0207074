"""Where secrets come from: an environment variable each, or a file each in a folder; by name, when they are opened.

`HANDRAIL_SECRET_<NAME>` (upper case, what is no letter or digit as `_`), or a file called `<name>` in the folder that
`HANDRAIL_SECRETS_DIR` names. Values are read when an activity opens them, and kept nowhere but in memory.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from domain.errors import Permanent
from domain.ids import is_name
from domain.secret import Secret

SECRET_VARIABLE: Final = "HANDRAIL_SECRET_"  # noqa: S105 - the beginning of a variable's name
FOLDER_VARIABLE: Final = "HANDRAIL_SECRETS_DIR"
MOST_BYTES: Final = 64 * 1024


class SecretStore:
    """Opens secrets by name."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Look into this environment whenever a secret is opened."""
        self._environment = environment

    def open(self, name: str) -> Secret:
        """The secret; raises Permanent, naming where it was looked for, where there is none."""
        if not is_name(name.lower()):
            raise Permanent(f"secret {name[:80]!r} is no name: use letters, digits, '_', '.', '-'")
        variable = variable_of(name)
        value = self._environment.get(variable)
        folder = self._environment.get(FOLDER_VARIABLE)
        if value is None and folder:
            value = _read(Path(folder) / name, name)
        if not value:
            place = f"a file {name} in {folder}" if folder else f"a file {name} in the folder of {FOLDER_VARIABLE}"
            raise Permanent(f"secret {name!r} is not there: set {variable}, or write {place}")
        return Secret(name, value)


def variable_of(name: str) -> str:
    """The environment variable that holds a secret."""
    return SECRET_VARIABLE + re.sub(r"[^A-Z0-9]", "_", name.upper())


def _read(path: Path, name: str) -> str | None:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Permanent(f"secret {name!r} cannot be read from {path}: {error.strerror}") from error
    if len(content) > MOST_BYTES:
        raise Permanent(f"secret {name!r} in {path} is larger than {MOST_BYTES} bytes")
    try:
        return content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise Permanent(f"secret {name!r} in {path} is not UTF-8 text") from error
