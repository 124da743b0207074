"""Ends a run that hangs where the time limit of a test does not reach.

The limit raises in the test, once. What hangs after that would hang for ever: a teardown that waits for a task which
nobody ends. So a second clock runs beside, in a thread of the interpreter's own that needs no Python to run: when a
test with its setup and teardown has taken several times its limit, every stack is printed and the process ends.
"""

import faulthandler
import os
from collections.abc import Generator
from typing import Any

import pytest

TIMES = 2.0
"""How many times a test's limit its setup, call and teardown may take; its teardown again as much."""

_WORDS = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep the standard error of the run: during a test it is captured."""
    config.stash[_WORDS] = os.dup(2)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Watch a test from beginning to end."""
    watch(item)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    """Watch the teardown once more: after a failure pytest itself has stopped the clock, for a debugger's sake."""
    watch(item)
    return (yield)


def watch(item: pytest.Item) -> None:
    """Start the clock of a test anew."""
    if seconds := TIMES * limit_seconds(item):
        faulthandler.dump_traceback_later(seconds, exit=True, file=item.config.stash[_WORDS])


def limit_seconds(item: pytest.Item) -> float:
    """The time limit of a test: its own, or that of all; 0 is none."""
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0] if marker is not None else item.config.getini("timeout"))
