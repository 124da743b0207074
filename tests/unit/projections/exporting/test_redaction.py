"""Rules of redaction: what they meet, what is cut, what is withheld, and that the rest verifies."""

import json
from hashlib import sha256
from typing import Any

import pytest

from domain.chain import payload_digest
from domain.errors import InputInvalid
from projections.exporting.redaction import MOST_RULES, Redaction, digest_shown, redactable_in

KEY = b"the key of this workflow"
VERSION = 7
MARKS = ("/input/bank/iban", "/input/bank/holder", "/input/bank/note", "/input/others/*/iban")
PAYLOAD: dict[str, Any] = {
    "step": "pay",
    "input": {
        "bank": {"iban": "NL01", "holder": "Ada", "note": None},
        "others": [{"iban": "DE02", "city": "Köln"}, {"iban": "DE02", "city": "Bonn"}],
        "amount": 12.5,
    },
    "redactable": list(MARKS),
}


def encoded(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def shown(*rules: str, payload: Any = PAYLOAD) -> tuple[Any, int]:
    """What is shown of the payload, and how much was cut; its digest is the same as of the whole."""
    whole = encoded(payload)
    made = Redaction(rules).show(whole, KEY, VERSION)
    if made.payload is None:
        return None, made.cut
    document = json.loads(made.payload)
    if made.salts is None:
        assert made.payload == whole
    else:
        digest = payload_digest(whole, redactable=redactable_in(document), key=KEY, version=VERSION)
        assert digest_shown(json.loads(made.payload), redactable_in(document), made.salts) == digest
    return document, made.cut


def test_without_rules_the_bytes_are_as_stored() -> None:
    made = Redaction().show(encoded(PAYLOAD), KEY, VERSION)
    assert made.payload == encoded(PAYLOAD)
    assert made.salts is not None
    assert set(made.salts) == {"/input/bank/iban", "/input/bank/holder", "/input/others/0/iban", "/input/others/1/iban"}


@pytest.mark.parametrize(
    ("rules", "gone", "left"),
    [
        (["input.bank.*"], ["NL01", "Ada"], ["DE02", "Köln"]),
        (["input.bank"], ["NL01", "Ada"], ["DE02"]),
        (["bank.iban"], ["NL01"], ["Ada", "DE02"]),
        (["iban"], ["NL01", "DE02"], ["Ada", "Köln"]),
        (["others.0.iban", "holder"], ["Ada"], ["NL01", "DE02", "Köln"]),
        (["others.*.iban"], ["DE02"], ["NL01"]),
        (["@marked"], ["NL01", "Ada", "DE02"], ["Köln", "12.5"]),
        (["nothing.of.this"], [], ["NL01", "Ada", "DE02"]),
    ],
)
def test_marked_values_are_cut_where_a_rule_meets_them(rules: list[str], gone: list[str], left: list[str]) -> None:
    document, _ = shown(*rules)
    text = json.dumps(document, ensure_ascii=False)
    assert [word for word in gone if word in text] == []
    assert [word for word in left if word not in text] == []


@pytest.mark.parametrize("rule", ["others.*", "input", "city", "*", "amount", "input.*.holder.x", "step"])
def test_where_an_unmarked_value_is_met_the_whole_payload_is_withheld(rule: str) -> None:
    document, _ = shown(rule)
    assert (document is None) is (rule != "input.*.holder.x")


def test_a_rule_holds_at_any_depth() -> None:
    copied = {"trigger": {"input": {"bank": {"iban": "NL01"}}}}
    assert shown("input.bank.*", payload=copied) == (None, 0)
    assert shown("bank.holder", payload=copied) == (copied, 0)


def test_equal_values_do_not_give_themselves_away_and_the_salts_of_what_is_cut_are_not_told() -> None:
    document, cut = shown("others.*.iban")
    first, second = (one["iban"] for one in document["input"]["others"])
    assert first != second
    assert cut == 2
    made = Redaction(["iban"]).show(encoded(PAYLOAD), KEY, VERSION)
    assert made.salts is not None
    assert set(made.salts) == {"/input/bank/holder"}


def test_what_was_cut_before_stays_cut() -> None:
    once = Redaction(["iban"]).show(encoded(PAYLOAD), KEY, VERSION)
    assert once.payload is not None
    again = Redaction(["@marked"]).show(once.payload, KEY, VERSION)
    assert again.cut == 1
    assert again.payload is not None
    digest = payload_digest(encoded(PAYLOAD), redactable=MARKS, key=KEY, version=VERSION)
    assert digest_shown(json.loads(again.payload), MARKS, {}) == digest


def test_marks_within_marks_are_cut_from_the_outside() -> None:
    payload = {"a": {"b": "secret", "c": 1}, "redactable": ["/a/b", "/a"]}
    for rules in (["a"], ["b"], ["c"], ["@marked"]):
        document, _ = shown(*rules, payload=payload)
        assert "secret" not in json.dumps(document)
    assert "secret" in json.dumps(shown("x", payload=payload)[0])


def test_salts_that_are_missing_or_too_many_give_no_digest() -> None:
    made = Redaction().show(encoded(PAYLOAD), KEY, VERSION)
    salts = dict(made.salts or {})
    assert digest_shown(json.loads(encoded(PAYLOAD)), redactable_in(PAYLOAD), {**salts, "/x": "00"}) is None
    salts.popitem()
    assert digest_shown(json.loads(encoded(PAYLOAD)), redactable_in(PAYLOAD), salts) is None


def test_a_payload_without_marks_has_the_digest_of_its_bytes() -> None:
    payload = encoded({"a": 1, "redactable": []})
    made = Redaction(["b"]).show(payload, KEY, VERSION)
    assert (made.payload, made.salts) == (payload, None)
    assert sha256(payload).hexdigest() == payload_digest(payload)


@pytest.mark.parametrize("rule", ["", ".", "a..b", "a b", ".a", "a.", "x" * 501])
def test_what_is_no_rule_is_refused(rule: str) -> None:
    with pytest.raises(InputInvalid, match="--redact"):
        Redaction([rule])


def test_there_are_at_most_so_many_rules() -> None:
    with pytest.raises(InputInvalid, match="at most 100"):
        Redaction([f"a{number}" for number in range(MOST_RULES + 1)])
