"""A file is written whole or not at all, and takes the place of another only where that is wanted."""

from pathlib import Path

import pytest

from deploy.whole_files import whole_file, whole_folder
from domain.errors import InputInvalid


def test_it_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with whole_file(target, replace=False) as file:
        file.write(b"a")
        assert not target.exists()
    assert target.read_bytes() == b"a"
    assert sorted(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("replace", [False, True])
def test_whatever_goes_wrong_leaves_what_was_there(tmp_path: Path, replace: bool) -> None:
    target = tmp_path / "file"
    if replace:
        target.write_bytes(b"before")

    def fail_half_way() -> None:
        with whole_file(target, replace=replace) as file:
            file.write(b"after")
            raise KeyError

    with pytest.raises(KeyError):
        fail_half_way()
    assert (target.read_bytes() if replace else None) == (b"before" if replace else None)
    assert [path.name for path in tmp_path.iterdir()] == (["file"] if replace else [])


def test_the_standard_output_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputInvalid, match="cannot go to the standard output"), whole_file(Path("-"), replace=True):
        pass
    with pytest.raises(InputInvalid, match="name a folder"), whole_folder(Path("-"), (), replace=True):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_file_made_meanwhile_stays(tmp_path: Path) -> None:
    target = tmp_path / "file"

    def come_second() -> None:
        with whole_file(target, replace=False) as file:
            file.write(b"late")
            target.write_bytes(b"first")

    with pytest.raises(InputInvalid, match="exists already"):
        come_second()
    assert target.read_bytes() == b"first"
    assert sorted(tmp_path.iterdir()) == [target]


def test_without_links_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(self: Path, target: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    target = tmp_path / "file"
    with whole_file(target, replace=False) as file:
        file.write(b"a")
    assert target.read_bytes() == b"a"
    assert sorted(tmp_path.iterdir()) == [target]


NAMES = ("a", "b")


def fill(target: Path, *, replace: bool = False, word: bytes = b"new") -> None:
    with whole_folder(target, NAMES, replace=replace) as folder:
        for name in NAMES:
            with folder.file(name) as file:
                file.write(word)


def test_a_folder_has_its_name_only_when_all_in_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    with whole_folder(target, NAMES, replace=False) as folder:
        with folder.file("a") as file:
            file.write(b"new")
        assert not target.exists()
    assert (target / "a").read_bytes() == b"new"
    assert sorted(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("replace", [False, True])
def test_whatever_goes_wrong_leaves_the_folder_that_was_there(tmp_path: Path, replace: bool) -> None:
    target = tmp_path / "folder"
    if replace:
        fill(target, word=b"before")

    def fail_half_way() -> None:
        with whole_folder(target, NAMES, replace=replace) as folder, folder.file("a") as file:
            file.write(b"after")
            raise KeyError

    with pytest.raises(KeyError):
        fail_half_way()
    assert sorted(path.name for path in tmp_path.rglob("*")) == (["a", "b", "folder"] if replace else [])
    assert not replace or (target / "a").read_bytes() == b"before"


def test_a_folder_takes_the_place_of_its_like_only(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    fill(target, word=b"before")
    with pytest.raises(InputInvalid, match="give --force"):
        fill(target)
    fill(target, replace=True)
    assert (target / "b").read_bytes() == b"new"
    (target / "c").mkdir()
    with pytest.raises(InputInvalid, match="holds 'c'"):
        fill(target, replace=True)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "c", "folder"]


def test_a_folder_that_got_something_meanwhile_stays(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    fill(target, word=b"before")

    def come_second() -> None:
        with whole_folder(target, NAMES, replace=True):
            (target / "mine").write_bytes(b"mine")

    with pytest.raises(InputInvalid, match="holds 'mine'"):
        come_second()
    assert (target / "a").read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("name", ["", "file", "link", "no/where"])
def test_what_is_no_folder_to_be_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(InputInvalid):
        fill(tmp_path / name if name else Path("/"), replace=True)
