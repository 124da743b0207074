"""Where a command works: option before environment before default, and never two places at once."""

from pathlib import Path

import pytest

from deploy.cli.pending import Place
from deploy.cli.place import existing_home, home_of, modules_of, program_name
from domain.errors import InputInvalid


def test_option_before_environment_before_default() -> None:
    assert home_of("here", {"HANDRAIL_HOME": "there"}) == Path("here")
    assert home_of(None, {"HANDRAIL_HOME": "there"}) == Path("there")
    assert home_of(None, {}) == Path(".handrail")
    assert home_of(None, {"HANDRAIL_HOME": ""}) == Path(".handrail")


def test_home_and_store_name_two_places_and_no_secret_is_told() -> None:
    with pytest.raises(InputInvalid, match="two places") as caught:
        home_of("here", {"HANDRAIL_STORE": "postgresql://ann:secret@db/handrail"})
    assert "secret" not in str(caught.value)
    with pytest.raises(InputInvalid, match="unset it"):
        home_of(None, {"HANDRAIL_STORE": "postgresql://db/handrail"})


def test_a_file_is_no_home(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InputInvalid, match="is a file"):
        home_of(str(file), {})
    with pytest.raises(InputInvalid, match="is empty"):
        home_of("", {})


def test_looking_needs_something_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(InputInvalid, match="handrail run"):
        existing_home(str(tmp_path / "nothing"), {})
    assert existing_home(str(tmp_path), {}) == tmp_path


def test_modules_from_options_or_else_from_the_environment() -> None:
    environment = {"HANDRAIL_MODULES": "one, two,,one"}
    assert modules_of([], environment) == ("one", "two")
    assert modules_of(["three,four", "three"], environment) == ("three", "four")
    assert modules_of([], {}) == ()


def test_a_command_leads_to_the_same_place_and_is_quoted() -> None:
    assert Place().command("approve", "wf_001", "--by", "WHO") == "handrail approve wf_001 --by WHO"
    place = Place("my data", ("my.flows",))
    assert place.command("resume") == "handrail resume --home 'my data' --module my.flows"


def test_the_program_is_called_as_it_can_be_called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.argv", [".venv/bin/handrail", "list"])
    assert program_name() == ".venv/bin/handrail"
    assert Place(program=program_name()).command("list") == ".venv/bin/handrail list"
    monkeypatch.setattr("sys.argv", ["deploy/cli/__main__.py"])
    assert program_name() == "handrail"
    found = tmp_path / "handrail"
    found.touch(mode=0o755)
    monkeypatch.setattr("sys.argv", [str(found)])
    assert program_name() == "handrail"
