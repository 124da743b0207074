"""Settings: option before environment before file before default."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.settings import Settings, StuckAfter, load_settings
from domain.durations import LONGEST
from domain.errors import InputInvalid


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"HANDRAIL_{name.upper()}", raising=False)
    monkeypatch.delenv("HANDRAIL_SETTINGS", raising=False)
    return tmp_path


def test_the_nearer_place_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().lease_seconds == 30
    (folder / "handrail.toml").write_text("lease_seconds = 40\nthreads = 4\nsweep_seconds = 2.5\n")
    monkeypatch.setenv("HANDRAIL_LEASE_SECONDS", "50")
    settings = load_settings()
    assert (settings.lease_seconds, settings.threads, settings.sweep_seconds) == (50, 4, 2.5)
    assert Settings(lease_seconds=60).lease_seconds == 60


def test_the_file_may_be_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "mine.toml").write_text("threads = 3\n")
    monkeypatch.setenv("HANDRAIL_SETTINGS", "mine.toml")
    assert load_settings().threads == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("threads = 0", "setting threads"),
        ("threads = 'many'", "setting threads"),
        ("thread = 4", "setting thread "),
        ("threads =", "cannot be read"),
    ],
)
def test_what_does_not_fit_is_named_in_one_line(folder: Path, text: str, words: str) -> None:
    (folder / "handrail.toml").write_text(text)
    with pytest.raises(InputInvalid, match=words) as error:
        load_settings()
    assert "\n" not in str(error.value)


def test_what_is_no_json_in_the_environment_is_not_said_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDRAIL_VOUCHING", "{nonsense")
    with pytest.raises(InputInvalid, match=r"the environment, or .*vouching"):
        load_settings()


@pytest.mark.parametrize(
    ("given", "expected"), [("1d", timedelta(days=1)), ("12H", timedelta(hours=12)), ("PT90M", timedelta(minutes=90))]
)
def test_how_often_the_store_is_sealed_is_said_with_a_unit(folder: Path, given: str, expected: timedelta) -> None:
    (folder / "handrail.toml").write_text(f'[seal]\nevery = "{given}"\nfolder = "seals"\n')
    seal = load_settings().seal
    assert (seal.every, seal.folder, seal.key, seal.keep) == (expected, Path("seals"), None, 30)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('every = "1d"', "set `folder`"),
        ('every = "10s"\nfolder = "seals"', "setting seal.every"),
        ('every = "often"\nfolder = "seals"', "setting seal.every"),
        ('every = "1d"\nfolder = "seals"\nkeep = 0', "setting seal.keep"),
    ],
)
def test_a_schedule_of_seals_that_does_not_fit_is_refused(folder: Path, text: str, words: str) -> None:
    (folder / "handrail.toml").write_text(f"[seal]\n{text}\n")
    with pytest.raises(InputInvalid, match=words):
        load_settings()


@pytest.mark.parametrize("where", ["", "definitions.orders.", "activities.pay."])
@pytest.mark.parametrize("name", sorted(StuckAfter.model_fields))
def test_a_threshold_that_means_never_is_refused_with_its_bound(
    monkeypatch: pytest.MonkeyPatch, where: str, name: str
) -> None:
    def given(value: float) -> str:
        told: object = {name: value}
        for part in reversed(where.split(".")[:-1]):
            told = {part: told}
        return json.dumps(told)

    monkeypatch.setenv("HANDRAIL_STUCK", given(LONGEST.total_seconds()))
    load_settings()
    monkeypatch.setenv("HANDRAIL_STUCK", given(1e12))
    with pytest.raises(
        InputInvalid, match=rf"setting stuck.{where}{name} \(HANDRAIL_STUCK or .*less than or equal to 36525 days"
    ):
        load_settings()


def test_how_far_the_views_may_be_behind_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDRAIL_STUCK", '{"lag": 1e12}')
    with pytest.raises(InputInvalid, match=r"setting stuck.lag .*less than or equal to 36525 days"):
        load_settings()


@pytest.mark.parametrize("setting", ["store", "broker", "broker_operator", "broker_management"])
def test_an_empty_name_of_a_password_file_is_none(folder: Path, monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setenv(f"HANDRAIL_{setting.upper()}_PASSWORD_FILE", "")
    assert getattr(load_settings(), f"{setting}_password_file") is None
    monkeypatch.delenv(f"HANDRAIL_{setting.upper()}_PASSWORD_FILE")
    (folder / "handrail.toml").write_text(f'{setting}_password_file = ""\n')
    assert getattr(load_settings(), f"{setting}_password_file") is None


def test_other_programs_variables_do_not_disturb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDRAIL_SOMETHING_ELSE", "x")
    assert load_settings() == Settings()


def test_every_number_among_the_settings_has_a_unit_or_counts_things() -> None:
    counted = {"attempts_at_once", "threads", "deliveries_held", "workflows_held", "replay_checks_per_second"}
    numbers = {name for name, field in Settings.model_fields.items() if field.annotation in {int, float}}
    assert {name for name in numbers if not name.endswith("_seconds")} == counted
