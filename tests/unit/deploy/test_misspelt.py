"""Settings with a slip in their names: told with the name that was meant, and nothing else is taken for one."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.heartbeat import HEARTBEAT_DEFINITION
from deploy.misspelt import misspelt
from deploy.settings import Settings, StuckAfter, StuckSettings
from deploy.thresholds import unknown_names
from handrail import Definition, Step, activity

HERE = Path(__file__)
ROOT = HERE.parents[3]
NAMED = re.compile(r"\bHANDRAIL_[A-Z][A-Z_]*[A-Z]\b(?![_*<{])")
UNKNOWN = {"HANDRAIL_SOMETHING_ELSE", "HANDRAIL_VUCHING"}
"""What other tests take for unknown."""


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("HANDRAIL_VUCHING", "HANDRAIL_VOUCHING"),
        ("HANDRAIL_LEASE_SECOND", "HANDRAIL_LEASE_SECONDS"),
        ("handrail_stor", "HANDRAIL_STORE"),
        ("HANDRAIL_BROKER_PASSWORDFILE", "HANDRAIL_BROKER_PASSWORD_FILE"),
        ("HANDRAIL_MODULE", "HANDRAIL_MODULES"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest_one_and_without_its_value(given: str, meant: str) -> None:
    (told,) = misspelt({given: "swordfish", "PATH": "/bin", meant: "fine"})
    assert told.startswith(f"the environment has {given}, ")
    assert f"is {meant} meant?" in told
    assert "swordfish" not in told


def test_what_is_like_nothing_is_told_without_a_guess() -> None:
    (told,) = misspelt({"HANDRAIL_XYZZY": "1"})
    assert told.endswith("does nothing: unset it")


def test_what_has_a_meaning_is_not_told() -> None:
    settings = {f"HANDRAIL_{name.upper()}" for name in Settings.model_fields}
    others = {"HANDRAIL_HOME", "HANDRAIL_SETTINGS", "HANDRAIL_SECRET_TOKEN", "HANDRAIL_TEST_PG_URL", "handrail_store"}
    of_services = {
        "HANDRAIL_SERVICE_HOST", "HANDRAIL_SERVICE_PORT", "HANDRAIL_SERVICE_PORT_HTTP", "HANDRAIL_PORT",
        "HANDRAIL_PORT_8080_TCP", "HANDRAIL_PORT_8080_TCP_ADDR", "HANDRAIL_HTTP_SERVICE_HOST",
    }  # fmt: skip
    assert misspelt(dict.fromkeys(settings | others | of_services | {"HOME", "HANDRAILING_X"}, "x")) == []


def test_every_name_in_code_and_documents_has_a_meaning() -> None:
    files = [*ROOT.glob("*.md"), ROOT / "Makefile"]
    for folder in ("deploy", "consumers", "producers", "projections", "domain", "handrail", "tests"):
        files += [path for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".md", ".js"} and path != HERE]
    named = {name for path in files for name in NAMED.findall(path.read_text(encoding="utf-8"))}
    assert "HANDRAIL_LEASE_SECONDS" in named
    assert misspelt(dict.fromkeys(named - UNKNOWN, "")) == []


@activity(effect="pure", name="reserve")
async def reserve(given: dict[str, int]) -> None: ...


ORDERS = Definition("orders", steps=[Step("reserve", reserve)])
LATER = StuckAfter(timer=timedelta(minutes=5))


def test_thresholds_for_what_nothing_has_are_told_with_the_nearest_name() -> None:
    settings = StuckSettings(
        definitions={"orders": LATER, "oders": LATER, "xyz": LATER}, activities={"reserve": LATER, "orders": LATER}
    )
    nearest, nothing, other = unknown_names(settings, [ORDERS, HEARTBEAT_DEFINITION])
    assert nearest.startswith("[stuck.definitions] sets thresholds for 'oders', and no definition")
    assert nearest.endswith("is 'orders' meant?")
    assert nothing.endswith("take it out, or load the module that has it")
    assert other.startswith("[stuck.activities] sets thresholds for 'orders', and no activity type")
    assert unknown_names(StuckSettings(definitions={"orders": LATER}), [ORDERS]) == []
