"""`handrail serve`: what cannot be served is refused in one line, before anything is connected."""

import pytest

from deploy.cli.main import main


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No store, no broker, and no settings of this machine's."""
    for name in ("HANDRAIL_STORE", "HANDRAIL_BROKER", "HANDRAIL_SETTINGS", "HANDRAIL_MODULES"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["bogus"], "there is no role 'bogus': choose of goals"),
        (["goals", "bogus"], "there is no role 'bogus'"),
        (["activities", "--queues", ","], "--queues names none"),
        (["goals", "--queues", "mail"], "for the role activities"),
        (["relay", "timer", "--concurrency", "5"], "for the role activities"),
        (["activities", "--concurrency", "0"], "--concurrency"),
        (["all", "--queues", "mail"], "--queues mail: no loaded activity declares it; there are: default"),
        (["all", "--queues", "default"], "HANDRAIL_STORE is not set"),
        (["goals"], "HANDRAIL_STORE is not set"),
        (["http"], "--port P says where the role http answers (0: any free port)"),
        (["goals", "http"], "--port P says where the role http answers"),
        (["all", "http"], "--port P says where the role http answers"),
    ],
)
def test_what_cannot_be_served_is_refused(given: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", *given]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert (told.out, told.err.count("\n")) == ("", 1)
