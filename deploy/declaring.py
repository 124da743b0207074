"""The topology and the broker held side by side: what is missing or different, and declaring it.

Applying changes nothing that exists except users, their rights and what listeners are told. Where a queue or an
exchange exists with other arguments RabbitMQ cannot change it, so nothing at all is done before a person has decided
what becomes of it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from deploy.broker_definitions import rights, version_parameter
from deploy.credentials import Credential
from deploy.management import Management
from domain.errors import BrokerUnfit
from domain.rights import User, administrator, default_users, may_write_anywhere
from domain.topology import EVENTS_EXCHANGE, Binding, Exchange, Queue, Topology

# What a policy may say about a queue of ours without undoing what its arguments promise.
_HARMLESS: Final = frozenset(
    {"max-length", "max-length-bytes", "max-in-memory-length", "max-in-memory-bytes", "queue-leader-locator",
     "queue-master-locator", "consumer-timeout", "delayed-retry-type", "delayed-retry-min", "delayed-retry-max",
     "target-group-size", "delivery-limit"}
)  # fmt: skip
_HASHING: Final = "rabbit_password_hashing_sha256"
_SALT_BYTES: Final = 4
_BY_APPLYING: Final = "`handrail topology apply` mends it"
_BY_CREDENTIALS: Final = (
    "`handrail topology apply --credentials FILE` mends it, where FILE names this user; without one no user is changed"
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it must be: what it is, what is the matter, and what declares it, if anything does."""

    what: str
    matter: str
    remedy: str = _BY_APPLYING
    mend: Callable[[], None] | None = field(default=None, repr=False, compare=False)
    done: str = ""
    """What to say when it was mended."""

    def __str__(self) -> str:
        return f"{self.what}: {self.matter}; {self.remedy}"


class Declared:
    """What is declared in one virtual host."""

    def __init__(self, management: Management, vhost: str) -> None:
        """Nothing is asked yet."""
        self._management = management
        self._vhost = vhost

    def apply(self, topology: Topology, credentials: Sequence[Credential] = ()) -> Iterator[str]:
        """Declare what is missing; a line for each thing, as it is done.

        Raises BrokerUnfit, having changed nothing, where something exists that cannot be made fit.
        """
        if self._management.find("vhosts", self._vhost) is None:
            self._management.put("vhosts", self._vhost, body={})
            yield f"virtual host {self._vhost!r}: made"
        if not self._permissions(self._management.user):
            self._permit(administrator(self._management.user))
            yield f"user {self._management.user!r}: given the administrator's rights in {self._vhost!r}"
        found = list(self.topology_differences(topology))
        stuck = [one for one in found if one.mend is None]
        if stuck:
            more = f" (and {len(stuck) - 1} more: `handrail topology check` names them)" if len(stuck) > 1 else ""
            raise BrokerUnfit(f"{stuck[0]}; nothing was declared{more}")
        told = {binding.queue for binding in topology.bindings if binding.exchange == EVENTS_EXCHANGE}
        found += [one for one in self._strange_bindings(topology) if one.what in {f"queue {name}" for name in told}]
        yield from _mended(found)
        if not found:
            count = f"{len(topology.exchanges)} exchanges, {len(topology.queues)} queues"
            yield f"{count} and their bindings: as they must be"
        for credential in credentials:
            lines = [*_mended(self._login(credential)), *_mended(self._rights(credential.user))]
            yield from lines or [f"user {credential.user.name!r}: as it must be"]

    def check(self, topology: Topology, users: Iterable[User] | None = None) -> list[Difference]:
        """All that is missing or different. Without `users`, the usual ones are looked at where they exist."""
        if self._management.find("vhosts", self._vhost) is None:
            return [Difference(f"virtual host {self._vhost!r}", "is not there", "`handrail topology apply` makes it")]
        looked_at = users if users is not None else self._existing(default_users())
        return [
            *self.topology_differences(topology),
            *self._strange_bindings(topology),
            *self._policies(topology),
            *self.user_differences(looked_at),
            *self._too_free(),
        ]

    def topology_differences(self, topology: Topology) -> Iterator[Difference]:
        """What is missing or different among exchanges, queues, bindings and the version."""
        yield from self._version(topology)
        yield from self._exchanges(topology)
        yield from self._queues(topology)
        yield from self._bindings(topology)

    def user_differences(self, users: Iterable[User]) -> Iterator[Difference]:
        """What is missing or different among users and their rights."""
        for user in users:
            known = self._management.find("users", user.name)
            what = f"user {user.name!r}"
            if known is None:
                yield Difference(what, "is not there", "`handrail topology apply --credentials` makes it")
                continue
            tags = _tags(known["tags"])
            if tags != set(user.tags):
                yield Difference(
                    what, f"has the tags {_listed(tags)}, and must have {_listed(user.tags)}", _BY_CREDENTIALS
                )
            yield from self._rights(user)

    def _version(self, topology: Topology) -> Iterator[Difference]:
        name = version_parameter(self._vhost)
        known = self._management.find("global-parameters", name)
        version = known["value"] if known else None
        if version == topology.version:
            return
        what = f"topology of {self._vhost!r}"
        if isinstance(version, int) and version > topology.version:
            yield Difference(
                what, f"is of version {version}, this Handrail knows {topology.version}", "use the newer Handrail"
            )
            return
        yield Difference(
            what,
            f"has no version, and must have {topology.version}" if version is None else f"is of version {version}",
            mend=lambda: self._management.put(
                "global-parameters", name, body={"name": name, "value": topology.version}
            ),
            done=f"version {topology.version} noted",
        )

    def _exchanges(self, topology: Topology) -> Iterator[Difference]:
        columns = "name,type,durable,auto_delete,internal,arguments"
        known = {one["name"]: one for one in self._management.every("exchanges", self._vhost, columns=columns)}
        for exchange in topology.exchanges:
            what = f"exchange {exchange.name}"
            body = {
                "type": exchange.kind, "durable": True, "auto_delete": False, "internal": False,
                "arguments": exchange.arguments,
            }  # fmt: skip
            if exchange.name not in known:
                yield Difference(what, "is not there", mend=self._putting("exchanges", exchange, body), done="declared")
                continue
            for matter in _others(known[exchange.name], body):
                yield Difference(
                    what,
                    matter,
                    f"RabbitMQ cannot change it: stop those who publish there, delete exchange {exchange.name}, and "
                    "apply again",
                )

    def _queues(self, topology: Topology) -> Iterator[Difference]:
        columns = "name,durable,auto_delete,exclusive,arguments"
        known = {one["name"]: one for one in self._management.every("queues", self._vhost, columns=columns)}
        for queue in topology.queues:
            what = f"queue {queue.name}"
            body = {"durable": True, "auto_delete": False, "arguments": dict(queue.arguments)}
            if queue.name not in known:
                yield Difference(what, "is not there", mend=self._putting("queues", queue, body), done="declared")
                continue
            for matter in _others(known[queue.name], body):
                yield Difference(
                    what,
                    matter,
                    f"RabbitMQ cannot change it: stop those who publish there, let it run empty, delete queue "
                    f"{queue.name}, and apply again (what is outstanding is issued again from the store)",
                )

    def _bindings(self, topology: Topology) -> Iterator[Difference]:
        known = self._known_bindings()
        for binding in topology.bindings:
            if binding not in known:
                yield Difference(
                    f"queue {binding.queue}",
                    f"is not bound to exchange {binding.exchange} under {binding.key!r}",
                    mend=self._binding(binding),
                    done=f"bound to {binding.exchange} under {binding.key!r}",
                )

    def _strange_bindings(self, topology: Topology) -> Iterator[Difference]:
        """What else reaches our queues: a listener's former keys, which `apply` takes away, or somebody's own idea."""
        ours = {queue.name for queue in topology.queues}
        for binding, key in self._known_bindings().items():
            # Every queue is bound to the default exchange, which has no name.
            if binding.exchange and binding.queue in ours and binding not in topology.bindings:
                yield Difference(
                    f"queue {binding.queue}",
                    f"is also bound to exchange {binding.exchange} under {binding.key!r}",
                    "unbind it, unless you know why",
                    mend=self._unbinding(binding, key),
                    done=f"no longer bound to {binding.exchange} under {binding.key!r}",
                )

    def _known_bindings(self) -> dict[Binding, str]:
        """The bindings of queues that are there, and what the management calls each among those of its queue."""
        columns = "source,destination,destination_type,routing_key,properties_key"
        return {
            Binding(one["source"], one["destination"], one["routing_key"]): one["properties_key"]
            for one in self._management.every("bindings", self._vhost, columns=columns)
            if one["destination_type"] == "queue"
        }

    def _policies(self, topology: Topology) -> Iterator[Difference]:
        """Policies that undo what the arguments of a queue promise: for `overflow` the policy wins."""
        columns = "name,pattern,apply-to,definition,priority"
        for kind in ("policies", "operator-policies"):
            policies = self._management.every(kind, self._vhost, columns=columns)
            for queue in topology.queues:
                matching = [one for one in policies if _applies(one, queue.name)]
                policy = max(matching, key=lambda one: one["priority"], default=None)
                harmful = sorted(_harmful(policy["definition"])) if policy is not None else []
                if policy is not None and harmful:
                    yield Difference(
                        f"queue {queue.name}",
                        f"has {', '.join(harmful)} by policy {policy['name']!r}, which may drop or redirect messages",
                        "take the policy away from it",
                    )

    def _rights(self, user: User) -> Iterator[Difference]:
        what = f"user {user.name!r}"
        known = self._permissions(user.name)
        for right, pattern in rights(user).items():
            if not known:
                # To whoever applies, and has none, apply gives them: without them it could declare nothing.
                own = user.name == self._management.user
                yield Difference(
                    what,
                    f"has no rights in {self._vhost!r}",
                    _BY_APPLYING if own else _BY_CREDENTIALS,
                    mend=lambda: self._permit(user),
                    done="given its rights",
                )
                break
            if known[right] != pattern:
                yield Difference(
                    what,
                    f"may {right} {known[right]!r}, and must {pattern!r}",
                    _BY_CREDENTIALS,
                    mend=lambda: self._permit(user),
                    done="given its rights",
                )
                break
        path = ("users", user.name, "topic-permissions")
        told = {
            one["exchange"]: (one["write"], one["read"])
            for one in self._management.get(*path)
            if one["vhost"] == self._vhost
        }
        for topic in user.topics:
            if told.get(topic.exchange) != (topic.write, topic.read):
                yield Difference(
                    what,
                    f"may write {told.get(topic.exchange, ('every key', ''))[0]!r} on {topic.exchange}, and must "
                    f"{topic.write!r}",
                    _BY_CREDENTIALS,
                    mend=lambda: self._permit(user),
                    done="held to its routing keys",
                )
                break

    def _too_free(self) -> Iterator[Difference]:
        """Users who may reach any queue through the default exchange; administrators may give themselves anything."""
        for one in self._management.every("vhosts", self._vhost, "permissions", columns="user,write"):
            if not may_write_anywhere(one["write"]):
                continue
            known = self._management.find("users", one["user"]) or {"tags": ""}
            if "administrator" not in _tags(known["tags"]):
                yield Difference(
                    f"user {one['user']!r}",
                    f"may write {one['write']!r}, and through the default exchange any queue",
                    "give it only the exchanges that it needs",
                )

    def _login(self, credential: Credential) -> Iterator[Difference]:
        """Whether the user is there and logs in as its credential says."""
        user = credential.user
        known = self._management.find("users", user.name)
        what = f"user {user.name!r}"
        tags = ",".join(user.tags)
        secret = {"password_hash": ""} if credential.password is None else {"password": credential.password}

        def write() -> None:
            self._management.put("users", user.name, body={**secret, "tags": tags})

        if known is None:
            yield Difference(what, "is not there", mend=write, done=f"made ({user.role.value})")
            return
        if not _same_password(known, credential.password):
            yield Difference(what, "has another password", mend=write, done="given its password")
        elif _tags(known["tags"]) != set(user.tags):
            yield Difference(what, "has other tags", mend=write, done=f"given the tags {_listed(user.tags)}")

    def _existing(self, users: Iterable[User]) -> list[User]:
        names = {one["name"] for one in self._management.every("users", columns="name")}
        return [user for user in users if user.name in names]

    def _permissions(self, user: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self._management.find("permissions", self._vhost, user)
        return found

    def _permit(self, user: User) -> None:
        self._management.put("permissions", self._vhost, user.name, body=rights(user))
        for topic in user.topics:
            body = {"exchange": topic.exchange, "write": topic.write, "read": topic.read}
            self._management.put("topic-permissions", self._vhost, user.name, body=body)

    def _putting(self, kind: str, declared: Exchange | Queue, body: Mapping[str, Any]) -> Callable[[], None]:
        return lambda: self._management.put(kind, self._vhost, declared.name, body=body)

    def _binding(self, binding: Binding) -> Callable[[], None]:
        path = ("bindings", self._vhost, "e", binding.exchange, "q", binding.queue)
        return lambda: self._management.post(*path, body={"routing_key": binding.key, "arguments": {}})

    def _unbinding(self, binding: Binding, properties_key: str) -> Callable[[], None]:
        path = ("bindings", self._vhost, "e", binding.exchange, "q", binding.queue, properties_key)
        return lambda: self._management.delete(*path)


def _applies(policy: Mapping[str, Any], queue: str) -> bool:
    try:
        matches = re.search(policy["pattern"], queue) is not None
    except re.error:
        matches = True
    return matches and policy["apply-to"] not in {"exchanges", "classic_queues", "streams"}


def _harmful(definition: Mapping[str, Any]) -> set[str]:
    """What a policy sets that loses or redirects messages."""
    kept = definition.keys() - _HARMLESS
    return {name for name in kept if not (name == "overflow" and definition[name] == "reject-publish")}


def _mended(differences: Iterable[Difference]) -> Iterator[str]:
    for one in differences:
        if one.mend is not None:
            one.mend()
            yield f"{one.what}: {one.done}"


def _others(known: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    """How what exists differs from what must be, one thing at a time."""
    for name, value in wanted.items():
        if name != "arguments":
            if known.get(name) != value:
                yield f"has {name} = {known.get(name)}, and must have {value}"
            continue
        arguments: Mapping[str, Any] = known.get("arguments") or {}
        for key in sorted(arguments.keys() | value.keys()):
            if arguments.get(key) != value.get(key):
                has = f"has {key} = {arguments[key]}" if key in arguments else f"has no {key}"
                must = f"must have {value[key]}" if key in value else "must have none"
                yield f"{has}, and {must}"


def _tags(given: Any) -> set[str]:
    """Tags as a set: RabbitMQ before 3.9 says them as text, later ones as a list."""
    words = given.split(",") if isinstance(given, str) else given
    return {str(word).strip() for word in words} - {""}


def _listed(tags: Iterable[str]) -> str:
    return ", ".join(sorted(tags)) or "none"


def _same_password(known: Mapping[str, Any], password: str | None) -> bool:
    """Whether a user's stored hash is this password's."""
    stored = str(known.get("password_hash") or "")
    if password is None or not stored:
        return password is None and not stored
    if known.get("hashing_algorithm") != _HASHING:
        return False
    raw = base64.b64decode(stored)
    digest = hashlib.sha256(raw[:_SALT_BYTES] + password.encode()).digest()
    return hmac.compare_digest(raw[_SALT_BYTES:], digest)
