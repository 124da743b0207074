"""What a command is given: goals, inputs, tags, names. Checked here, so that nothing half-read reaches the store.

Every mistake is an InputInvalid of one line that names the option and the way out.
"""

from __future__ import annotations

import getpass
import json
import re
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from domain.durations import LONGEST
from domain.errors import InputInvalid
from domain.payloads import PAYLOAD_BYTES, check_payload

GOAL_CHARACTERS: Final = 100_000
"""Most characters of a goal given as an argument."""
GOAL_FILE_BYTES: Final = 1_000_000
"""Most bytes of a goal given as a file."""
JSON_FILE_BYTES: Final = 4 * PAYLOAD_BYTES
"""Most bytes of a file of JSON: it may be written with more white space than will be kept."""
MOST_TAGS: Final = 100
TAG_CHARACTERS: Final = 200
NAME_CHARACTERS: Final = 200
REASON_CHARACTERS: Final = 2_000

_UNITS: Final = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def read_goal(given: str) -> str:
    """The goal: the argument itself, or the text of the file behind `@`."""
    if given.startswith("@"):
        text = _read_text(given[1:], "--goal", GOAL_FILE_BYTES)
    else:
        text = given
        if len(text) > GOAL_CHARACTERS:
            raise InputInvalid(
                f"--goal has {len(text):,} characters, but at most {GOAL_CHARACTERS:,} fit an argument: "
                "put it into a file and give --goal @FILE"
            )
        _check_text(text, "--goal")
    goal = text.strip()
    if not goal:
        raise InputInvalid('--goal is empty: say what is to be reached, for example --goal "vendor onboarding review"')
    return goal


def read_input(given: Sequence[str]) -> dict[str, Any]:
    """The workflow's input from `KEY=VALUE`, `KEY=@FILE.json` and `@FILE.json`; single keys win over whole files."""
    whole: dict[str, Any] = {}
    single: dict[str, Any] = {}
    for one in given:
        if one.startswith("@"):
            document = read_json(one[1:], "--input")
            if not isinstance(document, dict):
                raise InputInvalid(f"--input {one}: holds {_kind(document)}; an input is a JSON object")
            whole.update(document)
            continue
        key, separator, value = one.partition("=")
        if not separator or not key:
            raise InputInvalid(f"--input {one[:80]!r} is not KEY=VALUE, KEY=@FILE.json or @FILE.json")
        if key in single:
            raise InputInvalid(f"--input {key} is given twice: give it once")
        _check_text(value, f"--input {key}")
        single[key] = read_json(value[1:], f"--input {key}") if value.startswith("@") else value
    merged = {**whole, **single}
    check_payload(merged, "--input")
    return merged


def read_payload(given: str | None, option: str) -> Any:
    """A JSON value: the file behind `@`, or the JSON text itself; None where nothing is given."""
    if given is None:
        return None
    value = read_json(given[1:], option) if given.startswith("@") else _parse(given, option)
    check_payload(value, option)
    return value


def read_object(given: str | None, option: str) -> dict[str, Any] | None:
    """A JSON object, as `read_payload` reads it."""
    value = read_payload(given, option)
    if value is not None and not isinstance(value, dict):
        raise InputInvalid(f"{option}: holds {_kind(value)}; a step's input is a JSON object")
    return value


def read_json(path: str, option: str) -> Any:
    """The JSON value in a file of at most JSON_FILE_BYTES."""
    return _parse(_read_text(path, option, JSON_FILE_BYTES), f"{option} @{path}")


def read_tags(given: Sequence[str], option: str = "--tag") -> dict[str, str]:
    """Tags as `K=V`."""
    tags: dict[str, str] = {}
    for one in given:
        key, separator, value = one.partition("=")
        if not separator or not key:
            raise InputInvalid(f"{option} {one[:80]!r} is not K=V")
        if len(key) > TAG_CHARACTERS or len(value) > TAG_CHARACTERS:
            raise InputInvalid(f"{option} {key[:40]!r}: a tag's key and value have at most {TAG_CHARACTERS} characters")
        if key in tags:
            raise InputInvalid(f"{option} {key} is given twice: give it once")
        _check_line(key, option)
        _check_line(value, f"{option} {key}")
        tags[key] = value
    if len(tags) > MOST_TAGS:
        raise InputInvalid(f"{option}: a workflow has at most {MOST_TAGS} tags, {len(tags)} were given")
    return tags


def read_name(given: str | None, option: str = "--by") -> str:
    """Who acts: the name given, or the login name."""
    name = login_name() if given is None else given.strip()
    if not name:
        raise InputInvalid(f"{option} is empty: say who decides, for example {option} alice")
    if len(name) > NAME_CHARACTERS:
        raise InputInvalid(f"{option}: a name has at most {NAME_CHARACTERS} characters")
    return _check_line(name, option)


def read_reason(given: str | None, *, needed: bool = False) -> str:
    """Why: one text, at most REASON_CHARACTERS long."""
    reason = (given or "").strip()
    if needed and not reason:
        raise InputInvalid("--reason is empty: say why, for whoever reads the history")
    if len(reason) > REASON_CHARACTERS:
        raise InputInvalid(f"--reason has {len(reason):,} characters, but at most {REASON_CHARACTERS:,} are kept")
    _check_text(reason, "--reason")
    return reason


def read_controls(given: Sequence[str]) -> tuple[str, ...]:
    """Conditions of a grant, each once, in the order given."""
    controls: dict[str, None] = {}
    for one in given:
        text = one.strip()
        if not text or len(text) > NAME_CHARACTERS:
            raise InputInvalid(f"--control {one[:40]!r}: a control has 1 to {NAME_CHARACTERS} characters")
        controls[_check_line(text, "--control")] = None
    return tuple(controls)


def read_duration(given: str, option: str) -> timedelta:
    """A length of time, a hundred years at most: a number with d, h, m or s behind it."""
    match = re.fullmatch("([0-9]{1,6})([dhms])", given.strip().lower())
    if match is None or int(match[1]) == 0:
        raise InputInvalid(f"{option} {given[:40]!r} is no length of time: give 90d, 12h, 30m or 45s")
    time = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if time > LONGEST:
        raise InputInvalid(f"{option} {given[:40]!r} is longer than a hundred years: give {LONGEST.days}d at most")
    return time


def read_instant(given: str, option: str, or_else: str = "") -> datetime:
    """An instant in ISO 8601, as one of UTC; without a zone it is UTC. `or_else` says what else the option takes."""
    try:
        at = datetime.fromisoformat(given.strip())
    except ValueError as error:
        raise InputInvalid(
            f"{option} {given[:40]!r} is no instant: give one as in 2026-01-31T12:00:00Z (without a zone it is UTC)"
            f"{or_else}"
        ) from error
    try:
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError as error:
        raise InputInvalid(f"{option} {given[:40]!r} is in none of the years 1 to 9999 of UTC") from error


def read_past(given: str, option: str, now: datetime) -> datetime:
    """An instant, or how long before now."""
    if _is_duration(given):
        return now - read_duration(given, option)
    return read_instant(given, option, ", or how long ago as in 30d, 12h, 30m, 45s")


def read_future(given: str, option: str, now: datetime) -> datetime:
    """An instant, or how long from now."""
    if _is_duration(given):
        return now + read_duration(given, option)
    return read_instant(given, option, ", or how long from now as in 7d, 12h, 30m, 45s")


def _is_duration(given: str) -> bool:
    """Whether this is meant as a length of time: then what is wrong with it is told as of one."""
    return re.fullmatch("[0-9]+[a-z]", given.strip().lower()) is not None


def login_name() -> str:
    """The name that this process runs under, or `unknown` where the system has none for it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def read_document(path: str, option: str, most_bytes: int) -> dict[str, Any]:
    """The document that a file of TOML or JSON holds; raises InputInvalid, naming the file and the place in it."""
    text = _read_text(path, option, most_bytes, mark="")
    if text.lstrip().startswith("{"):
        document = _parse(text, f"{option} {path}")
    else:
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InputInvalid(f"{option} {path}: is no TOML: {error}") from error
    if not isinstance(document, dict):
        raise InputInvalid(f"{option} {path}: holds no table, or object")
    return document


def _read_text(path: str, option: str, most_bytes: int, mark: str = "@") -> str:
    if not path:
        raise InputInvalid(f"{option} {mark}: names no file: give {option} {mark}FILE")
    try:
        with Path(path).open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise InputInvalid(f"{option} {mark}{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise InputInvalid(f"{option} {mark}{path!r}: is no path: {error}") from error
    if len(content) > most_bytes:
        raise InputInvalid(f"{option} {mark}{path}: is larger than {most_bytes:,} bytes: shorten it")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputInvalid(f"{option} {mark}{path}: is not UTF-8 text (byte {error.start})") from error
    return _check_text(text, f"{option} {mark}{path}")


def _parse(text: str, option: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise InputInvalid(f"{option}: is not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from error
    except (ValueError, RecursionError) as error:
        raise InputInvalid(f"{option}: is not JSON that Handrail can keep: {error}") from error


def _refuse_constant(name: str) -> Any:
    message = f"{name} is no JSON number"
    raise ValueError(message)


def _check_text(text: str, option: str) -> str:
    """Refuse what no store keeps as text: lone surrogates, which stand for bytes that were not UTF-8, and NUL."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputInvalid(f"{option}: is not UTF-8 text (character {error.start})") from error
    if "\x00" in text:
        raise InputInvalid(f"{option}: holds a NUL character")
    return text


def _check_line(text: str, option: str) -> str:
    _check_text(text, option)
    if not text.isprintable():
        raise InputInvalid(f"{option} {text[:40]!r}: must be one line without control characters")
    return text


def _kind(value: Any) -> str:
    kinds = {list: "an array", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
