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


def is_shared(option: str | None, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the store is a shared one, named by HANDRAIL_STORE or the settings' file, and no home.

    Raises InputInvalid where a home is named as well.
    """
    store = environment.get(STORE_VARIABLE, "")
    if store and option is not None:
        raise InputInvalid(f"--home {option} and {STORE_VARIABLE} name two places: leave one of them out")
    if store or option is not None:
        return bool(store)
    from deploy.settings import load_settings, settings_file

    return settings_file().is_file() and load_settings().store is not None


def home_of(option: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The home folder; raises InputInvalid where two places are named, or one that is no folder."""
    if is_shared(option, environment):
        raise InputInvalid(
            f"this command works on a home, and {STORE_VARIABLE} names a store that others serve: there it is "
            "`handrail submit` that starts workflows; or unset it, and give --home DIR"
        )
    return folder_of(option, environment)


def folder_of(option: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The folder for what this program keeps on this machine; raises InputInvalid where it is no folder."""
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
