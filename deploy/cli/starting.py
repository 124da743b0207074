"""Makes a starter project: a folder with a definition, a test of it, and a README that says how to run both."""

from __future__ import annotations

import keyword
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Final

from domain.errors import InputInvalid, StoreUnavailable

TEMPLATES: Final = Path(__file__).with_name("starter")
FILES: Final = {
    "workflow.py.tmpl": "$module.py",
    "test_workflow.py.tmpl": "test_$module.py",
    "README.md.tmpl": "README.md",
}
OUR_PACKAGES: Final = frozenset({"handrail", "domain", "deploy", "producers", "consumers", "projections"})


@dataclass(frozen=True, slots=True)
class Project:
    """What was made, and the commands that run and test it."""

    folder: Path
    files: list[str]
    run: str
    test: str


def make_project(name: str, parent: Path) -> Project:
    """Make the folder with its files; raises InputInvalid where the name is none, or there is something already."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,40}", name):
        raise InputInvalid(f"{name[:60]!r} is no project's name: use letters, digits, '_' and '-', a letter first")
    module = re.sub(r"\W", "_", name.lower())
    if keyword.iskeyword(module) or module in sys.stdlib_module_names or module in OUR_PACKAGES:
        raise InputInvalid(
            f"a module cannot be called {module!r}, which means something else already: choose another name"
        )
    folder = parent / name
    words = {"module": module, "title": module.replace("_", " ").strip()}
    if folder.exists():
        raise InputInvalid(f"{folder} is there already: choose another name, or remove it")
    files = []
    try:
        folder.mkdir(parents=True)
        for template, pattern in FILES.items():
            target = Template(pattern).substitute(words)
            text = Template((TEMPLATES / template).read_text(encoding="utf-8")).substitute(words)
            (folder / target).write_text(text, encoding="utf-8")
            files.append(target)
    except OSError as error:
        raise StoreUnavailable(f"{folder} cannot be made: {error.strerror or error}") from error
    goal = shlex.quote(words["title"])
    return Project(
        folder=folder,
        files=files,
        run=f"cd {shlex.quote(name)} && handrail run --module {module} --goal {goal} --input who=world",
        test=f"cd {shlex.quote(name)} && python -m pytest",
    )
