"""The vendor register keeps what an idempotent outside must keep: one key, one number; released is released."""

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deploy.examples.vendor_onboarding import register as register_module
from deploy.examples.vendor_onboarding.register import RegisterBusy, RegisterError, VendorRegister

AT = datetime(2030, 6, 15, 12, tzinfo=UTC)


@pytest.fixture
def register(tmp_path: Path) -> VendorRegister:
    return VendorRegister(tmp_path / "deep" / "register.sqlite")


def reserve(register: VendorRegister, key: str, vendor: str = "oakline") -> str:
    return register.reserve(key, vendor_key=vendor, legal_name=vendor.title(), at=AT).vendor_number


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def test_the_same_key_gets_the_same_number_and_one_row(register: VendorRegister, tmp_path: Path) -> None:
    first = register.reserve("k1", vendor_key="oakline", legal_name="Oakline", at=AT)
    again = VendorRegister(tmp_path / "deep" / "register.sqlite").reserve(
        "k1", vendor_key="oakline", legal_name="Oakline", at=AT
    )
    assert (first.fresh, again.fresh) == (True, False)
    assert first.vendor_number == again.vendor_number == "V-100001"
    assert rows(tmp_path / "deep" / "register.sqlite", "SELECT count(*) FROM reservations") == [(1,)]


def test_other_vendors_get_other_numbers(register: VendorRegister) -> None:
    assert [reserve(register, f"k{vendor}", vendor) for vendor in "abc"] == ["V-100001", "V-100002", "V-100003"]


def test_a_vendor_holds_one_number_at_a_time(register: VendorRegister) -> None:
    reserve(register, "k1")
    with pytest.raises(RegisterError, match="oakline already holds V-100001 by another review"):
        reserve(register, "k2")
    register.release("k1", at=AT)
    assert reserve(register, "k2") == "V-100002"


def test_a_key_belongs_to_one_vendor(register: VendorRegister) -> None:
    reserve(register, "k1")
    with pytest.raises(RegisterError, match="k1 is oakline's"):
        reserve(register, "k1", "elmtree")


def test_releasing_is_recorded_and_tolerates_being_repeated(register: VendorRegister, tmp_path: Path) -> None:
    reserve(register, "k1")
    assert register.release("k1", at=AT) == ("released", "V-100001")
    assert register.release("k1", at=AT) == ("already_released", "V-100001")
    assert register.number_of("oakline") is None
    path = tmp_path / "deep" / "register.sqlite"
    assert rows(path, "SELECT idempotency_key, found FROM releases") == [("k1", 1)]
    assert rows(path, "SELECT released_at FROM reservations") == [(AT.isoformat(),)]


def test_releasing_what_never_happened_bars_it_from_happening_late(register: VendorRegister) -> None:
    assert register.release("k1", at=AT) == ("never_reserved", None)
    assert register.release("k1", at=AT) == ("already_released", None)
    with pytest.raises(RegisterError, match="k1 was released and cannot be taken again"):
        reserve(register, "k1")
    assert register.number_of("oakline") is None


def test_a_released_key_cannot_be_taken_again(register: VendorRegister) -> None:
    reserve(register, "k1")
    register.release("k1", at=AT)
    with pytest.raises(RegisterError, match="was released"):
        reserve(register, "k1")


def test_looking_up_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "register.sqlite"
    assert VendorRegister(path).number_of("oakline") is None
    assert not path.exists()


def test_rehearsed_failures_are_counted_across_instances_and_by_key(tmp_path: Path) -> None:
    path = tmp_path / "register.sqlite"
    for _ in range(2):
        with pytest.raises(RegisterBusy, match="rehearsed"):
            VendorRegister(path).rehearse_failure("k1", 2)
    VendorRegister(path).rehearse_failure("k1", 2)
    with pytest.raises(RegisterBusy):
        VendorRegister(path).rehearse_failure("k2", 2)


def test_no_rehearsed_failures_make_no_file(tmp_path: Path) -> None:
    VendorRegister(tmp_path / "register.sqlite").rehearse_failure("k1", 0)
    assert list(tmp_path.iterdir()) == []


def attempted(attempt: Callable[[], str]) -> str:
    try:
        return attempt()
    except RegisterBusy:
        raise
    except RegisterError:
        return "refused"


def test_many_at_once_by_one_key_share_one_number(register: VendorRegister) -> None:
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda _: reserve(register, "k1"), range(24)))
    assert set(numbers) == {"V-100001"}


def test_many_at_once_for_one_vendor_have_one_winner(register: VendorRegister) -> None:
    with ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(lambda n: attempted(lambda: reserve(register, f"k{n}")), range(24)))
    assert sorted(ends) == ["V-100001", *["refused"] * 23]


def test_a_register_held_by_another_is_busy_and_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register_module, "BUSY_TIMEOUT_SECONDS", 0.0)
    path = tmp_path / "register.sqlite"
    reserve(VendorRegister(path), "k0", "elmtree")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RegisterBusy, match="the register is busy"):
            reserve(VendorRegister(path), "k1")
        other.execute("ROLLBACK")
    assert rows(path, "SELECT idempotency_key FROM reservations") == [("k0",)]


def test_a_full_disk_passes_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "register.sqlite"
    reserve(VendorRegister(path), "k0", "elmtree")
    connect = sqlite3.connect

    def connect_to_full_disk(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.execute("PRAGMA max_page_count = 1")
        return connection

    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", connect_to_full_disk)
        with pytest.raises(RegisterBusy, match="database or disk is full"):
            VendorRegister(path).reserve("k1", vendor_key="oakline", legal_name="x" * 200_000, at=AT)
    assert rows(path, "SELECT idempotency_key FROM reservations") == [("k0",)]
    assert reserve(VendorRegister(path), "k1") == "V-100002"


def test_a_failure_midway_leaves_nothing_behind(register: VendorRegister, tmp_path: Path) -> None:
    with pytest.raises(AttributeError):
        register.reserve("k1", vendor_key="oakline", legal_name="Oakline", at=None)  # type: ignore[arg-type]
    assert rows(tmp_path / "deep" / "register.sqlite", "SELECT name FROM sqlite_schema") == []
    assert reserve(register, "k1") == "V-100001"


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"no database at all" * 100, "file is not a database"), (b"", None)],
)
def test_what_is_no_register_is_refused_and_kept(content: bytes, reason: str | None, tmp_path: Path) -> None:
    path = tmp_path / "register.sqlite"
    path.write_bytes(content)
    if reason is None:
        assert reserve(VendorRegister(path), "k1") == "V-100001"
        return
    with pytest.raises(RegisterError, match=rf"{reason}.*name another file with --input register_file=PATH"):
        reserve(VendorRegister(path), "k1")
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("statement", "message"),
    [("CREATE TABLE other (id)", "not a vendor register"), ("PRAGMA user_version = 9", "of version 9, this program")],
)
def test_a_database_of_something_else_is_refused(statement: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "register.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
    content = path.read_bytes()
    with pytest.raises(RegisterError, match=message):
        reserve(VendorRegister(path), "k1")
    assert path.read_bytes() == content


def test_a_place_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RegisterError, match=r"cannot be used .*--input register_file=PATH"):
        reserve(VendorRegister(tmp_path / "file" / "register.sqlite"), "k1")
