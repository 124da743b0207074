"""Secrets by name, from the environment or from a folder of files."""

from pathlib import Path

import pytest

from deploy.secrets import SecretStore, variable_of
from domain.errors import Permanent


def test_a_variable_goes_before_a_file(tmp_path: Path) -> None:
    (tmp_path / "api-key").write_text("from the file\n")
    (tmp_path / "other").write_text("kept as it is \r\n")
    store = SecretStore({"HANDRAIL_SECRET_API_KEY": "from the variable", "HANDRAIL_SECRETS_DIR": str(tmp_path)})
    assert store.open("api-key").reveal() == "from the variable"
    assert store.open("other").reveal() == "kept as it is "
    assert variable_of("api-key.v2") == "HANDRAIL_SECRET_API_KEY_V2"


def test_a_secret_that_is_not_there_names_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="set HANDRAIL_SECRET_TOKEN, or write a file token in the folder of"):
        SecretStore({}).open("token")
    with pytest.raises(Permanent, match=f"a file token in {tmp_path}"):
        SecretStore({"HANDRAIL_SECRETS_DIR": str(tmp_path), "HANDRAIL_SECRET_TOKEN": ""}).open("token")


@pytest.mark.parametrize("name", ["../token", "a/b", "", ".."])
def test_a_name_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    with pytest.raises(Permanent, match="is no name"):
        SecretStore({"HANDRAIL_SECRETS_DIR": str(tmp_path)}).open(name)


def test_files_that_cannot_be_secrets_are_refused_without_showing_them(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 70_000)
    (tmp_path / "binary").write_bytes(b"\xff\xfehidden")
    (tmp_path / "folder").mkdir()
    store = SecretStore({"HANDRAIL_SECRETS_DIR": str(tmp_path)})
    for name, words in (("large", "larger than"), ("binary", "not UTF-8"), ("folder", "cannot be read")):
        with pytest.raises(Permanent, match=words) as error:
            store.open(name)
        assert "hidden" not in str(error.value)
