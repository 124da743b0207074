"""What the tests of the doctor share."""

import json
from dataclasses import dataclass
from typing import Any

from domain.rights import runtime
from tests.integration.serving.deployment import Deployment, until
from tests.servers.rabbitmq import Vhost


@dataclass
class Clinic:
    """A deployment, and what the doctor says of it."""

    deployment: Deployment

    def examined(self, *arguments: str, **environment: str) -> tuple[int, list[dict[str, Any]]]:
        """The exit code and all findings."""
        ended = self.deployment.run("doctor", "--json", *arguments, **environment)
        assert ended.stdout, ended.stderr
        secrets = (self.deployment.runtime.password, self.deployment.vhost.broker.admin.password)
        assert not any(secret in ended.stdout + ended.stderr for secret in secrets)
        return ended.returncode, json.loads(ended.stdout)

    def lines(self, level: str, *arguments: str, **environment: str) -> list[str]:
        """What was found of one level."""
        _, found = self.examined(*arguments, **environment)
        return [one["text"] for one in found if one["level"] == level]


def management_of(vhost: Vhost) -> str:
    """The management interface's address, as the administrator."""
    scheme, _, place = vhost.broker.management_url.partition("://")
    return f"{scheme}://{vhost.broker.admin.name}:{vhost.broker.admin.password}@{place}"


def clinic_of(deployment: Deployment) -> Clinic:
    """One that is as it must be: the topology applied whole, its version noted."""
    deployment.settings["HANDRAIL_BROKER_MANAGEMENT"] = management_of(deployment.vhost)
    applied = deployment.run("topology", "apply")
    assert applied.returncode == 0, applied.stderr
    return Clinic(deployment)


def permitted(clinic: Clinic, **changes: str) -> None:
    """Give the runtime login other rights."""
    user = runtime("runtime")
    given = {"configure": user.configure, "write": user.write, "read": user.read, **changes}
    vhost, login = clinic.deployment.vhost, clinic.deployment.runtime
    vhost.permit(login, configure=given["configure"], write=given["write"], read=given["read"])


def led(clinic: Clinic) -> None:
    """Wait until every role has a leader."""

    def leaders() -> int:
        _, found = clinic.examined()
        return len([one for one in found if one["about"] == "leaders" and one["level"] == "ok"])

    until(lambda: leaders() == 3, lambda: str(clinic.examined()))
