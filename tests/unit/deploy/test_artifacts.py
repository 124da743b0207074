"""The artifact store: content under its digest, linked by name; whole or not at all; names that lead nowhere else."""

import errno
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.artifacts import ArtifactStore, check_artifact_name
from domain.errors import Permanent
from domain.faultpoints import arm

DATA = b'{"decision": "approved"}\n'
DIGEST = hashlib.sha256(DATA).hexdigest()


def files_in(home: Path) -> list[str]:
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


def test_an_artifact_is_kept_by_digest_and_linked_by_name(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    written = store.write("wf_001", "decision.json", DATA)
    assert (written.name, written.digest, written.size) == ("decision.json", DIGEST, len(DATA))
    content, link = tmp_path / "artifacts" / DIGEST[:2] / DIGEST, tmp_path / "workflows" / "wf_001" / "decision.json"
    assert store.path(DIGEST) == content
    assert content.read_bytes() == DATA
    assert link.samefile(content)
    assert len(files_in(tmp_path)) == 2


def test_the_same_again_changes_nothing_and_another_content_takes_the_name_over(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    for _ in range(2):
        store.write("wf_001", "a.txt", DATA)
    store.write("wf_002", "a.txt", DATA)
    assert len(files_in(tmp_path)) == 3
    store.write("wf_001", "a.txt", b"later")
    assert (tmp_path / "workflows/wf_001/a.txt").read_bytes() == b"later"
    assert (tmp_path / "workflows/wf_002/a.txt").read_bytes() == DATA


def test_content_that_was_changed_on_disk_is_written_again(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    store.write("wf_001", "a.txt", DATA)
    content = store.path(DIGEST)
    content.chmod(0o644)
    content.write_bytes(b"x" * len(DATA))
    store.write("wf_001", "a.txt", DATA)
    assert content.read_bytes() == DATA
    assert (tmp_path / "workflows/wf_001/a.txt").read_bytes() == DATA


def test_where_there_are_no_hard_links_a_copy_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "not here")

    monkeypatch.setattr(os, "link", no_links)
    ArtifactStore(tmp_path).write("wf_001", "a.txt", DATA)
    assert (tmp_path / "workflows/wf_001/a.txt").read_bytes() == DATA


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = ArtifactStore(tmp_path)
    store.write("wf_001", "a.txt", DATA)
    before = files_in(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            store.write("wf_001", "a.txt", b"other")
    assert files_in(tmp_path) == before
    assert (tmp_path / "workflows/wf_001/a.txt").read_bytes() == DATA


def test_a_crash_at_either_point_leaves_a_whole_file_or_none(tmp_path: Path) -> None:
    class Dead(BaseException):
        pass

    def die(name: str) -> None:
        raise Dead(name)

    store = ArtifactStore(tmp_path)
    arm(die)
    try:
        with pytest.raises(Dead, match="before"):
            store.write("wf_001", "a.txt", DATA)
    finally:
        arm(None)
    assert files_in(tmp_path) == []


def test_many_at_once_are_all_whole(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(lambda number: store.write("wf_001", f"{number % 3}.txt", DATA), range(40)))
    assert {one.digest for one in written} == {DIGEST}
    assert files_in(tmp_path) == [f"artifacts/{DIGEST[:2]}/{DIGEST}", *(f"workflows/wf_001/{n}.txt" for n in range(3))]


@pytest.mark.parametrize(("replaced", "linked"), [(3, True), (1_000, False)])
def test_content_that_is_replaced_while_it_is_linked_is_linked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replaced: int, linked: bool
) -> None:
    link, tries = os.link, count(1)

    def gone_at_first(source: Path, target: Path, **_: object) -> None:
        if next(tries) <= replaced:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        link(source, target)

    monkeypatch.setattr(os, "link", gone_at_first)
    with nullcontext() if linked else pytest.raises(FileNotFoundError):
        ArtifactStore(tmp_path).write("wf_001", "a.txt", DATA)
    assert (tmp_path / "workflows/wf_001/a.txt").exists() is linked
    assert not [name for name in files_in(tmp_path) if ".tmp-" in name]


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "../x", "a/b", "/etc/passwd", "a\\b", "a\x00b", "a\nb", ".hidden", "-rf", "x" * 201, "é" * 101,
        "a:b", "con|", "\udcff", " a", "a ", "a.",
    ],
)  # fmt: skip
def test_a_name_that_is_no_plain_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Permanent, match="is no plain file name"):
        ArtifactStore(tmp_path).write("wf_001", name, DATA)
    assert files_in(tmp_path) == []


@given(st.text(max_size=60))
def test_an_accepted_name_stays_within_its_folder(name: str) -> None:
    try:
        check_artifact_name(name)
    except Permanent:
        return
    assert Path("folder", name).parent == Path("folder")
    assert os.path.normpath(f"folder/{name}") == f"folder/{name}"


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="at most 10"):
        ArtifactStore(tmp_path, most_bytes=10).write("wf_001", "a.txt", DATA)
