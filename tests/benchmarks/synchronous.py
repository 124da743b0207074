"""How each peer has SQLite write: PRAGMA synchronous and journal_mode, asked of the very connections that it uses.

    python -m tests.benchmarks.synchronous FOLDER

Prints one JSON line, `{peer: {"synchronous": "FULL", "journal_mode": "wal"}}`. FULL means that a commit is on the disk
when it returns; it is also what Handrail sets, and says of itself when it is measured.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, Final

LEVELS: Final = ("OFF", "NORMAL", "FULL", "EXTRA")


def of_dbos(folder: Path) -> dict[str, Any]:
    """Ask a connection of the engine that DBOS keeps its system database with."""
    from dbos import DBOS  # noqa: PLC0415 - the peers are installed where they are measured only
    from dbos._dbos import _get_dbos_instance  # noqa: PLC0415

    url = f"sqlite:///{folder / 'dbos.db'}"
    DBOS(config={"name": "ask", "system_database_url": url, "run_admin_server": False, "log_level": "WARNING"})
    DBOS.launch()
    with _get_dbos_instance()._sys_db.engine.connect() as connection:
        level = connection.exec_driver_sql("PRAGMA synchronous").scalar()
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
    DBOS.destroy()
    return {"synchronous": LEVELS[level], "journal_mode": mode}


async def of_langgraph(folder: Path) -> dict[str, Any]:
    """Ask the connection of LangGraph's saver."""
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver  # noqa: PLC0415

    async with AsyncSqliteSaver.from_conn_string(str(folder / "langgraph.db")) as saver:
        await saver.setup()
        answers: list[Any] = []
        for question in ("PRAGMA synchronous", "PRAGMA journal_mode"):
            async with saver.conn.execute(question) as cursor:
                answers.append((await cursor.fetchone() or [None])[0])
    return {"synchronous": LEVELS[answers[0]], "journal_mode": answers[1]}


def main() -> None:
    """Ask both, and print one JSON line."""
    folder = Path(sys.argv[1])
    print(json.dumps({"dbos": of_dbos(folder), "langgraph": asyncio.run(of_langgraph(folder))}))


if __name__ == "__main__":
    main()
