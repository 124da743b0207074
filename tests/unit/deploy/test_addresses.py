"""Addresses: whole for those who connect, never with their password for those who read."""

import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr

from deploy.addresses import broker_address, management_address, needed, operator_address, store_address
from deploy.settings import Settings
from domain.broker_address import BrokerAddress
from domain.errors import HandrailError, InputInvalid
from domain.store.connection_postgres import server_settings


def test_an_address_that_is_not_set_is_none_and_asked_for_by_name() -> None:
    assert store_address(Settings()) is None
    assert broker_address(Settings(broker=SecretStr(""))) is None
    with pytest.raises(InputInvalid, match=r"HANDRAIL_BROKER is not set.*HANDRAIL_BROKER_PASSWORD_FILE"):
        needed(None, "broker")


@pytest.mark.parametrize("setting", ["store", "broker", "broker_management"])
def test_what_is_not_set_is_asked_for_with_an_example(setting: str) -> None:
    with pytest.raises(InputInvalid, match=r"for example \w+://handrail[\w-]*@"):
        needed(None, setting)


def test_a_password_is_shown_nowhere() -> None:
    settings = Settings(
        store=SecretStr("postgresql://alice:swordfish@db:5433/handrail?sslmode=verify-full&x=swordfish")
    )
    address = store_address(settings)
    assert address is not None
    assert address.url.startswith("postgresql://alice:swordfish@db:5433/handrail?sslmode=verify-full")
    assert address.shown == "postgresql://alice@db:5433/handrail"
    for text in (repr(address), str(address), repr(settings), str(settings)):
        assert "swordfish" not in text


MARKER = "QzXvJkWq"
"""A part of a password; no three of its letters in a row stand anywhere else."""

DIVIDING = st.text(st.sampled_from("0123456789/?#@:[]%'\"\\=&, \t\n\u2100u") | st.characters(codec="utf-8"), max_size=6)


def said_of(password: str) -> list[str]:
    """Whatever is said of addresses with this password, by all who read one: messages, representations, tracebacks."""
    said: list[str] = []

    def note(url: str, scheme: str) -> None:
        try:
            if scheme == "postgresql":
                address = store_address(Settings(store=SecretStr(url)))
            elif scheme == "amqps":
                address = broker_address(Settings(broker=SecretStr(url)))
            else:
                address = management_address(Settings(broker_management=SecretStr(url)))
            said.extend((str(address), repr(address)))
        except InputInvalid as error:
            said.append("".join(traceback.format_exception(error)))
        try:
            if scheme == "postgresql":
                said.append(server_settings(url)[0])
            elif scheme == "amqps":
                said.append(repr(BrokerAddress.read(url)))
        except HandrailError as error:
            said.append("".join(traceback.format_exception(error)))

    for scheme in ("postgresql", "amqps", "http"):
        note(f"{scheme}://u:{password}@host/db", scheme)
        note(f"{scheme}://u:{password}@host:1234/db?cafile=/ca.pem", scheme)
    return said


@given(DIVIDING, DIVIDING)
@example("12/", "")
@example("/", "")
@example("12?", "=")
@example("12#", "")
@example("'", "/")
@example("a@", "")
@example("[", "")
@example("[", "]")
def test_no_part_of_a_password_is_shown_whatever_it_holds(before: str, after: str) -> None:
    # Held apart, so that a traceback which quotes this file's lines holds no marker either.
    for text in said_of(before + MARKER + after):
        shown = [MARKER[start : start + 3] for start in range(len(MARKER) - 2)]
        assert not [part for part in shown if part in text], text


@pytest.mark.parametrize("password", ["12/seKret", "/seKret", "12?seKret", "12#seKret", "se@Kret"])
def test_a_password_that_would_be_shown_in_part_is_refused_with_the_way_to_write_it(password: str) -> None:
    with pytest.raises(InputInvalid, match=r"HANDRAIL_STORE has an @ .*special characters as %-codes"):
        store_address(Settings(store=SecretStr(f"postgresql://u:{password}@host/db")))
    address = store_address(Settings(store=SecretStr(f"postgresql://u:{quote(password, safe='')}@host/db")))
    assert address is not None
    assert address.shown == "postgresql://u@host/db"
    assert server_settings(address.url)[1]["password"] == password


def test_words_for_the_driver_are_no_address_of_a_store_since_they_cannot_be_shown_in_part() -> None:
    with pytest.raises(HandrailError, match="is no address") as refusal:
        server_settings("host=db password=swordfish")
    assert "swordfish" not in str(refusal.value)


def test_a_password_comes_from_a_file_and_may_hold_any_character(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("s/w:o@rd?\n", encoding="utf-8")
    settings = Settings(broker=SecretStr("amqps://alice@mq/handrail?cafile=/ca.pem"), broker_password_file=file)
    address = broker_address(settings)
    assert address is not None
    assert address.url == "amqps://alice:s%2Fw%3Ao%40rd%3F@mq/handrail?cafile=/ca.pem"
    assert address.shown == "amqps://alice@mq/handrail"


@pytest.mark.parametrize(
    "given",
    [
        "mysql://db/handrail",
        "postgresql:///handrail",
        "swordfish",
        "postgresql://db:swordfish/x",
        "postgresql://[swordfish/x",
    ],
)
def test_what_is_no_address_is_refused_without_quoting_it(given: str) -> None:
    with pytest.raises(InputInvalid, match="HANDRAIL_STORE is no address") as refusal:
        store_address(Settings(store=SecretStr(given)))
    assert "swordfish" not in str(refusal.value)


def test_two_passwords_or_none_in_the_file_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("", encoding="utf-8")
    with pytest.raises(InputInvalid, match="leave one out"):
        management_address(Settings(broker_management=SecretStr("http://a:b@mq"), broker_management_password_file=file))
    for path in (file, tmp_path / "missing"):
        with pytest.raises(InputInvalid, match="HANDRAIL_STORE_PASSWORD_FILE"):
            store_address(Settings(store=SecretStr("postgresql://a@db/x"), store_password_file=path))


def test_whoever_looks_after_dead_letters_logs_in_as_everybody_unless_it_has_a_login(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("hush\n", encoding="utf-8")
    everybody = Settings(broker=SecretStr("amqp://runtime:word@here/v"))
    assert operator_address(everybody) == broker_address(everybody)
    own = Settings(
        broker=SecretStr("amqp://runtime:word@here/v"),
        broker_operator=SecretStr("amqp://olga@here/v"),
        broker_operator_password_file=secret,
    )
    address = operator_address(own)
    assert address is not None
    assert (address.url, address.shown) == ("amqp://olga:hush@here/v", "amqp://olga@here/v")
    assert operator_address(Settings()) is None
