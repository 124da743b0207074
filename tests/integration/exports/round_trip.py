"""`make round-trip`: ten thousand histories exported, imported, and replayed there: what state each comes to.

    python -m tests.integration.exports.round_trip [--workflows N] [--seed N]

Ends with 1 where a state differs, or the import exported again has other bytes than the first export.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.importing import import_export
from deploy.loading import LoadedDefinitions
from deploy.opened import open_store
from domain.store.application import WorkflowStore
from projections.exporting.jsonl import JsonLines
from projections.exporting.reading import Histories, Selection
from projections.exporting.redaction import Redaction
from projections.replaying.reading import read_history
from projections.replaying.report import build
from tests.integration.exports.stock import fill, histories

PAGE = 500
KIBIBYTES_A_MEGABYTE = 1_024


def states(store: WorkflowStore) -> Iterator[tuple[str, str, bool]]:
    """Of each workflow the digest of its state, as a replay tells it, and whether the record is intact."""
    after = ""
    while names := store.workflow_ids(after=after, limit=PAGE):
        with store.reading() as cursor:
            for name in names:
                history = read_history(cursor, store.mapper.read, name)
                if history is None:
                    raise LookupError(name)
                report = build(history, LoadedDefinitions(), lambda _: None)
                yield name, report.state_digest, report.broken is None and not report.unreadable
        after = names[-1]


def write(store: WorkflowStore, file: Path, rules: Sequence[str] = ()) -> None:
    selection = Selection()
    made = JsonLines(selection, Redaction(rules))
    with file.open("wb") as opened:
        opened.writelines(made.lines(Histories(store, store.mapper.clear, selection)))


def same_bytes(one: Path, other: Path) -> bool:
    with one.open("rb") as left, other.open("rb") as right:
        return left.read() == right.read()


def main(arguments: Sequence[str] | None = None) -> int:
    """Go there and back; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workflows", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="handrail-round-trip-") as name:
        folder = Path(name)
        store = open_store(folder / "home", LoadedDefinitions())
        fill(store, histories(given.workflows, given.seed))
        write(store, folder / "first.jsonl")
        began = time.monotonic()
        done = import_export(folder / "first.jsonl", folder / "imported")
        seconds = time.monotonic() - began
        imported = open_store(folder / "imported", LoadedDefinitions(), read_only=True)
        differ = [one for one, other in zip(states(store), states(imported), strict=True) if one != other or not one[1]]
        write(imported, folder / "again.jsonl")
        same = same_bytes(folder / "first.jsonl", folder / "again.jsonl")
        imported.close()
        store.close()
    print(
        json.dumps(
            {
                "workflows": done.workflows,
                "events": done.events,
                "imported in seconds": round(seconds, 1),
                "events a second": round(done.events / seconds),
                "states that differ": len(differ),
                "same bytes again": same,
                "most megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // KIBIBYTES_A_MEGABYTE,
            }
        )
    )
    return 1 if differ or not same else 0


if __name__ == "__main__":
    sys.exit(main())
