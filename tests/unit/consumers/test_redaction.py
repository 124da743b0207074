"""Values of secrets do not get through, in whichever form text carries them on."""

import base64
import copy
import json
import logging
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic_core import to_json

from consumers.attempt_logger import AttemptLogger
from consumers.redaction import SHORTEST, Redactor
from domain.errors import Permanent
from domain.secret import Secret


def knowing(value: str, name: str = "token") -> Redactor:
    redactor = Redactor()
    redactor.keep(Secret(name, value))
    return redactor


@given(st.text(min_size=SHORTEST, max_size=40).filter(lambda text: text.isprintable() and "[secret" not in text))
def test_no_form_of_a_value_survives(value: str) -> None:
    redactor = knowing(value)
    carried = [
        value,
        json.dumps({"x": value}),
        json.dumps(value, ensure_ascii=False),
        urllib.parse.quote(value, safe=""),
        urllib.parse.quote_plus(value),
        f"Basic {base64.b64encode(value.encode()).decode()}",
        base64.urlsafe_b64encode(value.encode()).decode(),
    ]
    for text in carried:
        assert "[secret token]" in redactor.text(f"before {text} after")
    cleaned = redactor.payload({"deep": [{"x": text} for text in carried]})
    assert value.encode() not in to_json(cleaned).replace(b"[secret token]", b"")


def test_a_secret_of_digits_is_found_in_numbers() -> None:
    assert knowing("123456").payload({"pin": 123456, "other": 1234567}) == {"pin": "[secret token]", "other": 1234567}


def test_of_two_values_one_within_the_other_both_are_found() -> None:
    redactor = knowing("open sesame")
    redactor.keep(Secret("longer", "open sesame street"))
    assert redactor.text("open sesame street, open sesame") == "[secret longer], [secret token]"


def test_what_holds_no_value_stays_the_same_object() -> None:
    payload = {"x": ["plain"]}
    assert knowing("hidden value").payload(payload) is payload
    assert not Redactor().active


def test_a_value_too_short_to_be_told_from_text_is_refused() -> None:
    with pytest.raises(Permanent, match="shorter than 4"):
        knowing("abc")


def test_bytes_with_a_value_in_them_are_refused() -> None:
    redactor = knowing("hidden value")
    redactor.refuse_in(b"plain", "artifact 'a'")
    for data in (b"x hidden value y", base64.b64encode(b"hidden value")):
        with pytest.raises(Permanent, match=r"artifact 'a' holds \[secret token\]"):
            redactor.refuse_in(data, "artifact 'a'")


def test_a_secret_shows_itself_nowhere() -> None:
    secret = Secret("token", "hidden value")
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>40}", f"{secret!r}", repr([secret])]
    assert "hidden" not in "".join(shown)
    assert secret.reveal() == "hidden value"
    with pytest.raises(TypeError, match="cannot be serialised"):
        copy.copy(secret)
    with pytest.raises(TypeError, match="recorded"):

        class _Leak(BaseModel):
            token: Secret


def test_the_logger_names_the_attempt_and_hides_values(caplog: pytest.LogCaptureFixture) -> None:
    redactor = Redactor()
    logger = AttemptLogger("charge", "wf_001/pay/run/1", redactor)
    with caplog.at_level(logging.DEBUG, "handrail.activity.charge"):
        logger.debug("begun %s", "early")
        redactor.keep(Secret("token", "hidden value"))
        logger.info("with %s and %d", "hidden value", 3)
        logger.warning("%(what)s", {"what": "hidden value"})
        try:
            int("hidden value")
        except ValueError:
            logger.exception("failed")
    assert [record.getMessage().splitlines()[0] for record in caplog.records] == [
        "wf_001/pay/run/1: begun early",
        "wf_001/pay/run/1: with [secret token] and 3",
        "wf_001/pay/run/1: [secret token]",
        "wf_001/pay/run/1: failed",
    ]
    assert "ValueError: invalid literal for int() with base 10: '[secret token]'" in caplog.text
    assert "hidden value" not in caplog.text
    assert {record.filename for record in caplog.records} == {"test_redaction.py"}


def test_a_level_that_is_off_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    logger = AttemptLogger("quiet", "wf_001/a/run/1", Redactor())
    with caplog.at_level(logging.ERROR, "handrail.activity.quiet"):
        logger.info("%d", "no number: formatting it would raise")
        logger.error("told")
    assert [record.levelname for record in caplog.records] == ["ERROR"]
