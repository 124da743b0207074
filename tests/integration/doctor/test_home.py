"""The doctor at a home: its store read through, its room, its holder."""

import sqlite3

from tests.integration.command_line import CommandLine


def test_a_home_that_is_well(handrail: CommandLine) -> None:
    assert handrail("run", "--goal", "greet").code == 0
    ended = handrail("doctor")
    assert ended.code == 0, ended.out
    assert all(line.startswith("ok") for line in ended.lines), ended.out
    assert "store version 1, sound" in ended.out


def test_a_home_without_a_store(handrail: CommandLine) -> None:
    ended = handrail("doctor", "--json")
    assert ended.code == 0
    assert any("holds no store yet" in one["text"] for one in ended.document)


def test_a_damaged_store_is_told(handrail: CommandLine) -> None:
    assert handrail("run", "--goal", "greet").code == 0
    database = handrail.home / "handrail.db"
    content = bytearray(database.read_bytes())
    content[8_192:12_288] = b"\xff" * 4_096
    database.write_bytes(content)
    ended = handrail("doctor")
    assert ended.code == 2
    assert "is damaged" in ended.out
    assert "put the last backup back" in ended.out


def test_a_store_of_a_newer_handrail_is_told(handrail: CommandLine) -> None:
    assert handrail("run", "--goal", "greet").code == 0
    connection = sqlite3.connect(handrail.home / "handrail.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    ended = handrail("doctor")
    assert ended.code == 2
    assert "written by a newer Handrail" in ended.out


def test_a_setting_that_lets_followers_skip_events_is_told(handrail: CommandLine) -> None:
    ended = handrail("doctor", POSTGRES_ENABLE_DB_FUNCTIONS="y")
    assert ended.code == 2
    assert "POSTGRES_ENABLE_DB_FUNCTIONS is set" in ended.out


def test_a_setting_with_a_slip_in_its_name_is_told(handrail: CommandLine) -> None:
    ended = handrail("doctor", HANDRAIL_VUCHING='{"shop": ["order"]}')
    assert ended.code == 1
    (line,) = [line for line in ended.lines if line.startswith("warn")]
    assert "HANDRAIL_VUCHING" in line
    assert "is HANDRAIL_VOUCHING meant?" in line


def test_serving_begins_by_telling_of_a_setting_with_a_slip_in_its_name(handrail: CommandLine) -> None:
    ended = handrail("serve", "goals", HANDRAIL_VUCHING='{"shop": ["order"]}')
    assert ended.code == 2
    first = ended.errors.splitlines()[0]
    assert '"level": "warning"' in first
    assert "is HANDRAIL_VOUCHING meant?" in first


def test_thresholds_for_a_name_that_nothing_has_are_told(handrail: CommandLine) -> None:
    slip = '{"definitions": {"gret": {"timer": 60}, "greet": {"timer": 60}}}'
    told = "sets thresholds for 'gret', and no definition that is loaded here has that name: is 'greet' meant?"
    ended = handrail("doctor", HANDRAIL_STUCK=slip)
    assert ended.code == 1
    (line,) = [line for line in ended.lines if line.startswith("warn")]
    assert told in line
    ended = handrail("run", "--goal", "greet", HANDRAIL_STUCK=slip)
    assert ended.code == 0
    assert told in (handrail.home / "logs" / "handrail.log").read_text(encoding="utf-8")
