"""`handrail run --http`: the real program on a real port, approved over HTTP; and `handrail token`."""

import re
import signal
import subprocess

import httpx

from tests.integration.command_line import CommandLine

ADDRESS = re.compile(r"listening on (http://127\.0\.0\.1:\d+)")


def started(handrail: CommandLine, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    """The program, and where it says that it listens."""
    program = handrail.start("run", "--http", "0", *arguments)
    assert program.stderr is not None
    said = program.stderr.readline()
    address = ADDRESS.search(said)
    assert address is not None, said + program.stderr.read()
    assert "handrail token new" in program.stderr.readline()
    return program, address[1]


def token(handrail: CommandLine, *arguments: str) -> dict[str, str]:
    made = handrail("token", "new", *arguments)
    assert made.code == 0, made.errors
    return {"Authorization": f"Bearer {made.lines[0]}"}


def until_blocked(program: subprocess.Popen[str]) -> None:
    assert program.stderr is not None
    for line in program.stderr:
        if "waits: big approval" in line:
            return
    raise AssertionError("it ended before it blocked")


def test_a_run_waits_at_a_block_and_is_approved_over_http(handrail: CommandLine) -> None:
    program, address = started(handrail, "--goal", "asking")
    until_blocked(program)
    person = token(handrail, "--name", "carol", "--role", "approver")
    with httpx.Client(base_url=address, headers=person) as client:
        assert client.get("/readyz").json() == {"status": "ok", "parts": {"store": "ok"}}
        told = httpx.get(f"{address}/metrics").text  # without the token
        assert '\nhandrail_leader{role="projector"} 1.0\n' in told
        assert '\nhandrail_activity_attempts_total{activity="ask",outcome="needs_approval"} 1.0\n' in told
        (asked,) = client.get("/approvals").json()["approvals"]
        answer = client.post(asked["decide"], json={"decision": "approve", "digest": asked["digest"]})
        assert (answer.status_code, answer.json()["effect"]) == (200, "granted")
    out, errors = program.communicate(timeout=30)
    assert program.returncode == 0, errors
    assert out.splitlines() == handrail_lines(handrail)


def handrail_lines(handrail: CommandLine) -> list[str]:
    """What the same prints without the endpoint, as far as it is the same workflow."""
    ended = handrail("run", "--goal", "asking", "--approve-as", "carol", "--home", str(handrail.folder / "other"))
    assert ended.code == 0
    return ended.lines


def test_an_interrupt_at_a_block_leaves_it_waiting(handrail: CommandLine) -> None:
    program, _ = started(handrail, "--goal", "asking")
    until_blocked(program)
    program.send_signal(signal.SIGINT)
    _, errors = program.communicate(timeout=30)
    assert program.returncode == 3, errors
    assert "Traceback" not in errors


def test_a_port_that_is_taken_is_told(handrail: CommandLine) -> None:
    program, address = started(handrail, "--goal", "asking")
    refused = handrail("run", "--goal", "greet", "--http", address.rpartition(":")[2])
    assert refused.code == 2
    assert "choose another port" in refused.errors
    until_blocked(program)
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=30)


def test_http_and_detach_do_not_go_together(handrail: CommandLine) -> None:
    refused = handrail("run", "--goal", "greet", "--http", "0", "--detach")
    assert (refused.code, refused.lines) == (2, [])


def test_tokens_are_made_listed_and_revoked(handrail: CommandLine) -> None:
    secret = handrail("token", "new", "--name", "olga", "--role", "operator", "--role", "approver", "--expires", "90d")
    assert re.fullmatch(r"hrt_[a-z2-7]{8}_[\w-]{43}", secret.lines[0])
    (row,) = handrail("token", "list", "--json").document
    assert (row["name"], row["roles"], row["state"]) == ("olga", ["approver", "operator"], "valid")
    assert secret.lines[0] not in handrail("token", "list").out
    assert handrail("token", "revoke", row["token"]).code == 0
    assert "revoked" in handrail("token", "list").out
    assert handrail("token", "revoke", "nonesuch").code == 2
    assert "token list" in handrail("token", "revoke", "nonesuch").errors


def test_wrong_words_about_tokens_are_refused(handrail: CommandLine) -> None:
    for arguments in (
        ["new", "--name", "x"],
        ["new", "--name", "x", "--role", "king"],
        ["new", "--name", "", "--role", "viewer"],
        ["new", "--name", "x", "--role", "viewer", "--expires", "soon"],
        ["new", "--name", "x", "--role", "viewer", "--expires", "99999d"],
        ["revoke"],
        ["revoke", "abc", "--name", "x"],
        ["list"],
        [],
    ):
        refused = handrail("token", *arguments)
        assert (refused.code, refused.lines) == (2, []), arguments
        assert "Traceback" not in refused.errors
    assert "handrail token new --help" in handrail("token", "new", "--name", "x").errors
