"""Loading definitions: by module, built in, handed in; found by a goal's words; mistakes named with their place."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, create_model

from deploy.loading import LoadedDefinitions, check_input, load, version_order
from domain.definitions import Definition, Step, activity
from domain.errors import DefinitionInvalid, DefinitionUnknown, InputInvalid

GOOD = """
from handrail import Definition, Step, activity

@activity(effect="pure")
async def look(given: dict[str, int]) -> int:
    return 1

flow = Definition("{name}", version="{version}", steps=[Step("look", look)])
also = [flow]
"""


@activity(effect="pure")
async def look(given: dict[str, int]) -> int:
    return 1


def made(name: str, version: str = "1") -> Definition:
    return Definition(name, version=version, steps=[Step("look", look)])


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("my_"):
            del sys.modules[name]


def test_a_module_of_the_working_directory_is_loaded(folder: Path) -> None:
    (folder / "my_flows").mkdir()
    (folder / "my_flows" / "__init__.py").write_text("")
    (folder / "my_flows" / "orders.py").write_text(GOOD.format(name="Take an order", version="2"))
    loaded = load(["my_flows.orders"], examples=False)
    assert [repr(one) for one in loaded] == ["Definition('Take an order', version='2')"]


def test_the_examples_are_there_by_default() -> None:
    loaded = load()
    assert loaded.for_goal("vendor onboarding review").name == "vendor onboarding review"
    assert loaded.not_loaded == {}
    assert len(load(examples=False)) == 0


def test_a_goal_finds_the_definition_with_its_words_in_the_newest_version() -> None:
    loaded = LoadedDefinitions([made("take-order", "9"), made("take-order", "10"), made("take-order", "2")])
    assert loaded.for_goal("Take ORDER!").version == "10"
    assert loaded.named("take_order").version == "10"
    assert loaded.find("take-order", "2") is not None
    assert loaded.find("take order", "2") is None
    assert [one.version for one in loaded] == ["2", "9", "10"]


def test_where_nothing_fits_those_there_are_are_listed() -> None:
    loaded = LoadedDefinitions([made("b"), made("a")])
    loaded.not_loaded["c"] = "rapidfuzz is not installed"
    with pytest.raises(DefinitionUnknown) as error:
        loaded.for_goal("something else")
    assert str(error.value) == (
        "no definition fits the goal 'something else'; choose one with --definition; loaded are: 'a', 'b'; "
        "the example c could not be loaded: rapidfuzz is not installed"
    )
    with pytest.raises(DefinitionUnknown, match="there is no definition 'x'; loaded are: none"):
        LoadedDefinitions().named("x")


def test_the_same_definition_twice_is_one_and_two_of_a_kind_are_an_error() -> None:
    one = made("a")
    loaded = LoadedDefinitions([one, one])
    assert len(loaded) == 1
    with pytest.raises(DefinitionInvalid, match="is loaded twice"):
        loaded.add(made("a"))
    with pytest.raises(DefinitionInvalid, match="a goal could not tell it from definition 'a'"):
        loaded.add(made("A"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import", "SyntaxError"),
        ("raise RuntimeError('no')", r"RuntimeError: no \(.*my_module.py, line 1\)"),
        ("import not_there_at_all", "needs 'not_there_at_all', which is not installed"),
        ("x = 1", "holds no Definition"),
        ("from handrail import Definition\nDefinition('a')", "give either steps"),
        (GOOD.format(name="a", version="1").replace("-> int", ""), "return type"),
        ("raise SystemExit(3)", "SystemExit"),
    ],
)
def test_a_module_with_a_mistake_is_named_in_one_line(folder: Path, text: str, words: str) -> None:
    (folder / "my_module.py").write_text(text)
    with pytest.raises(DefinitionInvalid, match=words) as error:
        load(["my_module"], examples=False)
    assert "my_module" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["not.there.at.all", "my flows", "my_flows.py", "../x", ""])
def test_a_module_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(DefinitionInvalid, match="module"):
        load([name], examples=False)


class Order(BaseModel):
    item: str
    pieces: int = 1


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")

    item: str = ""
    pieces: int = Field(default=1, alias="how_many")
    inner: Order | None = None


def test_a_key_that_the_model_does_not_have_is_answered_with_those_there_are() -> None:
    definition = Definition("a", steps=[Step("look", look)], input_model=Strict)
    with pytest.raises(InputInvalid, match=r"a': itme: the input has no such key; there are item, how_many, inner$"):
        check_input(definition, {"itme": "x"})
    fields: dict[str, Any] = {f"k{one}": (int, 0) for one in range(50)}
    many = create_model("Many", __config__=ConfigDict(extra="forbid"), **fields)
    with pytest.raises(InputInvalid, match=r"there are k0, .*, k19 and 30 more$"):
        check_input(Definition("b", steps=[Step("look", look)], input_model=many), {"x": 1})
    none = create_model("Nothing", __config__=ConfigDict(extra="forbid"))
    with pytest.raises(InputInvalid, match=r"there are none$"):
        check_input(Definition("c", steps=[Step("look", look)], input_model=none), {"x": 1})


def test_an_input_is_held_against_its_model() -> None:
    definition = Definition("a", steps=[Step("look", look)], input_model=Order)
    assert check_input(made("b"), {"anything": "1"}) == {"anything": "1"}
    with pytest.raises(InputInvalid, match="input of definition 'a': pieces: Input should be a valid integer"):
        check_input(definition, {"item": "hat", "pieces": "many"})


def test_an_input_is_recorded_as_its_model_reads_it() -> None:
    """A gate that compares numbers is not to meet a text because a command line knows nothing else."""
    definition = Definition("a", steps=[Step("look", look)], input_model=Order)
    assert check_input(definition, {"item": "hat", "pieces": "3"}) == {"item": "hat", "pieces": 3}
    assert check_input(definition, {"item": "hat", "more": [1]}) == {"item": "hat", "pieces": 1, "more": [1]}


class Login(BaseModel):
    user: str
    password: SecretStr


def test_what_json_would_not_give_back_stays_as_it_came() -> None:
    definition = Definition("a", steps=[Step("look", look)], input_model=Login)
    given = {"user": "ann", "password": "for tests"}
    assert check_input(definition, given) == given


@pytest.mark.parametrize(
    ("older", "newer"), [("2", "10"), ("1.9", "1.10"), ("1.9.9", "1.10"), ("1", "1.1"), ("2029-12", "2030-01")]
)
def test_versions_are_ordered_as_people_read_them(older: str, newer: str) -> None:
    assert version_order(older) < version_order(newer)
