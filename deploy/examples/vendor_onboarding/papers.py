"""The papers that a vendor hands in, as they must be written: one JSON file each, a scan beside it.

Shapes only: whether a paper is there, unchanged and still valid is checked in `documents`. Unknown fields are refused,
so that a misspelt one is not taken for an absent one.
"""

import re
from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from deploy.examples.vendor_onboarding.names import NAME_LENGTH_MAXIMUM
from handrail import Redactable

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=NAME_LENGTH_MAXIMUM)]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Number = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ./-]{0,39}$")]
# A plain file name: no folder, no leading dot, so that a paper cannot point out of its own folder.
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]

AMOUNT_MAXIMUM = 10**12


class _Paper(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Money(_Paper):
    """An amount in whole units of a currency."""

    amount: int = Field(ge=0, le=AMOUNT_MAXIMUM, strict=True)
    currency: Currency


class Owner(_Paper):
    """A person who owns or directs the vendor."""

    name: Name
    country: Country | None = None


class VendorProfile(_Paper):
    """`vendor.json`: who the vendor is. `vendor_number` is null for one that has none yet."""

    vendor_key: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    legal_name: Name
    trading_names: tuple[Name, ...] = Field(default=(), max_length=20)
    country: Country
    registration_number: Number
    vendor_number: Number | None = None
    owners: tuple[Owner, ...] = Field(default=(), max_length=50)
    spend_per_year: Money


class Scan(_Paper):
    """The scan that a paper stands for: a file in the same folder and the SHA-256 of its bytes."""

    file: FileName
    sha256: Digest


class Registration(_Paper):
    """`registration.json`: the entry in the company register."""

    number: Number
    expires: date | None = None
    scan: Scan


class TaxForm(_Paper):
    """`tax_form.json`: the tax residence certificate."""

    tax_number: Number
    country: Country
    expires: date
    scan: Scan


class Insurance(_Paper):
    """`insurance.json`: the certificate of liability cover."""

    insurer: Name
    cover: Money
    expires: date
    scan: Scan


class Questionnaire(_Paper):
    """`questionnaire.json`: yes or no to each security question."""

    answers: dict[Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,40}$")], bool] = Field(max_length=100)
    expires: date | None = None
    scan: Scan | None = None


class BankDetails(_Paper):
    """`bank.json`: where the vendor is paid. The account number stays in this object: see `documents`."""

    holder: Annotated[Name, Redactable()]
    iban: Annotated[str, Redactable()]
    expires: date | None = None
    scan: Scan | None = None

    @field_validator("iban")
    @classmethod
    def _check_digits_fit(cls, value: str) -> str:
        """Check an IBAN as ISO 13616 says: the number, its first four moved to the end, is 1 modulo 97."""
        iban = value.replace(" ", "").upper()
        if not re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}", iban):
            raise ValueError("not an IBAN")
        if int("".join(str(int(letter, 36)) for letter in iban[4:] + iban[:4])) % 97 != 1:
            raise ValueError("not an IBAN: its check digits do not fit")
        return iban

    @property
    def country(self) -> str:
        """Return the two-letter country of the account."""
        return self.iban[:2]


class RegisterRehearsal(_Paper):
    """`register.json`, optional: how often the stand-in register must fail before it answers. For the example only."""

    fail_times: int = Field(ge=0, le=100, strict=True)


AnyPaper = Registration | TaxForm | Insurance | Questionnaire | BankDetails

REQUIRED_PAPERS: dict[str, type[AnyPaper]] = {
    "registration": Registration,
    "tax_form": TaxForm,
    "insurance": Insurance,
    "questionnaire": Questionnaire,
    "bank": BankDetails,
}
