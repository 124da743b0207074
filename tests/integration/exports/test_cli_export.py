"""`handrail export` and `handrail verify`, with the real program and the stand-alone verifier."""

import contextlib
import csv
import io
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from deploy.cli import exporting
from deploy.cli.main import main
from domain.store.application import WorkflowStore
from projections.exporting.jsonl import FIRST_LINE, workflow_line
from projections.exporting.table import COLUMNS
from tests.integration.command_line import LIMIT_SECONDS, ROOT, CommandLine, Ended
from tests.integration.exports.forms import FORMS, check
from tests.integration.exports.stock import histories
from tests.integration.exports.test_stores import DAMAGES
from tests.integration.watched import contents, rows_of, watched
from tests.servers.postgres import Database

ALONE = ROOT / "deploy" / "verify_export.py"


@pytest.fixture
def kept(stocked: WorkflowStore, handrail: CommandLine) -> CommandLine:
    """The program, in a folder whose home has twelve histories."""
    return handrail


@pytest.fixture
def keys(handrail: CommandLine) -> Path:
    """Two pairs of keys: `mine.pem` and `mine.pub`, `other.pem` and `other.pub`."""
    for name in ("mine", "other"):
        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (handrail.folder / f"{name}.pem").write_bytes(private)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (handrail.folder / f"{name}.pub").write_bytes(public)
    return handrail.folder


def alone(folder: Path, *arguments: str, before: str = "") -> Ended:
    """Run the stand-alone verifier as those do who have nothing else: isolated, without our packages."""
    run = f"runpy.run_path({str(ALONE)!r}, run_name='__main__')"
    script = f"{before}\nimport runpy, sys\nsys.argv = {['verify', *arguments]!r}\n{run}\n"
    ended = subprocess.run(
        [sys.executable, "-I", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


NO_CRYPTOGRAPHY = "import sys\nsys.modules['cryptography'] = None\nsys.modules['cryptography.exceptions'] = None"


def test_it_is_exported_and_verified(kept: CommandLine) -> None:
    written = kept("export", "--all", "-o", "all.jsonl")
    assert (written.code, written.out) == (0, ""), written.errors
    assert "holds 12 workflows with " in written.errors
    assert (kept.folder / "all.jsonl").stat().st_mode & 0o077 == 0
    verified, by_itself = kept("verify", "all.jsonl"), alone(kept.folder, "all.jsonl")
    assert (verified.code, by_itself.code) == (0, 0), by_itself.errors
    assert verified.out == by_itself.out
    assert verified.out.startswith("sound: 12 workflows, ")
    documents = [kept("verify", "all.jsonl", "--json").document, alone(kept.folder, "all.jsonl", "--json").document]
    assert documents[0] == documents[1]
    told = kept("export", "--all", "-o", "again.jsonl", "--json").document
    assert (told["workflows"], told["root"], told["damage"]) == (12, documents[0]["root"], None)
    assert (kept.folder / "again.jsonl").read_bytes() == (kept.folder / "all.jsonl").read_bytes()


def test_what_was_changed_is_named_by_both(kept: CommandLine) -> None:
    kept("export", "--all", "-o", "all.jsonl")
    lines = (kept.folder / "all.jsonl").read_bytes().splitlines(keepends=True)
    lines[4] = lines[4].replace(b'"version":3', b'"version":4')
    (kept.folder / "bad.jsonl").write_bytes(b"".join(lines))
    for ended in (kept("verify", "bad.jsonl"), alone(kept.folder, "bad.jsonl")):
        assert ended.code == 1
        assert ended.lines[0].startswith("line 5, workflow wf_001, event 3: digest: was changed")
        assert ended.lines[-2].startswith("WRONG: 12 workflows")


def test_alone_it_bears_a_reader_that_leaves_and_a_terminal_of_ascii(kept: CommandLine) -> None:
    line = workflow_line("Zoë", 2, 1, "0" * 64)
    (kept.folder / "made-up.jsonl").write_bytes(FIRST_LINE + line * 30)
    script = f"{sys.executable} {ALONE} made-up.jsonl | head -1"
    ended = subprocess.run(
        ["sh", "-c", script],
        cwd=kept.folder,
        env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert ended.stdout.startswith("line 2, workflow Zo?: order: ")
    assert ended.stderr == ""


def test_a_signature_is_checked_by_the_key_that_is_given(kept: CommandLine, keys: Path) -> None:
    assert kept("export", "--all", "--sign", "mine.pem", "-o", "signed.jsonl").code == 0
    kept("export", "--all", "-o", "plain.jsonl")
    for arguments, code, words in (
        (("signed.jsonl", "--key", "mine.pub"), 0, "signature sound"),
        (("signed.jsonl", "--key", "other.pub"), 1, "signature: is not the signature of this manifest"),
        (("signed.jsonl",), 3, "signature not checked"),
        (("plain.jsonl", "--key", "mine.pub"), 1, "signature: is missing"),
        (("plain.jsonl",), 0, "not signed"),
    ):
        for ended in (kept("verify", *arguments), alone(keys, *arguments)):
            assert ended.code == code, (arguments, ended)
            assert words in ended.out
    without = alone(keys, "signed.jsonl", "--key", "mine.pub", before=NO_CRYPTOGRAPHY)
    assert (without.code, without.lines[-1]) == (3, "signature not checked")
    without = alone(keys, "plain.jsonl", "--key", "mine.pub", before=NO_CRYPTOGRAPHY)
    assert (without.code, "is missing" in without.out) == (1, True)


def test_openssl_verifies_the_signature(kept: CommandLine, keys: Path) -> None:
    kept("export", "--all", "--sign", "mine.pem", "-o", "signed.jsonl")
    manifest, signature = (keys / "signed.jsonl").read_bytes().splitlines()[-2:]
    (keys / "manifest").write_bytes(manifest[len(b'{"manifest":') : manifest.rindex(b',"check":')])
    (keys / "signature").write_bytes(bytes.fromhex(json.loads(signature)["signature"]["value"]))
    command = "openssl pkeyutl -verify -pubin -inkey mine.pub -rawin -in manifest -sigfile signature"
    assert subprocess.run(command.split(), cwd=keys, capture_output=True, check=False).returncode == 0


def test_csv_has_a_row_for_each_event_and_no_formula(kept: CommandLine) -> None:
    assert kept("export", "--all", "--format", "csv", "--redact", "iban", "-o", "all.csv").code == 0
    content = (kept.folder / "all.csv").read_bytes()
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    made = [one for events in histories(12) for one in events]
    assert list(rows[0]) == list(COLUMNS)
    assert [(row["workflow"], int(row["version"]), row["digest"]) for row in rows] == [
        (one.originator_id, one.originator_version, one.digest) for one in made
    ]
    assert {row["shown"] for row in rows} == {"whole", "cut", "withheld"}
    assert b"NL0003" not in content
    assert {row["status"] for row in rows} > {"executing", "completed"}
    assert content.count(b"\r\n") == len(made) + 1
    assert all(not cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())


@pytest.mark.parametrize("form", FORMS)
def test_the_forms_for_other_programs_are_written_whole_and_counted(form: str, kept: CommandLine) -> None:
    told = kept("export", "--all", "--format", form, "--redact", "iban", "-o", "file", "--json")
    assert (told.code, told.errors) == (0, "")
    document = told.document
    assert (document["format"], document["workflows"], document["events"]) == (form, 12, sum(map(len, histories(12))))
    assert document["withheld"] > 0
    assert document["cut"] > 0
    content = (kept.folder / "file").read_bytes()
    assert document["size"] == len(content)
    check(form, content)
    assert b"NL0003" not in content
    assert kept("export", "--all", "--format", form, "--redact", "iban", "-o", "again").code == 0
    assert (kept.folder / "again").read_bytes() == content


@pytest.mark.parametrize("form", ["csv", *FORMS])
def test_of_a_damaged_store_it_is_said_in_any_form(form: str, kept: CommandLine) -> None:
    with contextlib.closing(sqlite3.connect(kept.home / "handrail.db")) as connection, connection:
        connection.execute(DAMAGES["payload"][0])
    written = kept("export", "--all", "--format", form, "-o", "file")
    assert written.code == 1
    assert "the store is damaged: workflow wf_003, event 1 cannot be read, or was changed" in written.errors
    assert "`handrail replay --all` names all such workflows" in written.errors
    assert (kept.folder / "file").stat().st_size > 0


def test_mermaid_draws_one(kept: CommandLine) -> None:
    assert kept("export", "wf_003", "--format", "mermaid", "-o", "wf.mmd").code == 0
    assert (kept.folder / "wf.mmd").read_text().startswith("sequenceDiagram\n    participant people")


@pytest.mark.parametrize("form", ["mermaid", "html"])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("payload", "workflow wf_003, event 1 is where its record breaks: the payload of event 1 was changed"),
        ("middle", "workflow wf_003, event 2 is where its record breaks: event 2 is missing"),
        ("bytes", "workflow wf_004, event 2 is where its record breaks: event 2 is damaged"),
    ],
)
def test_of_one_that_is_damaged_it_is_said_as_well(form: str, damage: str, words: str, kept: CommandLine) -> None:
    statement, (name, _, _) = DAMAGES[damage]
    with contextlib.closing(sqlite3.connect(kept.home / "handrail.db")) as connection, connection:
        connection.execute(statement)
    written = kept("export", name, "--format", form, "-o", "file")
    assert (written.code, words in written.errors) == (1, True), written.errors
    assert (kept.folder / "file").stat().st_size > 0


def test_what_the_file_does_not_show_the_store_does(kept: CommandLine) -> None:
    """The columns beside an event are not in a file: what was changed of them alone is found by a replay."""
    with contextlib.closing(sqlite3.connect(kept.home / "handrail.db")) as connection, connection:
        connection.execute("UPDATE stored_events SET topic = 'StepSkipped' WHERE originator_id = 'wf_003' AND id > 12")
    written = kept("export", "--all", "-o", "all.jsonl")
    assert (written.code, "`handrail replay --all` names all such workflows" in written.errors) == (1, True)
    replayed = kept("replay", "--all")
    assert (replayed.code, "wf_003" in replayed.out) == (1, True), replayed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "say what to export"),
        (("wf_001", "--all"), "not both"),
        (("wf_099",), "there is no workflow 'wf_099'"),
        (("--all", "--format", "xml"), "choose one of jsonl, csv, cloudevents"),
        (("--all", "--format", "mermaid"), "shows one workflow"),
        (("wf_001", "--format", "mermaid", "--redact", "x"), "--redact is for the others"),
        (("--since", "yesterday"), "is no instant"),
        (("--all", "--upto", "99999"), "the log has positions up to"),
        (("--all", "--redact", "a..b"), "is no rule"),
        (("--all", "--sign", "nothing.pem"), "cannot be read"),
        (("--all", "--sign", "junk.pem"), "is no private key"),
        (("--all", "--format", "csv", "--sign", "mine.pem"), "only --format jsonl has"),
        (("--all", "--format", "ocel", "--sign", "mine.pem"), "only --format jsonl has"),
        (("--all", "-o", "there.jsonl"), "exists already"),
        (("--all", "-o", "nowhere/x.jsonl"), "does not exist"),
        (("--all", "-o", ".", "--force"), "is a folder"),
        (("--all", "-o", "-"), "cannot go to the standard output"),
        (("--all", "-o", "pipe", "--force"), "is no plain file"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    arguments: tuple[str, ...], words: str, kept: CommandLine, keys: Path
) -> None:
    (kept.folder / "there.jsonl").write_text("mine")
    (kept.folder / "junk.pem").write_text("secret stuff")
    (kept.folder / "pipe").symlink_to("/dev/null")
    before = sorted(kept.folder.iterdir())
    output = () if "-o" in arguments else ("-o", "new.jsonl")
    refused = kept("export", *arguments, *output)
    assert (refused.code, refused.out, refused.errors.count("\n")) == (2, "", 1), refused
    assert words in refused.errors
    assert "secret stuff" not in refused.errors
    assert sorted(kept.folder.iterdir()) == before
    assert (kept.folder / "there.jsonl").read_text() == "mine"


def test_it_says_on_stderr_how_far_it_has_come(
    stocked: WorkflowStore, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(exporting, "PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(exporting, "INTERVALS", 50)
    assert main(["export", "--all", "--home", str(home), "-o", str(home / "all.jsonl")]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    told = [line for line in said.err.splitlines() if line.endswith("events/s")]
    assert len(told) == ((home / "all.jsonl").read_bytes().count(b"\n") + 49) // 50
    counts = [int(line.split()[0]) for line in told]
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


def test_force_replaces_the_file(kept: CommandLine) -> None:
    (kept.folder / "there.jsonl").write_text("mine")
    assert kept("export", "wf_001", "-o", "there.jsonl", "--force").code == 0
    assert kept("verify", "there.jsonl").code == 0


def test_what_cannot_be_verified_is_refused_or_wrong(kept: CommandLine, keys: Path) -> None:
    (kept.folder / "empty").write_bytes(b"")
    (kept.folder / "picture").write_bytes(bytes(range(256)) * 40)

    def ours(*given: str) -> Ended:
        return kept("verify", *given)

    def by_itself(*given: str) -> Ended:
        return alone(kept.folder, *given)

    for run in (ours, by_itself):
        assert (run("empty").code, run("picture").code) == (1, 1)
        assert run("picture").lines[0].startswith("line 1: format: ")
        for arguments in (("nothing",), ("empty", "--key", "nothing"), ("empty", "--key", "empty"), (".",)):
            refused = run(*arguments)
            assert (refused.code, refused.errors.count("\n")) == (2, 1), (arguments, refused)


def test_a_file_that_somebody_made_up_does_nothing_to_the_terminal(kept: CommandLine) -> None:
    line = workflow_line("wf\x1b[2J\u202e" + "x" * 10_000, 2, 1, "0" * 64)
    (kept.folder / "made-up.jsonl").write_bytes(FIRST_LINE + line + b"[" * 200_000 + b"\n" + line * 100)
    for ended in (kept("verify", "made-up.jsonl"), alone(kept.folder, "made-up.jsonl")):
        assert ended.code == 1, ended.errors
        assert ended.lines[0].startswith("line 2, workflow wf?[2J?xxx")
        assert ended.out.replace("\n", "").isprintable()
        assert len(ended.out) < 25 * 1_500
        assert ended.lines[-3].startswith("and ")


def test_the_store_is_not_changed_and_nothing_but_the_file_is_written(kept: CommandLine) -> None:
    before = contents(kept.home), rows_of(kept.home / "handrail.db")
    # The hook lets nobody write at all: the export comes as far as its file.
    refused = watched(kept, "export", "--all", "-o", "all.jsonl")
    assert "all.jsonl" in refused.errors
    assert "forbidden" in refused.errors
    kept("export", "--all", "-o", "all.jsonl")
    assert watched(kept, "verify", "all.jsonl").code == 0
    assert (contents(kept.home), rows_of(kept.home / "handrail.db")) == before


def test_a_shared_store_gives_the_same_file(
    kept: CommandLine, stocked_postgres: WorkflowStore, database: Database
) -> None:
    assert kept("export", "--all", "-o", "home.jsonl").code == 0
    assert kept("migrate", HANDRAIL_STORE=database.url).code == 0
    shared = kept("export", "--all", "-o", "shared.jsonl", HANDRAIL_STORE=database.url)
    assert shared.code == 0, shared.errors
    assert (kept.folder / "home.jsonl").read_bytes() == (kept.folder / "shared.jsonl").read_bytes()


def test_a_login_that_may_only_read_is_enough(
    kept: CommandLine, stocked_postgres: WorkflowStore, database: Database
) -> None:
    assert kept("migrate", HANDRAIL_STORE=database.url).code == 0
    role = "handrail_exporter"
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'reads'".encode())
        try:
            connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}".encode())
            parts = urlsplit(database.url)
            reader = urlunsplit(parts._replace(netloc=f"{role}:reads@{parts.netloc.rpartition('@')[2]}"))
            for arguments in (("export", "--all", "-o", "all.jsonl"), ("seal", "-o", "all.seal")):
                written = kept(*arguments, HANDRAIL_STORE=reader)
                assert written.code == 0, written.errors
            assert kept("verify", "all.seal", "--store", HANDRAIL_STORE=reader).code == 0
        finally:
            connection.execute(f"DROP OWNED BY {role}".encode())
            connection.execute(f"DROP ROLE {role}".encode())


def test_a_definition_that_nothing_is_called_makes_no_file(stocked: WorkflowStore, handrail: CommandLine) -> None:
    stocked.close()
    for form in ("jsonl", "ocel"):
        refused = handrail("export", "--definition", "payin", "--format", form, "-o", "some.jsonl")
        assert (refused.code, "--definition 'payin': none is loaded" in refused.errors) == (2, True), refused
    assert not (handrail.folder / "some.jsonl").exists()
    assert handrail("list").code == 0, "the views have the names now"
    for number, spelt in enumerate(("paying", "Paying")):
        assert handrail("export", "--definition", spelt, "-o", f"{number}.jsonl").code == 0
    assert (handrail.folder / "0.jsonl").read_bytes() == (handrail.folder / "1.jsonl").read_bytes()
    none = handrail("export", "--definition", "paying", "--since", "2999-01-01T00:00Z", "-o", "none.jsonl")
    assert (none.code, "holds 0 workflows" in none.errors) == (0, True), none
