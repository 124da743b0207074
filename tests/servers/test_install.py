"""`make test` installs the servers that are missing, starts none of them, and leaves the machine's policy as it was."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("install.sh")
TOOLS = ("sh", "mv", "rm", "chmod", "cat", "cp", "touch", "mktemp", "tail")
OURS = "#!/bin/sh\necho the machine's own\n"

APT = """#!/bin/sh
echo "$@" >>"$STAGE/asked"
[ "$1" = install ] || exit 0
"$POLICY_FILE" && echo allowed >>"$STAGE/policy" || echo "answers $?" >>"$STAGE/policy"
[ -z "${FAILS:-}" ] || exit 100
for name in node npm epmd prometheus promtool prometheus-alertmanager amtool chromium; do
    cp "$STAGE/bin/id" "$STAGE/bin/$name"
done
"""


class Stage:
    """A machine on which Node, Erlang, Prometheus and Chromium are missing."""

    def __init__(self, folder: Path, user: int) -> None:
        self.folder = folder
        self.policy = folder / "policy-rc.d"
        self.programs = folder / "bin"
        self.programs.mkdir()
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found
            (self.programs / tool).symlink_to(found)
        self.program("apt-get", APT)
        self.program("id", f"#!/bin/sh\necho {user}\n")

    def program(self, name: str, text: str) -> None:
        path = self.programs / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    def run(self, **more: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HANDRAIL_")}
        mine = {"PATH": str(self.programs), "STAGE": str(self.folder), "POLICY_FILE": str(self.policy)}
        return subprocess.run(
            ["/bin/sh", str(SCRIPT)],
            env={**kept, **mine, **more},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def said(self, name: str) -> str:
        file = self.folder / name
        return file.read_text(encoding="utf-8") if file.exists() else ""


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path, user=0)


@pytest.mark.parametrize("before", [None, OURS])
def test_services_may_not_start_meanwhile_and_the_policy_is_put_back(stage: Stage, before: str | None) -> None:
    if before is not None:
        stage.policy.write_text(before, encoding="utf-8")
    ended = stage.run()
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
    asked = stage.said("asked").replace(" postgresql", "")
    assert "rabbitmq-server nodejs npm prometheus prometheus-alertmanager chromium\n" in asked
    assert stage.said("policy") == "answers 101\n"
    assert (stage.policy.read_text(encoding="utf-8") if stage.policy.exists() else None) == before
    assert stage.run().returncode == 0
    assert stage.said("asked").count("install -qq") == 1, "what is there is not installed again"


@pytest.mark.parametrize("before", [None, OURS])
def test_the_policy_is_put_back_when_it_fails(stage: Stage, before: str | None) -> None:
    if before is not None:
        stage.policy.write_text(before, encoding="utf-8")
    ended = stage.run(FAILS="yes")
    assert ended.returncode == 1
    assert "apt-get could not install" in ended.stderr
    assert (stage.policy.read_text(encoding="utf-8") if stage.policy.exists() else None) == before


def test_the_policy_that_a_killed_run_left_aside_is_put_back(stage: Stage) -> None:
    stage.policy.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
    aside = stage.policy.with_name("policy-rc.d.kept-by-handrail")
    aside.write_text(OURS, encoding="utf-8")
    assert stage.run().returncode == 0
    assert stage.policy.read_text(encoding="utf-8") == OURS
    assert not aside.exists()


def test_a_plain_user_is_told_what_to_install(tmp_path: Path) -> None:
    stage = Stage(tmp_path, user=1000)
    ended = stage.run()
    assert (ended.returncode, ended.stdout, stage.said("asked")) == (2, "", "")
    assert "apt-get install" in ended.stderr
    assert "nodejs npm prometheus prometheus-alertmanager chromium" in ended.stderr
