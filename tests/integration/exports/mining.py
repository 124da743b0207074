"""`make mining`: an OCEL and an XES export of a made store, read back by pm4py with the same counts.

    python -m tests.integration.exports.mining [--workflows N]

pm4py is under the AGPL and heavy: it has an environment of its own, and nothing else of Handrail imports it. Ends with
1 where something is counted otherwise.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pm4py

from deploy.cli.main import main as handrail
from deploy.loading import LoadedDefinitions
from deploy.opened import open_store
from domain.recorded import RecordedEvent
from projections.exporting.ocel_types import OBJECTS
from tests.integration.exports.stock import fill
from tests.integration.exports.stories import stories

Counts = dict[str, tuple[Any, Any]]
"""Of each thing what is there, and what pm4py says."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Export and read back; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workflows", type=int, default=1_000)
    given = parser.parse_args(arguments)
    made = stories(given.workflows)
    with tempfile.TemporaryDirectory(prefix="handrail-mining-") as folder:
        home = Path(folder) / "home"
        store = open_store(home, LoadedDefinitions())
        try:
            fill(store, made)
        finally:
            store.close()
        files = {form: Path(folder) / f"all.{ending}" for form, ending in (("ocel", "jsonocel"), ("xes", "xes"))}
        for form, file in files.items():
            if handrail(["export", "--all", "--format", form, "--home", str(home), "-o", str(file)]) != 0:
                return 1
        counts = {**_of_ocel(files["ocel"], made), **_of_xes(files["xes"], made)}
    for what, (there, read) in counts.items():
        # Of long lists that are equal it is said how long they are.
        short = len(there) if isinstance(there, dict) and there == read else there
        print(json.dumps({"what": what, "there": short, "read by pm4py": short if there == read else read}))
    return 0 if all(there == read for there, read in counts.values()) else 1


def _of_ocel(file: Path, made: Sequence[Sequence[RecordedEvent]]) -> Counts:
    document = json.loads(file.read_text(encoding="utf-8"))
    read = pm4py.read_ocel2_json(str(file))
    types = Counter(one["type"] for one in document["objects"])
    return {
        "OCEL events": (sum(map(len, made)), len(read.events)),
        "OCEL events by type": (
            Counter(one.name for events in made for one in events),
            Counter(read.events["ocel:activity"]),
        ),
        "OCEL objects": (len(document["objects"]), len(read.objects)),
        "OCEL objects by type": (types, Counter(read.objects["ocel:type"])),
        "OCEL types of objects": (sorted(OBJECTS), sorted(pm4py.ocel_get_object_types(read))),
        "OCEL relations of events to objects": (_relations(document["events"]), len(read.relations)),
        "OCEL relations of objects to objects": (_relations(document["objects"]), len(read.o2o)),
        "OCEL workflows that began": (len(made), int(read.objects["began_at"].notna().sum())),
    }


def _relations(things: Sequence[Any]) -> int:
    return sum(len(one["relationships"]) for one in things)


def _of_xes(file: Path, made: Sequence[Sequence[RecordedEvent]]) -> Counts:
    counts: Counts = {}
    followers: Counter[str] = Counter()
    for events in made:
        followers.update(f"{before.name}, {after.name}" for before, after in pairwise(events))
    for variant in ("chunk_regex", "iterparse"):
        log = pm4py.read_xes(str(file), variant=variant, return_legacy_log_object=True)
        found, _, _ = pm4py.discover_dfg(log, activity_key="event")
        counts |= {
            f"XES traces ({variant})": (len(made), len(log)),
            f"XES events ({variant})": (sum(map(len, made)), sum(map(len, log))),
            f"XES events that follow another, by their names ({variant})": (
                dict(sorted(followers.items())),
                {f"{before}, {after}": number for (before, after), number in sorted(found.items())},
            ),
            f"XES lifecycles ({variant})": (
                True,
                {"schedule", "start", "complete"} <= {one["lifecycle:transition"] for trace in log for one in trace},
            ),
        }
    table = pm4py.read_xes(str(file))
    counts["XES rows of the table"] = (sum(map(len, made)), len(table))
    counts["XES cases of the table"] = (len(made), int(table["case:concept:name"].nunique()))
    return counts


if __name__ == "__main__":
    sys.exit(main())
