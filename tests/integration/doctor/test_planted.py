"""A deployment that is well, and one fault after another planted in it: each is told by its own line."""

import asyncio

from domain.store.schema import MIGRATED_TO
from tests.integration.dead.morgue import dead_goal, goal, published
from tests.integration.doctor.clinic import Clinic, led, permitted
from tests.integration.serving.deployment import until
from tests.servers.postgres import own_cluster


def test_all_is_well_but_for_replication(clinic: Clinic) -> None:
    clinic.deployment.serve("all")
    led(clinic)
    code, found = clinic.examined()
    (replication,) = [one["text"] for one in found if one["level"] in {"warn", "mend"}]
    assert replication.startswith("no synchronous standby: a failover may lose work that was acknowledged; set ")
    assert code == 1
    assert {one["about"] for one in found} >= {"program", "store", "leaders", "broker", "queues", "topology", "rights"}
    told = " ".join(one["text"] for one in found)
    for words in (
        "PostgreSQL 1", "RabbitMQ ", "eventsourcing 9.5.", "fsync and full_page_writes are on", "lock_timeout 5s",
        f"migrated up to {MIGRATED_TO}", "the clock of the store is within", "the clock of the broker is within",
        "none short of memory or disk", "may do what serving processes need", "deliveries are held 600 s at most",
        "max_message_size",
    ):  # fmt: skip
        assert words in told


def test_who_is_not_there_is_told_with_the_role_that_is_missing(clinic: Clinic) -> None:
    clinic.deployment.serve("approvals", "signals", "control", "outcomes", "timer", "projector")
    missing = {
        "nobody consumes handrail.goals: run `handrail serve goals`",
        "nobody consumes handrail.activity.default: run `handrail serve activities --queues default`",
        (
            "nobody consumes handrail.activity.handrail-heartbeat: "
            "run `handrail serve activities --queues handrail-heartbeat`"
        ),
        "nobody leads the relay: run `handrail serve relay` (or `handrail serve all`) somewhere",
    }

    def told() -> set[str]:
        return {line for line in clinic.lines("warn") if line.startswith("nobody")}

    until(lambda: told() == missing, told)


def test_what_is_wrong_with_queues_is_told_queue_by_queue(clinic: Clinic) -> None:
    vhost = clinic.deployment.vhost
    vhost.broker.ask("DELETE", "queues", vhost.name, "handrail.signals")
    asyncio.run(published(vhost.url_of(clinic.deployment.goal_service), [goal("m-1")]))
    asyncio.run(published(vhost.url_of(clinic.deployment.runtime), [dead_goal(1), dead_goal(2)]))
    body = {"pattern": "^handrail", "apply-to": "queues", "definition": {"message-ttl": 3_600_000}}
    vhost.broker.ask("PUT", "policies", vhost.name, "short", body=body)
    waiting = "nobody consumes handrail.goals, and 1 messages wait: run `handrail serve goals`"
    missing = "handrail.signals is not there: `handrail topology apply` declares it"
    dead = "handrail.dead.goals holds 2 dead letters: `handrail dead list` says why"
    code, found = clinic.examined()
    assert code == 2
    told = [one["text"] for one in found if one["level"] in {"warn", "mend"}]
    assert {waiting, missing, dead} <= set(told)
    assert any("message-ttl" in line for line in told)
    # The queues are asked about over AMQP too, which needs nobody's management interface.
    _, found = clinic.examined(HANDRAIL_BROKER_MANAGEMENT="")
    assert {waiting, missing, dead} <= {one["text"] for one in found}
    assert any("HANDRAIL_BROKER_MANAGEMENT is not set" in one["text"] for one in found if one["level"] == "note")


def test_wrong_rights_of_the_runtime_login_are_told(clinic: Clinic) -> None:
    name = clinic.deployment.runtime.name
    permitted(clinic, configure=r"^handrail\.goals$", write=".*", read=r"^handrail\.goals$")
    told = [line for line in clinic.lines("mend") if line.startswith(f"{name} ")]
    for said in (
        "may declare and delete handrail.goals",
        "may write the default exchange, and so any queue",
        "may not read handrail.approvals",
    ):
        assert any(line.startswith(f"{name} {said}: give it the role runtime") for line in told), told
    permitted(clinic, write=r"^handrail\.(commands|events)$")
    assert any(line.startswith(f"{name} may not write handrail.dead: ") for line in clinic.lines("mend"))


def test_a_store_that_was_never_migrated_is_told(clinic: Clinic) -> None:
    cluster = clinic.deployment.database.cluster
    empty = cluster.new_database()
    try:
        mend = clinic.lines("mend", HANDRAIL_STORE=empty.url)
    finally:
        cluster.drop(empty)
    assert any(line.startswith("migration 1 (") and line.endswith("`handrail migrate`") for line in mend)


def test_a_server_that_loses_what_it_said_was_stored_is_told_setting_by_setting(clinic: Clinic) -> None:
    cluster = own_cluster({"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"})
    try:
        unsafe = cluster.new_database()
        mend = " ".join(clinic.lines("mend", HANDRAIL_STORE=unsafe.url))
    finally:
        cluster.leave()
    for words in ("runs with fsync=off", "runs with full_page_writes=off", "runs with synchronous_commit=off"):
        assert words in mend


def test_a_standby_that_commits_wait_for_and_that_is_not_there_is_told(clinic: Clinic) -> None:
    cluster = own_cluster({"synchronous_standby_names": "ANY 1 (second)", "synchronous_commit": "local"})
    try:
        lonely = cluster.new_database()
        mend = " ".join(clinic.lines("mend", HANDRAIL_STORE=lonely.url))
    finally:
        cluster.leave()
    assert "synchronous_standby_names is 'ANY 1 (second)', and no such standby is connected" in mend


def test_what_cannot_be_reached_says_so_and_the_others_go_on(clinic: Clinic) -> None:
    nowhere = {
        "HANDRAIL_STORE": "postgresql://me:hidden@127.0.0.1:1/x",
        "HANDRAIL_BROKER": "amqp://me:hidden@127.0.0.1:1/x",
        "HANDRAIL_BROKER_MANAGEMENT": "http://me:hidden@127.0.0.1:1",
    }
    for name, address in nowhere.items():
        code, found = clinic.examined(**{name: address})
        told = [one["text"] for one in found if one["level"] == "mend"]
        assert code == 2
        assert len([line for line in told if "127.0.0.1:1" in line and "reached" in line]) == 1, told
        assert "hidden" not in str(found)
        assert any(one["level"] == "ok" and one["about"] != "program" for one in found)


def test_a_silent_server_takes_no_longer_than_a_check_may(clinic: Clinic) -> None:
    cluster = own_cluster()
    try:
        database = cluster.new_database()
        cluster.suspend()
        code, found = clinic.examined("--timeout", "2", HANDRAIL_STORE=database.url)
    finally:
        cluster.resume()
        cluster.leave()
    assert code == 2
    told = [one["text"] for one in found if one["level"] == "mend" and one["about"] == "store"]
    assert "store: no answer within 2 s: see that the machine and the network are well" in told
    assert any(one["about"] == "topology" and one["level"] == "ok" for one in found)


def test_a_secret_that_everybody_may_read_is_told(clinic: Clinic) -> None:
    secret = clinic.deployment.folder / "password"
    secret.write_text(clinic.deployment.runtime.password, encoding="utf-8")
    address = clinic.deployment.vhost.url_of(clinic.deployment.runtime).replace(
        f":{clinic.deployment.runtime.password}@", "@"
    )
    given = {"HANDRAIL_BROKER": address, "HANDRAIL_BROKER_PASSWORD_FILE": str(secret)}
    secret.chmod(0o644)
    line = f"everybody on this machine may read {secret} (HANDRAIL_BROKER_PASSWORD_FILE): chmod o-rwx {secret}"
    assert line in clinic.lines("mend", **given)
    secret.chmod(0o640)
    assert line not in clinic.lines("mend", **given)
