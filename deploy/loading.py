"""Loads definitions: users' modules by name, the built-in examples, and what an embedding program hands in.

Everything is checked as it is loaded. A mistake is a DefinitionInvalid that names the module and, where author code
raised it, the line.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from domain.builtin import HIDDEN_PREFIX, is_hidden
from domain.definitions import Definition, words
from domain.errors import DefinitionInvalid, DefinitionUnknown, HandrailError, InputInvalid
from domain.ports import Definitions
from domain.state import State
from domain.triggers import SettleOutcome, SupplyOutput

EXAMPLES: Final = "deploy.examples"
KEYS_SHOWN: Final = 20


class LoadedDefinitions:
    """The definitions of a process: the port `Definitions`, and the search for the one that a goal means."""

    def __init__(self, definitions: Iterable[Definition] = ()) -> None:
        """Begin with these."""
        self._by_version: dict[tuple[str, str], Definition] = {}
        self._by_words: dict[tuple[str, ...], dict[str, Definition]] = {}
        self.not_loaded: dict[str, str] = {}
        """Built-in examples that could not be loaded, and why."""
        for definition in definitions:
            self.add(definition)

    def __iter__(self) -> Iterator[Definition]:
        """By name, the versions of each from the oldest to the newest."""
        return iter(sorted(self._by_version.values(), key=lambda one: (one.name, version_order(one.version))))

    def __len__(self) -> int:
        return len(self._by_version)

    def add(self, definition: Definition, place: str = "") -> None:
        """Add one; the same again is harmless, another of the same name and version a DefinitionInvalid."""
        key = definition.name, definition.version
        known = self._by_version.get(key)
        if known is definition:
            return
        where = f" ({place})" if place else ""
        if known is not None:
            raise DefinitionInvalid(f"{definition.place}{where}: is loaded twice; give one of them another version")
        versions = self._by_words.setdefault(words(definition.name), {})
        other = next((one.name for one in versions.values() if one.name != definition.name), None)
        if other is not None:
            raise DefinitionInvalid(
                f"{definition.place}{where}: a goal could not tell it from definition {other!r}; rename one of them"
            )
        self._by_version[key] = versions[definition.version] = definition

    def find(self, name: str, version: str) -> Definition | None:
        """That version of that definition, or None where it is not loaded."""
        return self._by_version.get((name, version))

    def named(self, name: str) -> Definition:
        """The newest version of the definition of this name, words compared; raises DefinitionUnknown."""
        return self._newest(name, f"there is no definition {name[:200]!r}")

    def for_goal(self, goal: str) -> Definition:
        """The newest version of the definition whose name has the goal's words; raises DefinitionUnknown."""
        return self._newest(goal, f"no definition fits the goal {_short(goal)}; choose one with --definition")

    def _newest(self, text: str, message: str) -> Definition:
        versions = self._by_words.get(words(text))
        if not versions:
            known = ", ".join(repr(name) for name in sorted({one.name for one in self})) or "none"
            hints = "".join(f"; the example {name} could not be loaded: {why}" for name, why in self.not_loaded.items())
            raise DefinitionUnknown(f"{message}; loaded are: {known}{hints}")
        return max(versions.values(), key=lambda one: version_order(one.version))


def load(
    modules: Sequence[str] = (), definitions: Iterable[Definition] = (), *, examples: bool = True
) -> LoadedDefinitions:
    """Load definitions from modules, the built-in examples, and those handed in. Raises DefinitionInvalid."""
    loaded = LoadedDefinitions()
    for definition in definitions:
        _check_own(definition)
        loaded.add(definition)
    for name in modules:
        found = definitions_in(_import(name))
        if not found:
            raise DefinitionInvalid(f"module {name!r} holds no Definition: assign one to a name of the module")
        for definition in found:
            _check_own(definition)
            loaded.add(definition, f"module {name}")
    if examples:
        _load_examples(loaded)
    return loaded


def _check_own(definition: Definition) -> None:
    """Raise DefinitionInvalid for a name that Handrail keeps for itself: what has one is in no list."""
    for what, name in (("definition", definition.name), *(("activity", name) for name in definition.activities)):
        if is_hidden(name):
            raise DefinitionInvalid(
                f"{definition.place}: names that begin with {HIDDEN_PREFIX!r} are Handrail's own; give {what} {name!r} "
                "another"
            )


def definitions_in(module: ModuleType) -> list[Definition]:
    """The definitions that a module's names stand for, also in lists and tuples, each once, in their order."""
    found: dict[int, Definition] = {}
    for value in vars(module).values():
        for one in value if isinstance(value, list | tuple) else [value]:
            if isinstance(one, Definition):
                found.setdefault(id(one), one)
    return list(found.values())


def check_input(definition: Definition, given: Mapping[str, Any]) -> dict[str, Any]:
    """The input as the definition's model reads it: a number that came as a text is a number, defaults are filled in.

    Gates and steps then see what the model promises them. Raises InputInvalid, naming the field, where it does not fit.
    """
    if definition.input_model is None:
        return dict(given)
    try:
        read = definition.input_model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "input"
        why = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
            why = f"the input has no such key; there are {_keys(definition.input_model)}"
        raise InputInvalid(f"input of definition {definition.name!r}: {field}: {why}") from error
    as_read = {**given, **read.model_dump(mode="json", by_alias=True)}
    # A model may hold what JSON does not give back, a masked value for one: then the input stays as it came.
    return as_read if _reads_as(definition.input_model, as_read, read) else dict(given)


def _keys(model: type[BaseModel]) -> str:
    """The keys of a model, as an input names them."""
    names = [field.alias or name for name, field in model.model_fields.items()]
    more = f" and {len(names) - KEYS_SHOWN} more" if len(names) > KEYS_SHOWN else ""
    return f"{', '.join(names[:KEYS_SHOWN])}{more}" if names else "none"


def _reads_as(model: type[BaseModel], values: Mapping[str, Any], expected: BaseModel) -> bool:
    try:
        return model.model_validate(values) == expected
    except ValidationError:
        return False


def version_order(version: str) -> tuple[Any, ...]:
    """A key that sorts versions as people read them: '2' before '10', '1.9' before '1.10'."""
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.findall(r"\d+|[^\d.]+", version))


def _import(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise DefinitionInvalid(f"module {name[:200]!r} is not a module's name: write it as in an import, my.workflows")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except HandrailError as error:
        raise DefinitionInvalid(f"module {name!r}: {error}") from error
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            raise DefinitionInvalid(
                f"module {name!r} is not there: run where it can be imported from, or set PYTHONPATH"
            ) from error
        raise DefinitionInvalid(f"module {name!r} needs {missing!r}, which is not installed") from error
    except (Exception, SystemExit) as error:
        words = " ".join(f"{type(error).__name__}: {error}".split())
        raise DefinitionInvalid(f"module {name!r}: {words}{_line(error)}") from error


def _line(error: BaseException) -> str:
    """Where author code raised, for the end of a message."""
    if isinstance(error, SyntaxError):
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""


def _load_examples(loaded: LoadedDefinitions) -> None:
    """Load the examples that ship with Handrail; one whose own dependency is missing is left out, and said to be."""
    package = importlib.import_module(EXAMPLES)
    for module in pkgutil.iter_modules(package.__path__):
        if not module.ispkg:
            continue
        try:
            found = definitions_in(importlib.import_module(f"{EXAMPLES}.{module.name}.definition"))
        except ModuleNotFoundError as error:
            if (error.name or "").startswith(EXAMPLES):
                continue
            loaded.not_loaded[module.name] = f"{error.name} is not installed"
            continue
        for definition in found:
            if loaded.find(definition.name, definition.version) is None:
                loaded.add(definition, f"example {module.name}")


def _short(text: str) -> str:
    return repr(text if len(text) <= 100 else text[:97] + "…")  # noqa: PLR2004 - a line of a terminal


def check_output(definitions: Definitions, state: State, trigger: SupplyOutput | SettleOutcome) -> None:
    """Raise InputInvalid, naming the field, where a person's output does not fit the step's activity."""
    definition = definitions.find(state.definition, state.definition_version)
    step = state.steps.get(trigger.step)
    planned = step.planned if step is not None else None
    declared = definition.activities.get(planned.activity or "") if definition is not None and planned else None
    if declared is None or (isinstance(trigger, SettleOutcome) and (not trigger.applied or trigger.output is None)):
        return
    try:
        declared.output_adapter.validate_python(trigger.output)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "output"
        words = first["msg"].removeprefix("Value error, ")
        raise InputInvalid(f"output of step {trigger.step!r}: {field}: {words}") from error
