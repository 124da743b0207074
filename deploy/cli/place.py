"""Where a command works: the home folder, and the modules whose definitions it loads.

Option > environment > default. `--home` together with `HANDRAIL_STORE` is an error: they name two places.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from domain.errors import InputInvalid

PROGRAM: Final = "handrail"
HOME_VARIABLE: Final = "HANDRAIL_HOME"
STORE_VARIABLE: Final = "HANDRAIL_STORE"
MODULES_VARIABLE: Final = "HANDRAIL_MODULES"
DEBUG_VARIABLE: Final = "HANDRAIL_DEBUG"
DEFAULT_HOME: Final = ".handrail"


def home_of(option: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The home folder; raises InputInvalid where two places are named, or one that is no folder."""
    store = environment.get(STORE_VARIABLE, "")
    if store and option is not None:
        raise InputInvalid(
            f"--home {option} and {STORE_VARIABLE}={store.split('@')[-1]} name two places: leave one of them out"
        )
    if store:
        raise InputInvalid(
            f"{STORE_VARIABLE} is set, but this version keeps its data in a folder: unset it, and give --home DIR"
        )
    given = option if option is not None else environment.get(HOME_VARIABLE) or DEFAULT_HOME
    if not given:
        raise InputInvalid("--home is empty: name a folder")
    home = Path(given)
    if home.exists() and not home.is_dir():
        raise InputInvalid(f"--home {given}: is a file, not a folder: name another place")
    return home


def existing_home(option: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The home folder, for commands that only look at what is there."""
    home = home_of(option, environment)
    if not home.is_dir():
        raise InputInvalid(
            f"there is no Handrail data in {home}: start a workflow with `handrail run`, or name the folder with --home"
        )
    return home


def modules_of(options: Sequence[str], environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The modules to load: those of the options, or else those of the environment, separated by commas."""
    given = options or environment.get(MODULES_VARIABLE, "").split(",")
    return tuple(dict.fromkeys(name.strip() for one in given for name in one.split(",") if name.strip()))


def program_name() -> str:
    """How this program is called from here: by its name, or by its path where the name leads nowhere."""
    called = Path(sys.argv[0])
    return str(called) if called.name == PROGRAM and shutil.which(PROGRAM) is None else PROGRAM
