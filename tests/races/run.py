"""Takes the guards out, one at a time, in a copy of the tree, and sees whether their tests turn red."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.races.guards import GUARDS, Guard

ROOT = Path(__file__).resolve().parents[2]
KEPT_OUT = shutil.ignore_patterns(".git", ".venv*", ".node", "__pycache__", ".*_cache", ".hypothesis")
LIMIT_SECONDS = 300


def main(words: list[str]) -> int:
    """Try those whose race holds any of the words, by default all; 0 where each turned red, and green again.

    A guard that is not where the table says is said before anything is run, for its test would stay green untried.
    """
    chosen = [guard for guard in GUARDS if not words or any(word in guard.race for word in words)]
    if lost := [why for guard in chosen if (why := misplaced(guard, ROOT))]:
        print("\n".join(lost), file=sys.stderr)
        return 1
    held = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=KEPT_OUT)
        for guard in chosen:
            red, green = tried(guard, copy)
            held += red and green
            said = "held" if red and green else "stays green" if green else "is red with its guard too"
            print(f"{guard.race}: {said} ({guard.test})", flush=True)
    print(f"{held} of {len(chosen)} races are held by their tests")
    return 0 if held == len(chosen) else 1


def misplaced(guard: Guard, tree: Path) -> str:
    """What is wrong with a guard's place in the tree, and what to do about it; nothing where it is there once."""
    times = (tree / guard.file).read_text(encoding="utf-8").count(guard.there)
    if times == 1:
        return ""
    return (
        f"{guard.race}: its guard is in {guard.file} {times} times, not once: "
        f"write into tests/races/guards.py what stands there now, in place of {guard.there!r}"
    )


def tried(guard: Guard, copy: Path) -> tuple[bool, bool]:
    """Whether the test is red without the guard, and green with it."""
    path = copy / guard.file
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole.replace(guard.there, guard.taken_out), encoding="utf-8")
    try:
        red = run(guard.test, copy) != 0
    finally:
        path.write_text(whole, encoding="utf-8")
    return red, run(guard.test, copy) == 0


def run(test: str, copy: Path) -> int:
    """The exit code of a test in the copy; one that hangs is red."""
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", test]
    try:
        ended = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, timeout=LIMIT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return -1
    return ended.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
