"""What the review is started with, and where its default vendor and its register are.

The only place that knows about paths on this machine. Paths are made absolute inside an activity, once, and recorded:
a workflow that goes on in another working directory still finds its register.
"""

from datetime import date
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

SHIPPED_VENDORS = Path(__file__).parent / "vendors"
DEFAULT_VENDOR = "northwind"
REGISTER_NAME = "vendor_register.sqlite"
PATH_LENGTH_MAXIMUM = 4096


class VendorInput(BaseModel):
    """The input of a vendor onboarding review; every field has a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vendor_dir: str = Field(
        default=DEFAULT_VENDOR,
        min_length=1,
        max_length=PATH_LENGTH_MAXIMUM,
        description="the vendor's folder: a path, or the name of a shipped vendor",
    )
    register_file: str | None = Field(
        default=None,
        min_length=1,
        max_length=PATH_LENGTH_MAXIMUM,
        description="the vendor register (a SQLite file), by default beside the data of the workflows",
    )
    review_date: date | None = Field(
        default=None, description="the day as of which papers must be valid, by default the day they are collected"
    )


def vendor_folder(vendor_dir: str) -> Path:
    """Return the folder that `vendor_dir` means, absolute; one of yours goes before a shipped vendor of its name."""
    path = Path(vendor_dir).absolute()
    shipped = SHIPPED_VENDORS / vendor_dir
    plain_name = Path(vendor_dir).name == vendor_dir and vendor_dir not in {"", ".", ".."}
    if plain_name and shipped.is_dir() and not (path / "vendor.json").exists():
        return shipped
    return path


def register_path(register: str | None, home: Path | None) -> Path:
    """Return the register's file, absolute: the one named, else `vendor_register.sqlite` in `home` or here."""
    if register is not None:
        return Path(register).absolute()
    return ((home or Path()) / REGISTER_NAME).absolute()
