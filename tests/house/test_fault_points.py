"""Every place where a crash matters has a named fault point before it and after it.

The places are found in the syntax trees: statements that commit, hand-overs to a transport, acknowledgements, calls of
author code, files given their name. A place is guarded when its function reaches a `….before` above it and a `….after`
below it, or when that holds for every call of its function in all the shipped code (a private one's: in its file).
What is found this way is where `tests/crash` kills the process.
"""

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from domain.faultpoints import NAMES
from tests.house.test_tidy import Source, python, shipped, sources_under

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
CALLERS_ABOVE = 4
"""How many callers up a guard may be: further away it is no neighbour."""
DEFAULT_FAMILY = "commit"
"""What the points around a transaction are called that names none."""

BEFORE, AFTER = ".before", ".after"


# ------------------------------------------------------------------------------------------------- what the code says


@dataclass(frozen=True)
class Function:
    """One function of the shipped code, with the calls in it that are not in a function within."""

    source: Source
    name: str
    calls: tuple[ast.Call, ...]

    @property
    def place(self) -> str:
        return f"{self.source.path}: {self.name}"


def functions_of(source: Source) -> Iterator[Function]:
    for node in source.nodes:
        if isinstance(node, FUNCTIONS):
            yield Function(source, node.name, tuple(own_calls(node)))
    yield Function(source, "<module>", tuple(own_calls(source.tree)))


def own_calls(scope: ast.AST) -> Iterator[ast.Call]:
    """The calls of a function, or of a module's top, in the order of the text."""
    for child in ast.iter_child_nodes(scope):
        if isinstance(child, FUNCTIONS):
            continue
        if isinstance(child, ast.Call):
            yield child
        yield from own_calls(child)


def called(call: ast.Call) -> str:
    """The last part of the name that is called."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def points(function: Function) -> Iterator[tuple[int, str]]:
    """The fault points that a function reaches: the line, and the name, `{…}` standing for what is filled in."""
    for call in function.calls:
        if called(call) == "reached" and call.args:
            yield call.lineno, written(call.args[0])


def written(name: ast.expr) -> str:
    if isinstance(name, ast.Constant):
        return str(name.value)
    if isinstance(name, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in name.values)
    return "{}"


def guards(function: Function, line: int) -> bool:
    """Whether the function reaches one point above the line and the same one's other half below it."""
    before = {name.removesuffix(BEFORE) for at, name in points(function) if at <= line and name.endswith(BEFORE)}
    after = {name.removesuffix(AFTER) for at, name in points(function) if at >= line and name.endswith(AFTER)}
    return bool(before & after)


@dataclass
class House:
    """All shipped functions."""

    sources: tuple[Source, ...]
    functions: list[Function] = field(init=False)

    def __post_init__(self) -> None:
        self.functions = [
            function
            for source in self.sources
            if shipped(source) and python(source) and "examples" not in source.path.parts
            for function in functions_of(source)
        ]

    def guarded(self, function: Function, line: int, depth: int = 0) -> bool:
        if guards(function, line):
            return True
        callers = [
            (caller, call.lineno)
            for caller in self.functions
            for call in caller.calls
            if called(call) == function.name
            and caller is not function
            and (caller.source is function.source or not function.name.startswith("_"))
        ]
        if depth == CALLERS_ABOVE or not callers:
            return False
        return all(self.guarded(caller, at, depth + 1) for caller, at in callers)

    def unguarded(self, kind: "Kind") -> list[str]:
        return [
            f"{function.source.path}:{call.lineno}: {kind.what} in {function.name}"
            for function, call in self.found(kind)
            if function.place not in kind.allowed and not self.guarded(function, call.lineno)
        ]

    def found(self, kind: "Kind") -> list[tuple[Function, ast.Call]]:
        return [(function, call) for function in self.functions for call in function.calls if kind.fits(call)]

    def reached(self) -> dict[str, str]:
        """Every name that is reached, and one place that reaches it."""
        families = {DEFAULT_FAMILY: "the default"} | {
            word: f"{function.source.path}:{call.lineno}"
            for function in self.functions
            for call in function.calls
            for word in families_named(call)
        }
        names: dict[str, str] = {}
        for function in self.functions:
            for line, name in points(function):
                place = f"{function.source.path}:{line}"
                if "{}" not in name:
                    names[name] = place
                else:
                    names.update({name.replace("{}", word): f"{place}, by {by}" for word, by in families.items()})
        return names


def families_named(call: ast.Call) -> Iterator[str]:
    """The family of fault points that a call names for its transaction: `transaction("claim")`, `point="project"`."""
    given: list[ast.expr] = [keyword.value for keyword in call.keywords if keyword.arg == "point"]
    if called(call) == "transaction":
        given += call.args[:1]
    for one in given:
        if isinstance(one, ast.Constant) and isinstance(one.value, str):
            yield one.value


# ---------------------------------------------------------------------------------------------- the places that matter


@dataclass(frozen=True)
class Kind:
    """One kind of place: what happens there, how to see it, and the proof that it is seen."""

    what: str
    fits: Callable[[ast.Call], bool]
    planted: str
    # A place, and the reason why a crash there matters to nobody.
    allowed: dict[str, str] = field(default_factory=dict)


def named(*names: str) -> Callable[[ast.Call], bool]:
    return lambda call: called(call) in names


def commits(call: ast.Call) -> bool:
    texts = (node.value for one in call.args for node in ast.walk(one) if isinstance(node, ast.Constant))
    return called(call) == "commit" or (
        called(call) in {"execute", "executescript"}
        and any(isinstance(text, str) and text.upper().startswith("COMMIT") for text in texts)
    )


def calls_author_code(call: ast.Call) -> bool:
    return (
        isinstance(call.func, ast.Attribute) and call.func.attr == "function" and "declared" in ast.unparse(call.func)
    )


def names_a_file(call: ast.Call) -> bool:
    """Gives a file its name. A text's and an instant's `replace` take another number of arguments, or keywords."""
    if not isinstance(call.func, ast.Attribute):
        return False
    if ast.unparse(call.func.value) == "os":
        return call.func.attr in {"link", "rename", "replace", "symlink"}
    if call.func.attr == "replace":
        return len(call.args) == 1 and not call.keywords
    return call.func.attr in {"hardlink_to", "rename", "symlink_to"}


def forgets_a_delivery(call: ast.Call) -> bool:
    # A delivery of the broker is settled by `Delivery.acknowledge` and `Delivery.reject`, and in no other way.
    return (
        called(call) in {"ack", "nack", "basic_ack", "basic_nack"}
        or ast.unparse(call.func) == "self.settle"
        or (called(call) == "discard" and "held" in ast.unparse(call.func))
    )


def hands_over(call: ast.Call) -> bool:
    return called(call) in {"publish", "basic_publish"} or ast.unparse(call.func) == "self._put"


KINDS = (
    Kind("a commit", commits, "def save(c):\n    c.execute('COMMIT')\n"),
    Kind("a commit", commits, "def save(connection):\n    connection.commit()\n"),
    Kind("a hand-over to a transport", hands_over, "class S:\n    def send(self, c):\n        self._put(c)\n"),
    Kind("an acknowledgement", forgets_a_delivery, "def settle(held, one):\n    held.discard(one)\n"),
    Kind("a call of author code", calls_author_code, "def run(declared, given):\n    declared.function(given)\n"),
    Kind(
        "a file given its name",
        names_a_file,
        "import os\ndef keep(a, b):\n    os.replace(a, b)\n",
        allowed={
            "domain/store/backup_sqlite.py: backup": "a copy that a person asked for, and asks for again",
            "deploy/whole_files.py: _give_name": "the same of an export",
            "deploy/whole_files.py: _take_place": "the same of a report",
            "deploy/importing.py: _give_name": "an import is made anew",
        },
    ),
)

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.planted.split("\n")[-2].strip())

house = House(sources_under(ROOT))


def one_file(root: Path, text: str) -> House:
    path = root / "consumers" / "planted.py"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return House(sources_under(root))


@each_kind
def test_every_place_has_a_fault_point_on_either_side(kind: Kind) -> None:
    unguarded = house.unguarded(kind)
    assert not unguarded, f"reach a `….before` and a `….after` around: {unguarded}"


@pytest.mark.parametrize("what", sorted({kind.what for kind in KINDS}))
def test_every_kind_of_place_exists(what: str) -> None:
    assert any(house.found(kind) for kind in KINDS if kind.what == what), f"nothing is seen any more as {what}"


@each_kind
def test_every_exception_is_still_needed(kind: Kind) -> None:
    places = {function.place for function, call in house.found(kind) if not house.guarded(function, call.lineno)}
    assert kind.allowed.keys() <= places, f"these exceptions are no longer needed: {kind.allowed.keys() - places}"


@each_kind
def test_a_place_without_points_is_found(kind: Kind, tmp_path: Path) -> None:
    assert one_file(tmp_path, kind.planted).unguarded(kind)


@each_kind
@pytest.mark.parametrize(
    ("before", "after", "missing"),
    [(True, True, False), (True, False, True), (False, True, True)],
    ids=["both", "no after", "no before"],
)
def test_it_takes_a_point_on_either_side(kind: Kind, before: bool, after: bool, missing: bool, tmp_path: Path) -> None:
    *head, last = kind.planted.rstrip("\n").split("\n")
    indent = last[: len(last) - len(last.lstrip())]
    lines = [f"{indent}reached('x.before')"] * before + [last] + [f"{indent}reached('x.after')"] * after
    assert bool(one_file(tmp_path, "\n".join([*head, *lines])).unguarded(kind)) is missing


@pytest.mark.parametrize(
    ("caller", "guarded"),
    [
        ("def turn(c):\n    reached('commit.before')\n    save(c)\n    reached('commit.after')\n", True),
        ("def turn(c):\n    reached('commit.before')\n    save(c)\n    reached('publish.after')\n", False),
        ("def turn(c):\n    save(c)\n", False),
    ],
    ids=["around the call", "of two families", "none"],
)
def test_points_may_be_around_every_call_instead(caller: str, guarded: bool, tmp_path: Path) -> None:
    kind = KINDS[0]
    found = one_file(tmp_path, f"{kind.planted}{caller}").unguarded(kind)
    assert bool(found) is not guarded


def test_a_second_caller_without_points_is_found(tmp_path: Path) -> None:
    kind = KINDS[0]
    around = "def turn(c):\n    reached('commit.before')\n    save(c)\n    reached('commit.after')\n"
    assert one_file(tmp_path, f"{kind.planted}{around}def other(c):\n    save(c)\n").unguarded(kind)


# --------------------------------------------------------------------------------------------------------- the names


def pairs(names: Iterable[str]) -> set[str]:
    return {name.rpartition(".")[0] for name in names}


def test_every_listed_name_is_reached() -> None:
    missing = sorted(set(NAMES) - house.reached().keys())
    assert not missing, f"no code reaches these names of domain/faultpoints.py: {missing}"


def test_every_reached_name_is_listed() -> None:
    unlisted = {name: place for name, place in house.reached().items() if name not in NAMES}
    assert not unlisted, f"add to NAMES of domain/faultpoints.py: {unlisted}"


def test_names_are_unique_and_come_in_pairs() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert {f"{family}{half}" for family in pairs(NAMES) for half in (BEFORE, AFTER)} == set(NAMES)


def test_databases_are_opened_where_commits_are_guarded_only() -> None:
    """A connection of its own would commit by itself, where no fault point is: SQLite's default is autocommit."""
    opened = {
        str(function.source.path)
        for function in house.functions
        for call in function.calls
        if ast.unparse(call.func) in {"sqlite3.connect", "connect"}
    }
    guarded = {"domain/store/connection_sqlite.py", "domain/store/backup_sqlite.py"}
    reading = {"domain/store/inspection_sqlite.py"}  # opened read-only: nothing can be committed there
    # In memory, or on the disk without a name: nothing in it outlives the call.
    passing = {"domain/store/columns_sqlite.py", "projections/exporting/spool.py"}
    assert opened == guarded | reading | passing
