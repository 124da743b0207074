"""Whoever makes the checks of lines anew, and not all of them, is found out as well, by both verifiers alike."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from deploy.importing import import_export
from domain.chain import canonical, link
from domain.errors import InputInvalid
from domain.store.application import WorkflowStore
from projections.exporting.jsonl import JsonLines, workflow_line
from projections.exporting.reading import Exported, Histories, Selection
from projections.exporting.redaction import Redaction
from projections.exporting.tree import Tree
from tests.integration.exports.stock import exported
from tests.integration.exports.tampering import SIGNER, verdicts

Manifest = dict[str, Any]


def found(content: bytes) -> tuple[int, str]:
    """Line and check of the first finding; the verifiers agree on all of them."""
    ours, alone = verdicts(content, None)
    assert ours == alone
    return ours[1][0][0], ours[1][0][3]


def with_manifest(content: bytes, change: Callable[[Manifest], bytes | None]) -> tuple[bytes, int]:
    """The export with another manifest, whose own check fits; the line it is in."""
    lines = content.splitlines(keepends=True)
    manifest = json.loads(lines[-1])["manifest"]
    document = change(manifest) or canonical(manifest)
    line = b'{"manifest":%b,"check":"%b"}\n' % (document, sha256(document).hexdigest().encode())
    return b"".join([*lines[:-1], line]), len(lines)


def replaced(name: str, value: Any) -> Callable[[Manifest], None]:
    return lambda manifest: manifest.update({name: value})


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (replaced("workflows", 11), "manifest"),
        (replaced("events", 1), "manifest"),
        (replaced("by_type", {}), "manifest"),
        (replaced("earliest", "2030-01-01T00:00:00.5+00:00"), "manifest"),
        (replaced("latest", ""), "manifest"),
        (replaced("damaged", 1), "manifest"),
        (replaced("withheld", 1), "manifest"),
        (replaced("format", "handrail.seal.v1"), "manifest"),
        (replaced("more", True), "manifest"),
        (lambda manifest: manifest.pop("selection") and None, "manifest"),
        (lambda manifest: json.dumps(manifest).encode(), "manifest"),
        (replaced("damaged", False), "manifest"),
        (replaced("cut", -1), "manifest"),
        (replaced("cut", True), "manifest"),
        (replaced("redacted", 7), "manifest"),
        (replaced("redacted", [{"a": 1}]), "manifest"),
        (replaced("selection", 5), "manifest"),
        (replaced("selection", {"all": 1}), "manifest"),
        (replaced("selection", {"more": True}), "manifest"),
        (replaced("selection", {"since": 7}), "manifest"),
        (replaced("selection", {"upto": "7"}), "manifest"),
        (replaced("selection", {"workflows": "wf_001"}), "manifest"),
        (replaced("signer", 7), "manifest"),
        (replaced("root", "0" * 64), "root"),
        (replaced("content", "0" * 64), "content"),
    ],
)
def test_a_manifest_that_does_not_fit_what_is_there(
    change: Callable[[Manifest], bytes | None], check: str, stocked: WorkflowStore
) -> None:
    content, line = with_manifest(exported(stocked), change)
    assert found(content) == (line, check)


def test_a_signature_that_was_taken_away_is_missed_without_a_key(stocked: WorkflowStore) -> None:
    lines = exported(stocked, signer=SIGNER).splitlines(keepends=True)
    assert found(b"".join(lines[:-1])) == (len(lines), "signature")
    content, line = with_manifest(b"".join(lines[:-1]), lambda manifest: manifest.pop("signer") and None)
    # Without a key nothing tells an export that never was signed: that is what `--key` is for.
    assert verdicts(content, None)[0] == ("none", [])
    assert found(content + lines[-1]) == (line + 1, "order")


def event_line(header: bytes, previous: str, payload: bytes) -> tuple[bytes, str]:
    digest = sha256(payload).hexdigest()
    own = link(header, previous, digest)
    line = b'{"header":%b,"previous":"%b","payload_digest":"%b","digest":"%b","payload":%b}\n'
    return line % (header, previous.encode(), digest.encode(), own.encode(), payload), own


def parts(line: bytes) -> tuple[bytes, bytes]:
    """Header and preceding digest of an event's line."""
    header, rest = line.removeprefix(b'{"header":').split(b',"previous":"', 1)
    return header, rest[:64]


def test_a_forged_event_whose_own_digests_fit_breaks_the_chain(stocked: WorkflowStore) -> None:
    """Whoever changes an event and makes its digests anew is found at the next event, or by the workflow's line."""
    lines = exported(stocked).splitlines(keepends=True)

    def forged(number: int) -> bytes:
        header, previous = parts(lines[number])
        line, _ = event_line(header, previous.decode(), b'{"forged":true}')
        return b"".join([*lines[:number], line, *lines[number + 1 :]])

    assert found(forged(2)) == (4, "previous")
    last = next(number for number, line in enumerate(lines) if b'"number":2' in line) - 1
    assert found(forged(last)) == (last + 1, "head")


def test_an_event_that_was_put_behind_the_last_is_found(stocked: WorkflowStore) -> None:
    lines = exported(stocked).splitlines(keepends=True)
    last = next(number for number, line in enumerate(lines) if b'"number":2' in line) - 1
    header, _ = parts(lines[last])
    fields = json.loads(header)
    own = json.loads(lines[last])["digest"]
    line, _ = event_line(header.replace(b'"version":%d' % fields["version"], b'"version":99', 1), own, b"{}")
    assert found(b"".join([*lines[: last + 1], line, *lines[last + 1 :]])) == (last + 2, "version")


def test_a_workflow_that_was_made_anew_from_its_line_on_is_found_by_the_manifest(stocked: WorkflowStore) -> None:
    lines = exported(stocked).splitlines(keepends=True)
    end = next(number for number, line in enumerate(lines) if b'"number":2' in line)
    previous, made = "0" * 64, list[bytes]()
    for number in range(2, end):
        header, _ = parts(lines[number])
        line, previous = event_line(header, previous, b'{"forged":true}')
        made.append(line)
    begin = workflow_line("wf_001", 1, len(made), previous)
    content = b"".join([lines[0], begin, *made, *lines[end:]])
    assert found(content) == (len(lines), "root")


class Twice(Histories):
    """Histories, the second of which comes once more at the end."""

    def __iter__(self) -> Iterator[Exported]:
        made = [replace(one, rows=list(one.rows)) for one in super().__iter__()]
        return iter([*made, made[1]])

    def heads(self) -> Iterator[Exported]:
        made = list(super().heads())
        return iter([*made, made[1]])


@pytest.mark.parametrize("seal", [False, True])
def test_a_workflow_that_is_there_twice(seal: bool, stocked: WorkflowStore, tmp_path: Path) -> None:
    """All digests are made anew: nothing but the line of the workflow itself tells."""
    made = JsonLines(Selection(), Redaction(), seal=seal)
    lines = list(made.lines(Twice(stocked, stocked.mapper.clear, Selection())))
    again = next(number for number, line in enumerate(lines, start=1) if b'"number":13' in line)
    content = b"".join(lines)
    assert [one[1] for one in verdicts(content, None)] == [[(again, "wf_002", 0, "order")]] * 2
    if not seal:
        (tmp_path / "twice.jsonl").write_bytes(content)
        with pytest.raises(InputInvalid, match=r"does not verify, .* workflow wf_002: order: is there a second time"):
            import_export(tmp_path / "twice.jsonl", tmp_path / "there")


def test_a_number_that_no_column_holds_is_refused_and_nothing_is_made(stocked: WorkflowStore, tmp_path: Path) -> None:
    lines = exported(stocked).splitlines(keepends=True)
    end = next(number for number, line in enumerate(lines) if b'"number":2' in line)
    previous, made, tree = "0" * 64, list[bytes](), Tree()
    for number in range(2, end):
        header, _ = parts(lines[number])
        payload = lines[number].partition(b',"payload":')[2].removesuffix(b"}\n")
        line, previous = event_line(header, previous, payload.replace(b'"attempt":1', b'"attempt":%d' % 10**30))
        made.append(line)
    before = [lines[0], workflow_line("wf_001", 1, len(made), previous), *made, *lines[end:-1]]
    for line in before:
        if line.startswith(b'{"header":'):
            tree.add(bytes.fromhex(json.loads(line)["digest"]))
    fitting = {"root": tree.root(), "content": sha256(b"".join(before)).hexdigest()}
    content, _ = with_manifest(b"".join([*before, lines[-1]]), lambda manifest: manifest.update(fitting))
    assert verdicts(content, None)[0] == ("none", [])
    (tmp_path / "large.jsonl").write_bytes(content)
    with pytest.raises(InputInvalid, match="holds a number larger than any"):
        import_export(tmp_path / "large.jsonl", tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_what_is_no_text_is_in_no_id_and_no_header(stocked: WorkflowStore) -> None:
    """Half of a pair of surrogates stands in JSON as an escape, and no store can keep it."""
    lines = exported(stocked).splitlines(keepends=True)
    last = int(json.loads(lines[1])["last"])
    assert found(b"".join([lines[0], workflow_line("wf_\ud800", 1, last, "0" * 64), *lines[2:]])) == (2, "line")
    header, previous = parts(lines[2])
    for name in (b'"\\ud800"', b"7", b"{}"):
        line, _ = event_line(header.replace(b'"WorkflowStarted"', name), previous.decode(), b"{}")
        assert found(b"".join([*lines[:2], line, *lines[3:]])) == (3, "line")


def salted(lines: list[bytes]) -> tuple[int, bytes, bytes, bytes]:
    """A line with salts: its number, what is before them, they themselves, and the payload."""
    number = next(number for number, line in enumerate(lines) if b'"salts":{"/' in line)
    before, rest = lines[number].split(b',"salts":', 1)
    salts, rest = rest.split(b',"bytes":"', 1)
    return number, before, salts, rest[64:].removeprefix(b'","payload":').removesuffix(b"}\n")


@pytest.mark.parametrize(
    ("of_salts", "of_payload", "check"),
    [
        ((b"", b""), (b'"NL0003"', b'"NL0666"'), "payload"),
        ((b"", b""), (b'"DE0003"', b"null"), "salts"),
        ((b'{"/', b'{"/a":"' + b"0" * 64 + b'","/'), (b"", b""), "salts"),
        ((b'":"', b'": "'), (b"", b""), "salts"),
        ((b'":"', b'":"x'), (b"", b""), "salts"),
    ],
)
def test_a_marked_value_or_its_salt(
    of_salts: tuple[bytes, bytes], of_payload: tuple[bytes, bytes], check: str, stocked: WorkflowStore
) -> None:
    lines = exported(stocked).splitlines(keepends=True)
    number, before, salts, payload = salted(lines)
    salts, payload = salts.replace(*of_salts, 1), payload.replace(*of_payload, 1)
    digest = sha256(payload).hexdigest().encode()
    line = b'%b,"salts":%b,"bytes":"%b","payload":%b}\n' % (before, salts, digest, payload)
    assert line != lines[number]
    assert found(b"".join([*lines[:number], line, *lines[number + 1 :]])) == (number + 1, check)
