"""The program in a process that may open no connection and write nothing: an audit hook ends it where it tries."""

import sqlite3
import subprocess
import sys
from pathlib import Path

from tests.integration.command_line import LIMIT_SECONDS, CommandLine, Ended

_HOOK = """
import os, sys

FORBIDDEN = {
    "socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "subprocess.Popen",
    "os.exec", "os.fork", "os.posix_spawn", "os.system", "os.rename", "os.remove", "os.mkdir", "os.rmdir",
    "os.truncate", "os.link", "os.symlink", "os.chmod", "os.utime", "shutil.copyfile", "shutil.move",
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def forbid(event, given):
    if event in FORBIDDEN:
        raise PermissionError(f"forbidden: {event} {given}")
    if event == "open" and isinstance(given[2], int) and given[2] & WRITING:
        raise PermissionError(f"forbidden: writing {given[0]}")
    if event == "sqlite3.connect" and "mode=ro" not in str(given[0]) and "immutable=1" not in str(given[0]):
        raise PermissionError(f"forbidden: opening {given[0]} for writing")


sys.addaudithook(forbid)
"""
_RUN = _HOOK + "from deploy.cli.main import main\nsys.exit(main(sys.argv[1:]))\n"


def watched(handrail: CommandLine, *arguments: str, then: str = _RUN, **environment: str) -> Ended:
    """Run a command under the hook, in the folder of `handrail`."""
    ended = subprocess.run(
        [sys.executable, "-c", then, *arguments],
        cwd=handrail.folder,
        env=handrail.environment(PYTHONDONTWRITEBYTECODE="1", **environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def attempted(handrail: CommandLine, statement: str) -> Ended:
    """Run a statement under the hook: whether the hook is there at all."""
    return watched(handrail, then=f"{_HOOK}{statement}\n")


def rows_of(path: Path) -> list[str]:
    """All that a SQLite database holds, as statements."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        return list(connection.iterdump())


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, byte for byte; not SQLite's shared memory, which readers take turns in."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-shm", "-wal"))
    }


def everything(home: Path) -> tuple[dict[str, bytes], list[str]]:
    """A home's files and rows."""
    return contents(home), rows_of(home / "handrail.db")
