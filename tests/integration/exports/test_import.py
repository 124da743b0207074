"""An export opened elsewhere: what is in it is there as it was, and nothing of it can be changed."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from deploy.importing import import_export
from deploy.loading import LoadedDefinitions
from deploy.opened import DATABASE_FILE, open_store
from domain.builtin import HEARTBEAT
from domain.errors import EventCorrupt, ImportedReadOnly, InputInvalid
from domain.store.application import WorkflowStore
from projections.exporting.reading import Selection
from projections.exporting.verifying import Check
from projections.replaying.reading import read_history
from projections.replaying.report import build
from projections.replaying.verdict import Word
from tests.integration.command_line import CommandLine
from tests.integration.exports.round_trip import states
from tests.integration.exports.stock import PAYING, exported, fill, heartbeat, histories, paying
from tests.integration.exports.store_tampering import held
from tests.integration.exports.tampering import CHECK, RULES, SIGNER

MARKED = ("@marked",)
EVENT = "WHERE originator_id = 'wf_003' AND originator_version = 4"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder of its own, so that what is left behind is seen."""
    made = tmp_path / "elsewhere"
    made.mkdir()
    return made


def imported(content: bytes, place: Path) -> WorkflowStore:
    file = place.parent / "export.jsonl"
    file.write_bytes(content)
    import_export(file, place / "home", check_signature=CHECK if b'"signer"' in content else None)
    return open_store(place / "home", LoadedDefinitions(), read_only=True)


@pytest.mark.parametrize("kind", ["stocked", "stocked_postgres"])
def test_exported_again_it_is_the_file_that_it_came_of(kind: str, place: Path, request: pytest.FixtureRequest) -> None:
    source: WorkflowStore = request.getfixturevalue(kind)
    for rules, signer in (((), None), (MARKED, None), (RULES, SIGNER)):
        content = exported(source, rules=rules, signer=signer)
        store = imported(content, place)
        assert exported(store) == content, rules
        assert exported(store, Selection(upto=store.newest())) == content, rules
        assert held(store, content) == [], "salts and all fit the digests"
        some = Selection(("wf_002", "wf_003"))
        lines = exported(source, some, rules=rules).splitlines()
        assert exported(store, some).splitlines()[:-1] == lines[:-1]
        assert json.loads(exported(store, some).splitlines()[-1]) == json.loads(lines[-1])
        store.close()
        shutil.rmtree(place / "home")


def test_heartbeats_that_were_exported_are_all_of_an_import(stocked: WorkflowStore, place: Path) -> None:
    fill(stocked, [heartbeat("wf_200")])
    content = exported(stocked, Selection(definition=HEARTBEAT))
    store = imported(content, place)
    assert b'"workflow":"wf_200"' in content
    assert exported(store) == content
    store.close()


def test_200_histories_come_to_the_same_states(place: Path, home: Path) -> None:
    source = open_store(home, LoadedDefinitions())
    fill(source, histories(200, seed=7))
    store = imported(exported(source), place)
    expected = list(states(source))
    assert all(digest and intact for _, digest, intact in expected)
    assert list(states(store)) == expected
    ((workflows,),) = store.query("SELECT count(*) FROM workflows")
    assert workflows == 200, "the views have them all"
    store.close()
    source.close()


def test_postgresql_and_its_import_come_to_the_same_states(stocked_postgres: WorkflowStore, place: Path) -> None:
    store = imported(exported(stocked_postgres), place)
    assert list(states(store)) == list(states(stocked_postgres))
    store.close()


def test_what_does_not_verify_is_refused_and_nothing_is_made(stocked: WorkflowStore, place: Path) -> None:
    lines = exported(stocked).splitlines(keepends=True)
    number = next(at for at, line in enumerate(lines) if b'"worker":"w"' in line)
    lines[number] = lines[number].replace(b'"worker":"w"', b'"worker":"x"')
    with pytest.raises(InputInvalid, match=rf"line {number + 1}, workflow wf_\d+, event \d+: payload: ") as refused:
        imported(b"".join(lines), place)
    assert "does not verify, and nothing was imported" in str(refused.value)
    with pytest.raises(InputInvalid, match="manifest: is missing"):
        imported(b"".join(exported(stocked).splitlines(keepends=True)[:-1]), place)
    with pytest.raises(InputInvalid, match="is a seal, which has no events"):
        imported(b'{"format":"handrail.seal.v1"}\n', place)
    file = place.parent / "export.jsonl"
    file.write_bytes(exported(stocked))
    with pytest.raises(InputInvalid, match="signature: is missing"):
        import_export(file, place / "home", check_signature=CHECK)
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("doing", ["verifying", "importing", "building views"])
def test_one_that_is_interrupted_leaves_nothing(doing: str, stocked: WorkflowStore, place: Path) -> None:
    file = place.parent / "export.jsonl"
    file.write_bytes(exported(stocked))

    def interrupt(what: str, _: int) -> None:
        if what == doing:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_export(file, place / "home", tell=interrupt)
    assert list(place.iterdir()) == []
    import_export(file, place / "home")
    assert [one.name for one in place.iterdir()] == ["home"]
    assert [one.name for one in (place / "home").iterdir()] == [DATABASE_FILE]


def test_a_file_that_is_changed_after_it_was_verified_is_refused(stocked: WorkflowStore, place: Path) -> None:
    file = place.parent / "export.jsonl"
    content = exported(stocked)
    file.write_bytes(content)

    def change(what: str, _: int) -> None:
        if what == "importing":
            file.write_bytes(content + b"\n")

    with pytest.raises(InputInvalid, match="was changed while it was read"):
        import_export(file, place / "home", tell=change)
    assert list(place.iterdir()) == []


def test_one_without_events_does_not_tell_up_to_when(stocked: WorkflowStore, place: Path) -> None:
    imported(exported(stocked, Selection(upto=0)), place).close()
    with pytest.raises(ImportedReadOnly, match=r"on \d{4}-.* UTC, has no events, and is never changed"):
        open_store(place / "home", LoadedDefinitions())


def test_the_command_that_says_more_has_the_key(stocked: WorkflowStore, place: Path) -> None:
    file, key = place.parent / "export.jsonl", place / "my keys.pub"
    file.write_bytes(exported(stocked))
    with pytest.raises(InputInvalid) as refused:
        import_export(file, place / "home", check_signature=CHECK, key=key)
    assert f"`handrail verify {file} --key '{key}'` names them" in str(refused.value)


def test_only_a_free_place_is_taken(stocked: WorkflowStore, place: Path) -> None:
    (place / "home").mkdir()
    imported(exported(stocked), place).close()
    with pytest.raises(InputInvalid, match="there is something already"):
        imported(exported(stocked), place)


def test_a_copy_is_as_much_an_import(stocked: WorkflowStore, place: Path) -> None:
    imported(exported(stocked), place).close()
    shutil.copytree(place / "home", place / "copy")
    (place / "copy" / DATABASE_FILE).chmod(0o600)
    before = (place / "copy" / DATABASE_FILE).read_bytes()
    with pytest.raises(ImportedReadOnly, match=r"was imported from export.jsonl on \d{4}-.* name another home"):
        open_store(place / "copy", LoadedDefinitions())
    assert (place / "copy" / DATABASE_FILE).read_bytes() == before
    assert [one.name for one in (place / "copy").iterdir()] == [DATABASE_FILE]


def test_what_is_changed_in_it_is_found(stocked: WorkflowStore, place: Path) -> None:
    content = exported(stocked, rules=MARKED)
    imported(content, place).close()
    database = place / "home" / DATABASE_FILE
    database.chmod(0o600)
    with sqlite3.connect(database) as connection:
        change = "UPDATE stored_events SET state = CAST(replace(CAST(state AS TEXT), ?, ?) AS BLOB)"
        assert connection.execute(f"{change} {EVENT}", ('"worker":"w"', '"worker":"x"')).rowcount == 1
    connection.close()
    store = open_store(place / "home", LoadedDefinitions(), read_only=True)
    assert [(one.workflow, one.version, one.check) for one in held(store, content)] == [("wf_003", 4, Check.PAYLOAD)]
    assert exported(store) != content
    store.close()


def test_a_live_store_may_not_withhold(stocked: WorkflowStore) -> None:
    """The marks of an import mean nothing where none was: a payload that is gone there is damage."""
    content = exported(stocked)
    with stocked.transaction() as cursor:
        ((state,),) = cursor.query(f"SELECT state FROM stored_events {EVENT}")
        header, digests, _ = bytes(state).split(b"\n", 2)
        cursor.execute(
            f"UPDATE stored_events SET state = ? {EVENT}", (b"\n".join((header, digests + b" withheld", b"")),)
        )
    assert [(one.workflow, one.version, one.check) for one in held(stocked, content)] == [("wf_003", 4, Check.DAMAGED)]
    with pytest.raises(EventCorrupt, match="workflow wf_003 event 4"):
        stocked.read("wf_003")


# --- what is withheld -----------------------------------------------------------------------------------------------


def test_a_replay_says_what_is_not_known_and_calls_it_no_damage(stocked: WorkflowStore, place: Path) -> None:
    store = imported(exported(stocked, rules=("input.amount",)), place)
    with store.reading() as cursor:
        history = read_history(cursor, store.mapper.read, "wf_003")
    assert history is not None
    report = build(history, LoadedDefinitions([PAYING]), lambda _: None)
    assert (report.broken, report.unreadable, report.first_cause) == (None, (), None)
    assert (report.withheld[0], report.verdict.word, report.verdict.version) == (1, Word.WITHHELD, 1)
    assert report.state_digest == ""
    store.close()


def test_values_that_were_cut_out_are_no_divergence(stocked: WorkflowStore, place: Path) -> None:
    store = imported(exported(stocked, rules=MARKED), place)
    with store.reading() as cursor:
        history = read_history(cursor, store.mapper.read, "wf_003")
    assert history is not None
    report = build(history, LoadedDefinitions([PAYING]), lambda _: None)
    assert (report.broken, report.withheld, report.cut) == (None, (), (3, 4))
    assert report.verdict.word is Word.WITHHELD
    assert "values are cut out of event 3" in report.verdict.words
    assert report.state_digest == ""
    store.close()


# --- the command line -----------------------------------------------------------------------------------------------

FORKING = ("fork", "wf_003", "--at", "3", "--by", "rita", "--reason", "no")
WRITING = (
    ("run", "--goal", "paying"),
    ("resume", "wf_002"),
    ("resume",),
    ("approve", "wf_002", "--by", "rita"),
    ("reject", "wf_002", "--by", "rita", "--reason", "no"),
    *(
        (verb, "wf_002", *step, "--by", "rita", "--reason", "no")
        for verb, step in {
            "retry": ("--step", "second"),
            "skip": ("--step", "second"),
            "cancel": (),
            "pause": (),
            "unpause": (),
            "erase": (),
        }.items()
    ),
    ("archive", "--older-than", "1d", "-o", "archive.jsonl", "--by", "rita", "--reason", "no", "--yes"),
    ("signal", "paid", "1"),
    FORKING,
    ("restore", "--by", "rita", "--reason", "no"),
    ("stuck",),
    ("projections", "verify", "workflows"),
    ("projections", "rebuild", "workflows"),
    ("token", "list"),
)


def test_the_command_line_imports_and_then_only_looks(
    stocked: WorkflowStore, handrail: CommandLine, place: Path
) -> None:
    fill(stocked, [list(paying("wf_100", 100))])
    stocked.close()
    assert handrail("export", "--all", "-o", "all.jsonl").code == 0
    assert handrail("import", "all.jsonl", "--home", "there").code == 2
    assert handrail("import", "all.jsonl", "--read-only").code == 2
    missing = handrail("import", "al.jsonl", "--read-only", "--home", "there")
    assert (missing.code, "al.jsonl: cannot be read: No such file" in missing.errors) == (2, True), missing
    made = handrail("import", "all.jsonl", "--read-only", "--home", "there", "--json")
    assert made.code == 0, made.errors
    assert (made.document["workflows"], made.document["withheld"], made.document["signature"]) == (13, 0, "none")
    database = handrail.folder / "there" / DATABASE_FILE
    before = database.read_bytes()
    endings = {arguments: handrail(*arguments, "--home", "there") for arguments in WRITING}
    assert {name: one for name, one in endings.items() if "was imported from all.jsonl" not in one.errors} == {}
    assert {one.code for one in endings.values()} == {2}
    assert "a second time" not in endings[FORKING].errors, "of what is refused anyway no effects are listed"
    assert "definition 'paying' version '1' is not loaded" in handrail(*FORKING, "--dry-run", "--home", "there").errors
    for arguments in (
        ("list",),
        ("failures",),
        ("show", "wf_003"),
        ("history", "wf_003"),
        ("replay", "wf_003", "--at", "3"),
        ("replay", "wf_003", "--diff", "1", "3"),
        ("verify", "all.jsonl", "--store"),
        ("export", "--all", "-o", "again.jsonl"),
        ("export", "wf_003", "--format", "mermaid", "-o", "one.mmd"),
        ("export", "--all", "--format", "csv", "-o", "all.csv"),
        ("projections", "status"),
    ):
        ended = handrail(*arguments, "--home", "there")
        assert ended.code == 0, (arguments, ended)
    assert (handrail.folder / "again.jsonl").read_bytes() == (handrail.folder / "all.jsonl").read_bytes()
    assert handrail("compare", "wf_003", "wf_006", "--home", "there").code == 1
    here, there = (handrail("replay", "wf_003", "--json", *more).document for more in ((), ("--home", "there")))
    assert here["state_digest"] == there["state_digest"] != ""
    assert len(handrail("list", "--home", "there").lines) == 14
    of_one = handrail("list", "--definition", "paying", "--home", "there", "--json").document
    assert {one["definition"] for one in of_one} == {"paying"}
    offered = "retries the steps that wait"
    assert offered in handrail("failures").errors
    of_import = handrail("failures", "--home", "there").errors
    assert (offered in of_import, "this is an import: nothing of it can be changed" in of_import) == (False, True)
    assert database.read_bytes() == before
    # Who asks for the home's lock may leave that behind.
    assert {one.name for one in database.parent.iterdir()} <= {DATABASE_FILE, "lock"}


def test_the_command_line_says_what_is_withheld(stocked: WorkflowStore, handrail: CommandLine) -> None:
    stocked.close()
    assert handrail("export", "--all", "--redact", "goal", "-o", "some.jsonl").code == 0
    made = handrail("import", "some.jsonl", "--read-only", "--home", "there")
    assert (made.code, "22 payloads withheld: of 12 workflows no more" in made.errors) == (0, True), made.errors
    shown = handrail("show", "wf_003", "--home", "there")
    assert (shown.code, "the payload of event 1 is withheld" in shown.out) == (0, True), shown
    assert "erased" not in shown.out
    lines = [json.loads(line) for line in handrail("history", "wf_003", "--home", "there").lines]
    assert [line.get("withheld", False) for line in lines] == [True, False, False, False, False]
    replayed = handrail("replay", "wf_003", "--home", "there")
    assert (replayed.code, "not whole: " in replayed.out) == (3, True), replayed
    assert handrail("replay", "--all", "--home", "there").code == 3
    listed = handrail("list", "--home", "there", "--json").document
    assert {one["workflow_id"] for one in listed} == {f"wf_{number:03d}" for number in range(1, 13)}
    of_one = handrail("list", "--definition", "paying", "--home", "there")
    assert (of_one.code, len(of_one.lines), "payloads are withheld" in of_one.errors) == (0, 0, True), of_one
    for arguments in (("approve", "wf_003", "--by", "rita"), ("cancel", "wf_003", "--by", "rita", "--reason", "no")):
        refused = handrail(*arguments, "--home", "there")
        assert (refused.code, "was imported from some.jsonl" in refused.errors) == (2, True), refused
    refused = handrail("compare", "wf_003", "wf_006", "--home", "there")
    assert (refused.code, "the payload of its first event is withheld" in refused.errors) == (2, True)
