"""The key ring: a file that is read again when it was changed, and never trusted beyond its owner."""

import json
import stat
from pathlib import Path

import pytest

from deploy.keyring import Gcm, RingFile, Siv, new_ring
from domain.errors import InputInvalid


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "ring.json"
    assert new_ring(made) == "k1"
    return made


def test_a_new_ring_is_its_owners_alone_and_takes_no_others_place(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    with pytest.raises(InputInvalid, match="exists already"):
        new_ring(path)
    assert path.read_bytes() == before


def test_a_key_that_was_added_is_the_current_one_for_who_has_read_the_ring_before(path: Path) -> None:
    running = RingFile(path)
    assert RingFile(path).add() == "k2"
    assert running.current == "k2"
    opened = running.wrapping("k1")
    assert opened is not None, "older ones are kept"
    assert running.wrapping("k9") is None


def test_a_key_that_has_left_is_not_wrapped_with(path: Path) -> None:
    running = RingFile(path)
    RingFile(path).add()
    document = json.loads(path.read_text())
    del document["keys"]["k1"]
    path.write_text(json.dumps(document))
    assert running.current == "k2"
    assert running.wrapping("k1") is None


def test_a_ring_that_was_spoilt_leaves_the_keys_that_are_known(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    running = RingFile(path)
    path.write_text("{}")
    assert (running.current, running.current) == ("k1", "k1")
    assert [record.levelname for record in caplog.records] == ["WARNING"], "told once"


def test_what_is_encrypted_opens_for_the_same_key_and_about_the_same_only() -> None:
    for kind, size in ((Gcm, 32), (Siv, 64)):
        cipher = kind(bytes(size))
        sealed = cipher.encrypt(b"data", b"about")
        assert cipher.decrypt(sealed, b"about") == b"data"
        for wrong in ((sealed, b"other"), (sealed[:-1] + bytes([sealed[-1] ^ 1]), b"about"), (b"", b"about")):
            with pytest.raises(ValueError, match=r"does not open|[Nn]once"):
                cipher.decrypt(*wrong)
        with pytest.raises(ValueError, match="does not open"):
            kind(b"\1" * size).decrypt(sealed, b"about")


def test_payloads_never_look_alike_and_texts_always_do() -> None:
    assert Gcm(bytes(32)).encrypt(b"x", b"") != Gcm(bytes(32)).encrypt(b"x", b"")
    assert Siv(bytes(64)).encrypt(b"x", b"") == Siv(bytes(64)).encrypt(b"x", b"")
