"""A file is written whole or not at all, and takes the place of another only where that is wanted."""

from pathlib import Path

import pytest

from deploy.whole_files import whole_file
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
