"""The file of the broker's users: what each may do, and what is refused, without ever repeating a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.credentials import read_credentials
from domain.errors import InputInvalid
from domain.rights import Role, approval_service, foreign_worker, runtime, signal_service
from domain.topology import Listener

SECRET = "correct-horse"


def written(tmp_path: Path, text: str, mode: int = 0o640, name: str = "users") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_toml_with_every_way_to_say_a_password(tmp_path: Path) -> None:
    written(tmp_path, f"{SECRET}\n", name="runtime.password")
    users = read_credentials(
        written(
            tmp_path,
            f"""
            handrail-operator = "{SECRET}"
            [handrail-runtime]
            password_file = "runtime.password"
            [desk]
            role = "approval"
            definitions = ["Vendor onboarding review"]
            certificate = true
            [post]
            role = "signal"
            signals = ["papers"]
            password = "{SECRET}"
            [node]
            role = "worker"
            queue = "papers"
            password = "{SECRET}"
            [crm]
            role = "listener"
            announcements = ["approval.#"]
            password = "{SECRET}"
            """,
        )
    )
    assert [(one.user.name, one.password) for one in users] == [
        ("handrail-operator", SECRET),
        ("handrail-runtime", SECRET),
        ("desk", None),
        ("post", SECRET),
        ("node", SECRET),
        ("crm", SECRET),
    ]
    assert [one.user for one in users][1:5] == [
        runtime(),
        approval_service("desk", ["Vendor onboarding review"]),
        signal_service("post", ["papers"]),
        foreign_worker("node", "papers"),
    ]
    assert users[0].user.role is Role.OPERATOR
    assert users[5].listener == Listener("crm", ("approval.#",))
    assert SECRET not in repr(users)


def test_json_and_the_workers_of_foreign_queues(tmp_path: Path) -> None:
    (user,) = read_credentials(written(tmp_path, f'{{"worker-papers": "{SECRET}"}}'), ["papers"])
    assert user.user == foreign_worker("worker-papers", "papers")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f'crm = "{SECRET}"', "say its role"),
        (f'[crm]\nrole = "king"\npassword = "{SECRET}"', "role: Input should be"),
        ('[crm]\nrole = "goal"', "give one of password, password_file and certificate"),
        (f'[crm]\nrole = "goal"\npassword = "{SECRET}"\ncertificate = true', "give one of"),
        (f'[crm]\nrole = "goal"\npassword = "{SECRET}"\nqueue = "a"', "queue is for the role worker, not goal"),
        (f'[crm]\nrole = "worker"\npassword = "{SECRET}"', "say which, queue"),
        (f'[crm]\nrole = "worker"\nqueue = "No"\npassword = "{SECRET}"', "is not a name"),
        (f'[crm]\nrole = "goal"\npasword = "{SECRET}"', "pasword: Extra inputs"),
        ('[crm]\nrole = "goal"\npassword = ""', "the password is empty"),
        (f'[crm]\nrole = "goal"\npassword = ["{SECRET}"]', "password: Input should be"),
        (f"[crm\n{SECRET}", "is no TOML"),
        (f'{{"crm": {{"password": "{SECRET}"', "is no JSON"),
        ('[crm]\nrole = "goal"\npassword_file = "missing"', "missing cannot be read"),
    ],
)
def test_what_does_not_fit_is_named_and_the_password_is_not(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(InputInvalid, match=reason) as caught:
        read_credentials(written(tmp_path, text))
    assert SECRET not in str(caught.value)


def test_a_file_that_everybody_may_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputInvalid, match=r"everybody on this machine may read .*: chmod o-rwx"):
        read_credentials(written(tmp_path, f'handrail-runtime = "{SECRET}"', mode=0o644))
    written(tmp_path, SECRET, mode=0o644, name="open.password")
    with pytest.raises(InputInvalid, match="user 'handrail-runtime': everybody"):
        read_credentials(written(tmp_path, '[handrail-runtime]\npassword_file = "open.password"'))
    assert read_credentials(written(tmp_path, f'handrail-runtime = "{SECRET}"', mode=0o640))
