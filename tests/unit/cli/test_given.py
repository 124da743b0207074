"""What a command is given: read exactly, refused in one line that names the option."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.cli import given
from domain.errors import InputInvalid
from domain.payloads import PAYLOAD_BYTES

NOW = datetime(2026, 2, 1, 12, tzinfo=UTC)


def test_a_goal_by_argument_and_by_file(tmp_path: Path) -> None:
    (tmp_path / "goal.txt").write_text("﻿ make tea\n\n", encoding="utf-8")
    assert given.read_goal("  make tea ") == "make tea"
    assert given.read_goal(f"@{tmp_path}/goal.txt") == "make tea"


def test_the_bounds_of_a_goal(tmp_path: Path) -> None:
    assert len(given.read_goal("x" * 100_000)) == 100_000
    with pytest.raises(InputInvalid, match=r"100,001 characters, but at most 100,000.*--goal @FILE"):
        given.read_goal("x" * 100_001)
    long = tmp_path / "long.txt"
    long.write_text("x" * 1_000_000)
    assert len(given.read_goal(f"@{long}")) == 1_000_000
    long.write_text("x" * 1_000_001)
    with pytest.raises(InputInvalid, match="larger than 1,000,000 bytes"):
        given.read_goal(f"@{long}")


@pytest.mark.parametrize(
    ("goal", "words"),
    [
        ("", "--goal is empty"),
        (" \n", "--goal is empty"),
        ("@", "names no file"),
        ("@/nowhere/goal.txt", "cannot be read: No such file"),
        ("@/", "cannot be read: Is a directory"),
        ("a\udcff", "not UTF-8"),
        ("a\x00b", "NUL"),
    ],
)
def test_goals_that_are_refused(goal: str, words: str) -> None:
    with pytest.raises(InputInvalid, match=words) as caught:
        given.read_goal(goal)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "goal.bin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputInvalid, match="not UTF-8 text"):
        given.read_goal(f"@{tmp_path}/goal.bin")


def test_input_keys_win_over_whole_files_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text('{"a": 1, "b": {"c": [true, null]}}')
    (tmp_path / "two.json").write_text('{"a": 2}')
    read = given.read_input(["b=typed=with=signs", f"@{tmp_path}/one.json", f"@{tmp_path}/two.json", "e="])
    assert read == {"a": 2, "b": "typed=with=signs", "e": ""}
    assert given.read_input([f"x=@{tmp_path}/one.json"]) == {"x": {"a": 1, "b": {"c": [True, None]}}}
    assert given.read_input([]) == {}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["word"], "is not KEY=VALUE"),
        (["=x"], "is not KEY=VALUE"),
        (["a=1", "a=2"], "--input a is given twice"),
        (["@nowhere.json"], "nowhere.json: cannot be read"),
        (["a=@"], "--input a @: names no file"),
        (["a=\udcff"], "not UTF-8"),
    ],
)
def test_inputs_that_are_refused(options: list[str], words: str) -> None:
    with pytest.raises(InputInvalid, match=words):
        given.read_input(options)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON: .*line 1"),
        ("[1]", "holds an array"),
        ("7", "holds a number"),
        ('"x"', "holds a text"),
        ("null", "holds null"),
        ('{"a": NaN}', "NaN is no JSON number"),
        ('{"a": -Infinity}', "-Infinity is no JSON number"),
        ('{"a": 9007199254740993}', "integer beyond"),
        ('{"a": 1e999}', "no JSON number"),
        ("[" * 100_000, "JSON"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "input.json").write_text(text)
    with pytest.raises(InputInvalid, match=words):
        given.read_input([f"@{tmp_path}/input.json"])


def test_an_input_that_is_too_large(tmp_path: Path) -> None:
    (tmp_path / "input.json").write_text(json.dumps({"a": "x" * PAYLOAD_BYTES}))
    with pytest.raises(InputInvalid, match=r"--input.*at most 262144"):
        given.read_input([f"@{tmp_path}/input.json"])


@pytest.mark.parametrize(("text", "value"), [(None, None), ("7", 7), ('{"a": 1}', {"a": 1}), ("[]", [])])
def test_payloads_by_argument(text: str | None, value: Any) -> None:
    assert given.read_payload(text, "--payload") == value


def test_a_step_input_is_an_object() -> None:
    assert given.read_object('{"a": 1}', "--input") == {"a": 1}
    assert given.read_object(None, "--input") is None
    with pytest.raises(InputInvalid, match="a step's input is a JSON object"):
        given.read_object("[1]", "--input")


def test_tags() -> None:
    assert given.read_tags(["team=blue", "note=a=b"]) == {"team": "blue", "note": "a=b"}
    for bad, words in (
        (["team"], "is not K=V"),
        (["a=1", "a=2"], "given twice"),
        (["a=" + "x" * 201], "at most 200"),
        (["a=two\nlines"], "one line"),
        ([f"k{n}=v" for n in range(101)], "at most 100 tags"),
    ):
        with pytest.raises(InputInvalid, match=words):
            given.read_tags(bad)


def test_names(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given.read_name(" Ada Lovelace ") == "Ada Lovelace"
    monkeypatch.setattr("getpass.getuser", lambda: "login")
    assert given.read_name(None) == "login"
    for bad in ("", " ", "a\nb", "x" * 201, "a\x1b[0m"):
        with pytest.raises(InputInvalid, match="--by"):
            given.read_name(bad)


def test_a_process_without_a_login_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert given.read_name(None) == "unknown"


def test_reasons() -> None:
    assert given.read_reason(None) == ""
    assert given.read_reason(" because ") == "because"
    with pytest.raises(InputInvalid, match="--reason is empty"):
        given.read_reason(" ", needed=True)
    with pytest.raises(InputInvalid, match="2,001 characters"):
        given.read_reason("x" * 2_001)


def test_controls_once_each_in_their_order() -> None:
    assert given.read_controls(["b", " a ", "b"]) == ("b", "a")
    for bad in ("", "x" * 201, "a\nb"):
        with pytest.raises(InputInvalid, match="--control"):
            given.read_controls([bad])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90d", 7_776_000), ("12h", 43_200), ("30M", 1_800), (" 45s ", 45), ("36525d", 3_155_760_000)],
)
def test_lengths_of_time(text: str, seconds: int) -> None:
    assert given.read_duration(text, "--expires").total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "90", "d", "0d", "-1d", "1.5h", "1w", "1d2h", "٣d", "1000000d"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(InputInvalid, match="--expires"):
        given.read_duration(text, "--expires")


@pytest.mark.parametrize("text", ["36526d", "999999d", "876601h"])
def test_a_length_of_time_that_leads_out_of_the_calendar_is_refused_with_its_bound(text: str) -> None:
    with pytest.raises(InputInvalid, match=f"--since '{text}' is longer than a hundred years: give 36525d at most"):
        given.read_duration(text, "--since")


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        (" 2026-01-31T12:00+02:00 ", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31T12:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("20260131", datetime(2026, 1, 31, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_an_instant_without_a_zone_is_one_of_utc(text: str, at: datetime) -> None:
    for found in (
        given.read_instant(text, "--at"),
        given.read_past(text, "--since", NOW),
        given.read_future(text, "--due-before", NOW),
    ):
        assert (found, found.tzinfo) == (at, UTC)


def test_a_time_before_now_and_one_from_now() -> None:
    for text in ("7d", "7D", " 168h "):
        assert given.read_past(text, "--since", NOW) == NOW - timedelta(days=7)
        assert given.read_future(text, "--due-before", NOW) == NOW + timedelta(days=7)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("yesterday", "--since 'yesterday' is no instant: .*without a zone it is UTC.*, or how long ago as in 30d"),
        ("", "--since '' is no instant"),
        ("1d2h", "--since '1d2h' is no instant"),
        ("0d", "--since '0d' is no length of time"),
        ("7w", "--since '7w' is no length of time: give 90d"),
        ("999999d", "longer than a hundred years"),
        ("0001-01-01T00:00:00+14:00", "is in none of the years 1 to 9999 of UTC"),
        ("9999-12-31T23:59:59-14:00", "is in none of the years 1 to 9999 of UTC"),
    ],
)
def test_what_is_no_time_is_refused(text: str, words: str) -> None:
    with pytest.raises(InputInvalid, match=words):
        given.read_past(text, "--since", NOW)
