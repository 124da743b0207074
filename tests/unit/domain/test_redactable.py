"""Values marked Redactable can be cut out of a payload, wherever they stand, and its digest stays the same."""

import json
from typing import Annotated

from pydantic import BaseModel

from domain.chain import payload_digest, redact
from domain.definitions import Redactable, activity


class Account(BaseModel):
    iban: Annotated[str, Redactable()]
    country: str = "NL"


class Vendor(BaseModel):
    name: str
    account: Account | None = None
    others: list[Account] = []
    by_purpose: dict[str, Account] = {}


@activity(effect="pure")
async def read(vendor: Vendor) -> Vendor:
    return vendor


def test_marks_are_found_in_optional_models_lists_and_mappings() -> None:
    assert read.redactable_input == ("/account/iban", "/others/*/iban", "/by_purpose/*/iban")


def test_all_of_them_are_cut_and_the_digest_stays() -> None:
    vendor = Vendor(
        name="x",
        account=Account(iban="NL01"),
        others=[Account(iban="NL02"), Account(iban="NL02")],
        by_purpose={"tax": Account(iban="NL03")},
    )
    payload = vendor.model_dump_json().encode()
    cut = redact(payload, redactable=read.redactable_input, key=b"k", version=3)
    assert b"NL0" not in cut
    assert b'"name":"x"' in cut
    digests = [payload_digest(one, redactable=read.redactable_input, key=b"k", version=3) for one in (payload, cut)]
    assert digests[0] == digests[1]
    first, second = (other["iban"] for other in json.loads(cut)["others"])
    assert first != second, "equal values would give themselves away"


def test_another_value_has_another_digest() -> None:
    one, other = (
        payload_digest(
            Vendor(name="x", account=Account(iban=iban)).model_dump_json().encode(),
            redactable=read.redactable_input,
            key=b"k",
            version=1,
        )
        for iban in ("NL01", "NL02")
    )
    assert one != other
