"""`make tampering`: ten thousand changes of an export, and as many of a store, each found where it is.

    python -m tests.integration.exports.run [--changes N] [--seed N] [--workflows N]

Ends with 1 where one was missed; its seed is told.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deploy.loading import LoadedDefinitions
from deploy.opened import open_store
from tests.integration.exports.stock import exported, fill, histories
from tests.integration.exports.store_tampering import store_tampered_with
from tests.integration.exports.tampering import RULES, SIGNER, tampered_with

SHOWN = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Plant the changes; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--workflows", type=int, default=12)
    given = parser.parse_args(arguments)
    seeds = range(given.seed, given.seed + given.changes)
    with tempfile.TemporaryDirectory(prefix="handrail-tampering-") as folder:
        home = Path(folder) / "home"
        store = open_store(home, LoadedDefinitions())
        try:
            fill(store, histories(given.workflows))
            content = exported(store, rules=RULES, signer=SIGNER)
            of_exports, of_stores = tampered_with(content, seeds), store_tampered_with(store, home, seeds)
        finally:
            store.close()
    for words in [*of_exports, *of_stores][:SHOWN]:
        print(words)
    print(
        json.dumps(
            {
                "changes of an export": given.changes,
                "missed in the export": len(of_exports),
                "changes of a store": given.changes,
                "missed in the store": len(of_stores),
            }
        )
    )
    return 1 if of_exports or of_stores else 0


if __name__ == "__main__":
    sys.exit(main())
