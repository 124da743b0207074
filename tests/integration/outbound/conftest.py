"""Stores of both kinds, opened as often as a test has processes."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from domain.definitions import Definition
from domain.transport import Publisher
from tests.integration.outbound.stage import Process, ScriptedBroker, loaded, opener

Begin = Callable[..., Process]


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the store is."""
    if request.param == "sqlite":
        return str(tmp_path / "store.db")
    url: str = request.getfixturevalue("database").url
    return url


@pytest.fixture
def broker() -> ScriptedBroker:
    return ScriptedBroker()


@pytest.fixture
def begin(place: str, broker: ScriptedBroker) -> Iterator[Begin]:
    """Begins a process on the test's store."""
    with ExitStack() as opened:

        def process(*definitions: Definition, publisher: Publisher | None = None, name: str = "one") -> Process:
            known = loaded(*definitions)
            store = opener(place)(known)
            opened.callback(store.close)
            return Process(store, known, publisher if publisher is not None else broker, name)

        yield process
