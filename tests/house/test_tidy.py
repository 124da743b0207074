"""The house rules that no linter knows, as one table.

Each rule pairs what is banned with what to do instead, so that its failure message is the way out. Each carries a
planted violation and an innocent neighbour, so that a rule which has stopped biting, or bites the wrong thing, fails
too. An exception is one line in `Rule.allowed`: a path and the reason; one that is no longer needed fails as well.
"""

import ast
import functools
import io
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("handrail", "domain", "producers", "consumers", "projections", "deploy", "tests")
LINES_AT_MOST = 500
HERE = "tests/house/test_tidy.py"
# Folders of what others wrote, made by running or setting up.
SET_UP = {"__pycache__", "node_modules"}

# A line, and what is wrong there.
Finding = tuple[int, str]


@dataclass(frozen=True)
class Source:
    """One file: its path from the repository's root, its text and, for Python, its syntax tree."""

    path: PurePosixPath
    text: str

    @functools.cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, filename=str(self.path))

    @functools.cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(self.tree))

    @functools.cached_property
    def calls(self) -> list[tuple[int, str, ast.Call]]:
        """Every call: its line, the dotted name called as the file's imports resolve it, and the node."""
        calls = [node for node in self.nodes if isinstance(node, ast.Call)]
        return [(call.lineno, self.resolved(call.func), call) for call in calls]

    @functools.cached_property
    def imports(self) -> list[tuple[int, str]]:
        """Every name imported, with its module in front."""
        found: list[tuple[int, str]] = []
        for node in self.nodes:
            if isinstance(node, ast.Import):
                found += [(node.lineno, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
        return found

    @functools.cached_property
    def aliases(self) -> dict[str, str]:
        """What a name of this file stands for: `dt` for `datetime` after `import datetime as dt`."""
        known: dict[str, str] = {}
        for node in self.nodes:
            if isinstance(node, ast.Import):
                known.update({alias.asname: alias.name for alias in node.names if alias.asname})
            elif isinstance(node, ast.ImportFrom) and node.module:
                known.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
        return known

    def resolved(self, expression: ast.expr) -> str:
        """The dotted name of an expression; `…` stands for what is not a name."""
        if isinstance(expression, ast.Name):
            return self.aliases.get(expression.id, expression.id)
        if isinstance(expression, ast.Attribute):
            return f"{self.resolved(expression.value)}.{expression.attr}"
        return "…"


def files_under(root: Path) -> Iterator[Path]:
    """The files of the house: its packages, `.ci`, and what lies at the root."""
    yield from (path for path in sorted(root.iterdir()) if path.is_file())
    for folder in (*PACKAGES, ".ci"):
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and not SET_UP.intersection(path.parts):
                yield path


@functools.cache
def sources_under(root: Path) -> tuple[Source, ...]:
    """Every file that is text; scans among the examples' papers are not."""
    found: list[Source] = []
    for path in files_under(root):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found.append(Source(PurePosixPath(path.relative_to(root).as_posix()), text))
    return tuple(found)


# ------------------------------------------------------------------------------------------------ where a rule holds


def python(source: Source) -> bool:
    return source.path.suffix == ".py"


def pure_domain(source: Source) -> bool:
    return python(source) and source.path.parts[0] == "domain" and source.path.parts[:2] != ("domain", "store")


def in_tests(source: Source) -> bool:
    return python(source) and source.path.parts[0] == "tests"


def shipped(source: Source) -> bool:
    return python(source) and not in_tests(source)


def shipped_but_cli(source: Source) -> bool:
    return shipped(source) and source.path.parts[:2] != ("deploy", "cli")


def anything(source: Source) -> bool:
    return bool(source.path.parts)


# ----------------------------------------------------------------------------------------------- what a rule looks for


def under(name: str, parents: Iterable[str]) -> bool:
    return any(name == parent or name.startswith(f"{parent}.") for parent in parents)


def importing(*modules: str) -> Callable[[Source], Iterable[Finding]]:
    return lambda source: [(line, f"import of {name}") for line, name in source.imports if under(name, modules)]


def calling(*endings: str) -> Callable[[Source], Iterable[Finding]]:
    """Calls of these names: `open` is that name alone, `.now` any method of that name, `a.b` the end of a path."""

    def hit(name: str) -> bool:
        for ending in endings:
            if ending.startswith("."):
                if name.endswith(ending):
                    return True
            elif name == ending or ("." in ending and name.endswith(f".{ending}")):
                return True
        return False

    return lambda source: [(line, f"call of {name}") for line, name, _ in source.calls if hit(name)]


def either(*finders: Callable[[Source], Iterable[Finding]]) -> Callable[[Source], Iterable[Finding]]:
    return lambda source: [finding for finder in finders for finding in finder(source)]


def library_parts_but_domain(source: Source) -> Iterable[Finding]:
    for line, name in source.imports:
        if under(name, ["eventsourcing"]) and not under(name, ["eventsourcing.domain"]):
            yield line, f"import of {name}"


def asynchronous(source: Source) -> Iterable[Finding]:
    """All that waits, except the methods of a protocol: the domain names what others do for it, and does not run it."""
    protocols = [
        node
        for node in source.nodes
        if isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases)
    ]
    declared = {id(method) for protocol in protocols for method in protocol.body}
    for node in source.nodes:
        if id(node) not in declared and isinstance(
            node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith
        ):
            yield node.lineno, type(node).__name__


def assertions(source: Source) -> Iterable[Finding]:
    return [(node.lineno, "assert") for node in source.nodes if isinstance(node, ast.Assert)]


def sleeping(source: Source) -> Iterable[Finding]:
    for line, name, call in source.calls:
        if name.split(".")[-1] != "sleep":
            continue
        first = call.args[0] if call.args else None
        if not (isinstance(first, ast.Constant) and first.value == 0):
            yield line, f"call of {name}"


UNFINISHED = re.compile(r"\b(TO[D]O|FIX[M]E|XX[X]|HAC[K])\b")


def unfinished(source: Source) -> Iterable[Finding]:
    lines: Iterable[tuple[int, str]] = enumerate(source.text.splitlines(), start=1)
    if python(source):
        tokens = tokenize.generate_tokens(io.StringIO(source.text).readline)
        lines = [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]
    return [(line, found.group()) for line, text in lines if (found := UNFINISHED.search(text))]


def long_files(source: Source) -> Iterable[Finding]:
    count = len(source.text.splitlines())
    return [(count, f"{count} lines")] if count > LINES_AT_MOST else []


def missing_docstring(source: Source) -> Iterable[Finding]:
    return [] if ast.get_docstring(source.tree) else [(1, "no docstring")]


# The left is how hurried code says it; the right is the word of the glossary, or the whole word.
SHORT_WORDS = {
    "ctx": "context", "cfg": "settings", "conf": "settings", "conn": "connection", "msg": "message", "evt": "event",
    "wf": "workflow", "saga": "workflow", "cmd": "command", "req": "request", "resp": "response", "res": "result",
    "mgr": "the thing it manages", "idx": "index", "val": "value", "cnt": "count", "cb": "callback", "fn": "function",
    "func": "function", "buf": "buffer", "err": "error", "ts": "which instant: started_at", "ttl": "timeout",
    "pkg": "package", "src": "source", "dst": "destination", "elem": "element", "attr": "attribute", "obj": "its name",
}  # fmt: skip


def names_bound(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield node.id if isinstance(node, ast.Name) else node.attr
    elif isinstance(node, ast.ExceptHandler) and node.name:
        yield node.name


def short_names(source: Source) -> Iterable[Finding]:
    for node in source.nodes:
        for name in names_bound(node):
            for word in re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().split("_"):
                if word in SHORT_WORDS:
                    yield getattr(node, "lineno", 1), f"{name}: say {SHORT_WORDS[word]}"


ELSEWHERE = re.compile(
    r"(?<![\w.])/(work|opt/py\w+|opt/wheels|Users/\w+|home/\w+|root)/"
    r"|\b(pypi\.org|pythonhosted\.org|registry\.npmjs\.org|registry\.yarnpkg\.com|deb\.debian\.org|proxy\.golang\.org)\b"
    r"|--(extra-)?index-url|\bindex-url\s*=",
)


def places_elsewhere(source: Source) -> Iterable[Finding]:
    lines = enumerate(source.text.splitlines(), start=1)
    return [(line, found.group()) for line, text in lines if (found := ELSEWHERE.search(text))]


def drivers_astray(source: Source) -> Iterable[Finding]:
    if not source.path.stem.endswith("_postgres"):
        yield from importing("psycopg", "psycopg_pool")(source)
        yield from importing("eventsourcing.postgres")(source)


# ----------------------------------------------------------------------------------------------------------- the table


@dataclass(frozen=True)
class Rule:
    """One ban: where it holds, how to see it, what to do instead, and the proof that it bites."""

    ban: str
    instead: str
    where: Callable[[Source], bool]
    find: Callable[[Source], Iterable[Finding]]
    planted: tuple[str, str]
    innocent: tuple[str, str]
    allowed: dict[str, str] = field(default_factory=dict)

    def findings(self, root: Path) -> list[str]:
        return [
            f"{source.path}:{line}: {what}"
            for source in sources_under(root)
            if self.where(source) and str(source.path) not in self.allowed
            for line, what in self.find(source)
        ]


CLOCK = (
    ".now", ".utcnow", ".today", "time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns",
    "time.perf_counter", "datetime_now_with_tzinfo", "eventsourcing.domain.datetime_now_with_tzinfo",
    "eventsourcing.domain.create_utc_datetime_now",
)  # fmt: skip
CHANCE = ("uuid1", "uuid4", "uuid.uuid1", "uuid.uuid4", ".choice", ".randint", ".random", ".shuffle", ".token_hex")
OUTSIDE = (
    "open", "print", "input", "io.open", ".read_text", ".read_bytes", ".write_text", ".write_bytes", ".mkdir",
    ".unlink", ".getenv", "sleep", ".sleep",
)  # fmt: skip

RULES = (
    Rule(
        ban="the domain reads no clock",
        instead="the instant comes in with the trigger",
        where=pure_domain,
        find=either(calling(*CLOCK), importing("time")),
        planted=("domain/retry.py", "from datetime import datetime, UTC\nat = datetime.now(UTC)\n"),
        innocent=("domain/retry.py", "from datetime import datetime\nat = datetime.fromisoformat('2024-01-01')\n"),
    ),
    Rule(
        ban="the domain takes no chances",
        instead="derive it from the ids (domain/ids.py), so that deciding again gives the same",
        where=pure_domain,
        find=either(calling(*CHANCE), importing("random", "secrets", "uuid")),
        planted=("domain/ids.py", "from uuid import uuid4\nwhich = uuid4()\n"),
        innocent=("domain/ids.py", "import hashlib\nwhich = hashlib.sha256(b'wf_001').hexdigest()\n"),
    ),
    Rule(
        ban="the domain touches nothing outside itself",
        instead="decide an event; a consumer, producer or projection does the rest",
        where=pure_domain,
        find=either(
            calling(*OUTSIDE),
            importing("asyncio", "logging", "os", "socket", "sqlite3", "subprocess", "threading", "urllib.request"),
        ),
        planted=("domain/nodes/planner.py", "text = open('plan.json')\n"),
        innocent=("domain/store/log.py", "text = open('plan.json')\n"),
    ),
    Rule(
        ban="the domain never waits",
        instead="plain functions: a wait is an event, and a trigger ends it",
        where=pure_domain,
        find=asynchronous,
        planted=("domain/nodes/executor.py", "async def decide() -> None: ...\n"),
        innocent=(
            "domain/ports.py",
            "from typing import Protocol\nclass Publisher(Protocol):\n    async def publish(self) -> None: ...\n",
        ),
    ),
    Rule(
        ban="outside its store, the domain knows only eventsourcing.domain",
        instead="keep application, persistence and recorders in domain/store/",
        where=pure_domain,
        find=library_parts_but_domain,
        planted=("domain/workflow.py", "from eventsourcing.persistence import Mapper\n"),
        innocent=("domain/workflow.py", "from eventsourcing.domain import CanMutateAggregate\n"),
    ),
    Rule(
        ban="PostgreSQL is spoken in *_postgres.py files only",
        instead="write against the port, and put its PostgreSQL side into a file of that name",
        where=shipped,
        find=drivers_astray,
        planted=("domain/store/recorder.py", "import psycopg\n"),
        innocent=("domain/store/recorder_postgres.py", "import psycopg\n"),
    ),
    Rule(
        ban="nothing executable is ever decoded",
        instead="pydantic's JSON, under a registered name",
        where=python,
        find=either(
            importing("pickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle"),
            calling("eval", "exec", "yaml.load", "yaml.unsafe_load", "yaml.full_load"),
        ),
        planted=("projections/views.py", "import yaml\nrows = yaml.load('a: 1')\n"),
        innocent=("projections/views.py", "import re\nrows = re.compile('a')\n"),
    ),
    Rule(
        ban="no assert outside tests",
        instead="raise an error of domain/errors.py: python -O drops asserts",
        where=shipped,
        find=assertions,
        planted=("consumers/claim.py", "assert 1 < 2\n"),
        innocent=("tests/unit/test_claim.py", "assert 1 < 2\n"),
    ),
    Rule(
        ban="tests do not sleep",
        instead="advance the clock that the code was given, or await a condition with a deadline",
        where=in_tests,
        find=sleeping,
        planted=("tests/unit/test_lease.py", "from time import sleep as pause\npause(0.1)\n"),
        innocent=("tests/unit/test_lease.py", "import asyncio\nturn = asyncio.sleep(0)\n"),
        # A path and the reason why that file cannot wait for a condition.
        allowed={
            "tests/integration/activities/recipes.py": "an activity that works, and says so, until it is let go",
            "tests/integration/versions/v1.py": "the same, of an older version",
        },
    ),
    Rule(
        ban="nothing is left for later in a comment",
        instead="do it, or file an issue",
        where=anything,
        find=unfinished,
        planted=("deploy/settings.py", "limit = 1  # TODO: choose\n"),
        innocent=("deploy/settings.py", "limit = 'TODO'\n"),
    ),
    Rule(
        ban=f"no file has more than {LINES_AT_MOST} lines",
        instead="each file has one reason to exist: find the second one and give it its own",
        where=python,
        find=long_files,
        planted=("deploy/runtime.py", "a = 1\n" * (LINES_AT_MOST + 1)),
        innocent=("deploy/runtime.py", "a = 1\n" * LINES_AT_MOST),
        # A path and the reason why that file is one thing all the same.
        allowed={
            "domain/events.py": "every event in one place",
            "deploy/verify_export.py": "handed over alone, to those who do not have Handrail",
        },
    ),
    Rule(
        ban="only the command line prints",
        instead="log it, record it as an event, or hand it to deploy/cli",
        where=shipped_but_cli,
        find=calling("print"),
        planted=("producers/relay.py", "print('published')\n"),
        innocent=("deploy/cli/lines.py", "print('published')\n"),
    ),
    Rule(
        ban="every module says what it is for",
        instead="begin it with a docstring: purpose, guarantees, what it refuses",
        where=python,
        find=missing_docstring,
        planted=("consumers/inbox.py", "a = 1\n"),
        innocent=("consumers/inbox.py", '"""The table of message ids."""\n'),
    ),
    Rule(
        ban="words are written out",
        instead="use the word beside it; what the log and the screen show is called the same in the code",
        where=python,
        find=short_names,
        planted=("consumers/turn.py", "def commit(retry_cfg: int) -> int:\n    return retry_cfg\n"),
        innocent=("consumers/turn.py", "def commit(contexts: int) -> int:\n    return contexts\n"),
        allowed={"deploy/grafana/boards.py": "Grafana's library calls a panel's number id_val"},
    ),
    Rule(
        ban="no path of one machine, no package registry",
        instead="a path from the repository's root or from a setting; packages by name and version",
        where=anything,
        find=places_elsewhere,
        planted=("deploy/compose.yml", "volumes: ['/home/someone/data']\n"),
        innocent=("deploy/compose.yml", "volumes: ['/var/lib/handrail/data', './home/data']\n"),
        allowed={HERE: "holds the planted path"},
    ),
)

each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.ban.replace(" ", "-"))


def planted(root: Path, file: tuple[str, str]) -> Path:
    path = root / file[0]
    path.parent.mkdir(parents=True)
    path.write_text(file[1], encoding="utf-8")
    return root


@each_rule
def test_the_house_is_tidy(rule: Rule) -> None:
    findings = rule.findings(ROOT)
    assert not findings, "\n".join([f"{rule.ban}. Instead: {rule.instead}.", *findings])


@each_rule
def test_a_planted_violation_is_found(rule: Rule, tmp_path: Path) -> None:
    findings = rule.findings(planted(tmp_path, rule.planted))
    assert findings
    assert all(finding.startswith(rule.planted[0]) for finding in findings)


@each_rule
def test_an_innocent_neighbour_is_not(rule: Rule, tmp_path: Path) -> None:
    assert rule.findings(planted(tmp_path, rule.innocent)) == []


@each_rule
def test_every_exception_is_still_needed(rule: Rule) -> None:
    found = {str(source.path) for source in sources_under(ROOT) if rule.where(source) and any(rule.find(source))}
    stale = sorted(rule.allowed.keys() - found)
    assert not stale, f"{rule.ban}: these exceptions are no longer needed, take them out: {stale}"
    assert all(rule.allowed.values()), f"{rule.ban}: an exception has a reason"


def test_the_walk_sees_every_package() -> None:
    assert {source.path.parts[0] for source in sources_under(ROOT)} >= set(PACKAGES)
