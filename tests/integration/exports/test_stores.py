"""An export holds what the store holds, byte for byte, whichever database that is, while others write to it."""

import contextlib
import json
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.loading import LoadedDefinitions
from deploy.opened import SCHEMA
from domain.errors import InputInvalid, WorkflowUnknown
from domain.store.application import WorkflowStore
from domain.store.opening import sqlite_settings
from projections.exporting import reading
from projections.exporting.against import HeldAgainst, heads_in
from projections.exporting.jsonl import JsonLines
from projections.exporting.reading import Selection
from projections.exporting.redaction import Redaction
from projections.exporting.table import Table
from projections.exporting.telling import Teller
from tests.integration.exports.stock import exported, fill, heartbeat, histories, paying
from tests.integration.exports.tampering import verdicts
from tests.unit.projections.histories import START

SOUND: list[tuple[str, list[tuple[int, str, int, str]]]] = [("none", []), ("none", [])]


def events_in(content: bytes) -> list[tuple[str, int]]:
    headers = [json.loads(line)["header"] for line in content.splitlines() if line.startswith(b'{"header":')]
    return [(header["workflow"], header["version"]) for header in headers]


def workflows_in(content: bytes) -> list[str]:
    return [json.loads(line)["workflow"] for line in content.splitlines() if line.startswith(b'{"workflow":')]


def manifest_of(content: bytes) -> dict[str, object]:
    found = json.loads(content.splitlines()[-1])["manifest"]
    assert isinstance(found, dict)
    return found


def test_every_event_is_there_byte_for_byte_whole_workflow_by_whole_workflow(stocked: WorkflowStore) -> None:
    made = histories(12)
    content = exported(stocked)
    assert events_in(content) == [(one.originator_id, one.originator_version) for events in made for one in events]
    lines = [line for line in content.splitlines() if line.startswith(b'{"header":')]
    for recorded, line in zip([one for events in made for one in events], lines, strict=True):
        assert line.startswith(b'{"header":%b,"previous":"%b"' % (recorded.header, recorded.previous.encode()))
        assert line.endswith(b'"payload":%b}' % recorded.payload)
    manifest = manifest_of(content)
    assert (manifest["workflows"], manifest["events"]) == (12, sum(map(len, made)))
    assert verdicts(content, None) == SOUND


def test_sqlite_and_postgresql_give_the_same_bytes(stocked: WorkflowStore, stocked_postgres: WorkflowStore) -> None:
    assert stocked.newest() != stocked_postgres.newest(), "positions differ: something was rolled back"
    for selection in (
        Selection(),
        Selection(("wf_007", "wf_002")),
        Selection(definition="paying"),
        Selection(since=START + timedelta(minutes=10)),
    ):
        here, there = exported(stocked, selection), exported(stocked_postgres, selection)
        assert here == there
        assert here == exported(stocked, selection), "and the same once more"
        assert verdicts(here, None) == SOUND
    tables = [
        b"".join(made.lines(reading.Histories(store, store.mapper.clear, Selection())))
        for store in (stocked, stocked_postgres)
        for made in [Table(Teller(Redaction(["iban"])))]
    ]
    assert tables[0] == tables[1]


def test_a_store_that_covers_its_payloads_gives_the_same_bytes(stocked: WorkflowStore, tmp_path: Path) -> None:
    settings = {**sqlite_settings(tmp_path / "covered.db"), "COMPRESSOR_TOPIC": "zlib"}
    covered = WorkflowStore(settings, definitions=LoadedDefinitions(), schema=SCHEMA)
    fill(covered, histories(12))
    ((stored,),) = covered.query("SELECT state FROM stored_events WHERE originator_id = 'wf_003' AND id < 13")
    assert b"rita" in stored, "the header is clear"
    assert b"NL0003" not in stored, "the payload is not"
    assert exported(covered) == exported(stocked)
    tables = [
        b"".join(Table(Teller(Redaction())).lines(reading.Histories(store, store.mapper.clear, Selection())))
        for store in (covered, stocked)
    ]
    covered.close()
    assert tables[0] == tables[1]
    assert b"NL0003" in tables[0]


def test_pieces_and_pages_make_no_difference(stocked: WorkflowStore, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = exported(stocked), exported(stocked, Selection(since=START + timedelta(minutes=10)))
    for name, size in (("EVENTS_A_READ", 3), ("BYTES_A_READ", 900)):
        monkeypatch.setattr(reading, name, size)
        assert (exported(stocked), exported(stocked, Selection(since=START + timedelta(minutes=10)))) == whole


def test_what_is_selected(stocked: WorkflowStore) -> None:
    assert workflows_in(exported(stocked, Selection(("wf_009", "wf_003", "wf_009")))) == ["wf_003", "wf_009"]
    paid = [f"wf_{number:03d}" for number in (3, 6, 9, 12)]
    assert workflows_in(exported(stocked, Selection(definition="paying"))) == paid
    assert workflows_in(exported(stocked, Selection(definition="nothing"))) == []
    later = {
        events[0].originator_id for events in histories(12) if events[-1].timestamp >= START + timedelta(seconds=9)
    }
    assert set(workflows_in(exported(stocked, Selection(since=START + timedelta(seconds=9))))) == later
    assert {"wf_009", "wf_012"} <= later
    assert "wf_006" not in later
    with pytest.raises(WorkflowUnknown, match="wf_099"):
        exported(stocked, Selection(("wf_001", "wf_099")))
    with pytest.raises(InputInvalid, match="positions up to"):
        exported(stocked, Selection(upto=stocked.newest() + 1))


def test_the_order_is_that_in_which_they_began_however_they_are_asked_for(stocked: WorkflowStore) -> None:
    fill(stocked, [list(paying("wf_000", 5))])
    assert workflows_in(exported(stocked))[-1] == "wf_000"
    assert workflows_in(exported(stocked, Selection(("wf_000", "wf_009", "wf_003")))) == ["wf_003", "wf_009", "wf_000"]


def test_what_is_written_meanwhile_is_not_in_it(stocked: WorkflowStore) -> None:
    before, position = exported(stocked), stocked.newest()
    fill(stocked, [list(paying("wf_100", 100))])
    assert workflows_in(exported(stocked))[-1] == "wf_100"
    assert exported(stocked, Selection(upto=position)) == before
    two = exported(stocked, Selection(("wf_002", "wf_003"), upto=position))
    assert two == exported(stocked, Selection(("wf_002", "wf_003")))
    earlier = exported(stocked, Selection(upto=40))
    assert verdicts(earlier, None) == SOUND
    assert len(events_in(earlier)) == 40


def test_of_handrails_own_workflows_only_those_asked_for(stocked: WorkflowStore) -> None:
    fill(stocked, [heartbeat("wf_200")])
    assert "wf_200" not in workflows_in(exported(stocked))
    assert workflows_in(exported(stocked, Selection(definition="handrail-heartbeat"))) == ["wf_200"]
    assert workflows_in(exported(stocked, Selection(("wf_200",)))) == ["wf_200"]


WHERE = "WHERE originator_id = '{}' AND originator_version = {}"
DAMAGES = {
    "payload": (
        "UPDATE stored_events SET state = CAST(replace(CAST(state AS TEXT), 'Nëder', 'Neder') AS BLOB) "
        + WHERE.format("wf_003", 1),
        ("wf_003", 1, "payload"),
    ),
    "header": (
        'UPDATE stored_events SET state = CAST(replace(CAST(state AS TEXT), \'"actor":"rita\', \'"actor":"eve!\') '
        "AS BLOB) " + WHERE.format("wf_003", 2),
        ("wf_003", 3, "previous"),
    ),
    "bytes": (
        "UPDATE stored_events SET state = x'ff0a00' " + WHERE.format("wf_004", 2),
        ("wf_004", 2, "damaged"),
    ),
    "line ends": (
        "UPDATE stored_events SET state = CAST(CAST(state AS TEXT) || char(10) || 'x' AS BLOB) "
        + WHERE.format("wf_004", 2),
        ("wf_004", 2, "damaged"),
    ),
    "text": ("UPDATE stored_events SET state = 'text' " + WHERE.format("wf_004", 2), ("wf_004", 2, "damaged")),
    "first": ("DELETE FROM stored_events " + WHERE.format("wf_003", 1), ("wf_003", 1, "version")),
    "middle": ("DELETE FROM stored_events " + WHERE.format("wf_003", 2), ("wf_003", 2, "version")),
    "moved on": (
        "UPDATE stored_events SET originator_version = 90 " + WHERE.format("wf_003", 4),
        ("wf_003", 4, "version"),
    ),
    "all": ("DELETE FROM stored_events WHERE originator_id = 'wf_003'", ("wf_003", 0, "damaged")),
    "no number": (
        "UPDATE stored_events SET originator_version = 'none' " + WHERE.format("wf_003", 4),
        ("wf_003", 4, "damaged"),
    ),
    "a number between": (
        "UPDATE stored_events SET originator_version = 2.5 " + WHERE.format("wf_003", 4),
        ("wf_003", 4, "damaged"),
    ),
    "key": (
        "UPDATE workflow_keys SET key = 'zz' WHERE workflow_id = 'wf_003'",
        # What its marked values were salted with is not known any more.
        ("wf_003", 3, "payload"),
    ),
    "moved": (
        "UPDATE stored_events SET originator_id = 'wf_003', originator_version = 60 " + WHERE.format("wf_006", 4),
        # Its marked values had their salts from the key of another workflow.
        ("wf_006", 4, "payload"),
    ),
}


@pytest.mark.parametrize("damage", ["payload", "key", "line ends"])
def test_of_what_is_damaged_nothing_is_shown_where_anything_is_to_be_cut_out(
    damage: str, stocked: WorkflowStore, home: Path
) -> None:
    statement, (name, version, _) = DAMAGES[damage]
    with contextlib.closing(sqlite3.connect(home / "handrail.db")) as connection, connection:
        assert connection.execute(statement).rowcount == 1
    content = exported(stocked, rules=["@marked", "iban"])
    digits = b"000" + name[-1].encode()
    assert b"NL" + digits not in content
    assert b'"state":""' in content
    ours, alone = verdicts(content, None)
    assert ours[1][0][1:] == (name, version, "damaged")
    assert ours == alone


@pytest.mark.parametrize(
    ("statement", "version"),
    [
        ("UPDATE stored_events SET originator_version = 'none' " + WHERE.format("wf_003", 2), 2),
        ("UPDATE stored_events SET originator_version = 'none' " + WHERE.format("wf_003", 4), 4),
        ("UPDATE workflow_keys SET key = 'zz' WHERE workflow_id = 'wf_003'", 1),
        ("UPDATE workflow_keys SET key = 'zz' WHERE workflow_id = 'wf_004'", 1),
    ],
)
@pytest.mark.parametrize(("events", "bytes_"), [(2_000, 8_388_608), (3, 900)])
def test_a_number_or_a_key_that_is_none_is_told_of_its_workflow_alone(
    statement: str,
    version: int,
    events: int,
    bytes_: int,
    stocked: WorkflowStore,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However the workflow is read: with others at once, or a piece at a time."""
    before, name = exported(stocked), "wf_004" if "wf_004" in statement else "wf_003"
    with contextlib.closing(sqlite3.connect(home / "handrail.db")) as connection, connection:
        assert connection.execute(statement).rowcount == 1
    monkeypatch.setattr(reading, "EVENTS_A_READ", events)
    monkeypatch.setattr(reading, "BYTES_A_READ", bytes_)
    teller = Teller(Redaction())
    rows = b"".join(Table(teller).lines(reading.Histories(stocked, stocked.mapper.clear, Selection())))
    assert teller.first_damage is not None
    assert teller.first_damage.workflow_id == name
    assert teller.first_damage.version == version or events == 3, "its place is known where all are read at once"
    assert rows.count(b"\r\n") == teller.events + 1 == sum(map(len, histories(12))) + 1
    held = HeldAgainst()
    held.hold(stocked, stocked.mapper.clear, heads_in(before.splitlines(keepends=True)))
    assert {one.workflow for one in held.findings} == {name}
    assert held.findings[0].version == version


@pytest.mark.parametrize("version", [2, 4])
def test_a_seal_of_a_workflow_whose_event_has_no_number_tells_of_it(
    version: int, stocked: WorkflowStore, home: Path
) -> None:
    last = len(histories(12)[2])
    with contextlib.closing(sqlite3.connect(home / "handrail.db")) as connection, connection:
        connection.execute("UPDATE stored_events SET originator_version = 'none' " + WHERE.format("wf_003", version))
    made = JsonLines(Selection(), Redaction(()), seal=True)
    content = b"".join(made.lines(reading.Histories(stocked, stocked.mapper.clear, Selection())))
    assert made.first_damage == ("wf_003", last, "cannot be read")
    assert [one[1:] for one in verdicts(content, None)[0][1]] == [("wf_003", 0, "damaged")]
    assert len(workflows_in(content)) == 12


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_store_is_exported_as_it_is_and_found_out(damage: str, stocked: WorkflowStore, home: Path) -> None:
    statement, found = DAMAGES[damage]
    with contextlib.closing(sqlite3.connect(home / "handrail.db")) as connection, connection:
        assert connection.execute(statement).rowcount >= 1
    made = JsonLines(Selection(), Redaction(()))
    content = b"".join(made.lines(reading.Histories(stocked, stocked.mapper.clear, Selection())))
    assert made.first_damage is not None
    ours, alone = verdicts(content, None)
    assert ours[1][0][1:] == found
    assert ours == alone
    assert set(workflows_in(content)) == {f"wf_{number:03d}" for number in range(1, 13)}
    if damage not in {"all", "first"}:  # of what a workflow's first event says nothing is left
        rows = b"".join(Table(Teller(Redaction())).lines(reading.Histories(stocked, stocked.mapper.clear, Selection())))
        assert rows.count(b"\r\n") == made.events + made.damaged + 1
