"""What work stands on: processes, roles, store, broker, queues."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from deploy.grafana.boards import board
from deploy.grafana.overview import heartbeat
from deploy.grafana.panels import (
    AMBER,
    BYTES,
    GREEN,
    GREY,
    LOOK_ABOVE_ZERO,
    PER_MINUTE,
    RED,
    SECONDS,
    SHARE,
    Column,
    Label,
    Query,
    about,
    bars,
    lines,
    number,
    rows,
)
from deploy.grafana.queries import DEAD, age, in_range, of, per_minute, quantile, told

UID: Final = "handrail-infrastructure"
_OLD: Final = ((None, GREEN), (60.0, AMBER), (300.0, RED))
_TIMER: Final = f"clamp_min({age('handrail_timer_due_timestamp_seconds')}, 0)"
"""For how long the earliest timer has been due; 0 where it is still to come, nothing where there is none."""


def infrastructure() -> Dashboard:
    """What those ask who keep processes, database and broker running."""
    return board(
        UID,
        "Handrail: infrastructure",
        "Do the processes, the store and the broker do their part, and where does it lie where they do not?",
        [
            (6, [(16, _processes()), (8, _leaders())]),
            (4, [(3, heartbeat()), (3, _judged()), (3, _broker_facts()), (3, _sealed()), (9, _held()), (3, _let_go())]),
            (6, [(8, _behind()), (8, _turn_seconds()), (8, _turns())]),
            (6, [(9, _errors()), (5, _taken_in()), (5, _faults()), (5, _dead())]),
        ],
    )


def _processes() -> Panel:
    built = told("handrail_build_info", by="instance, version, python")
    return rows(
        "Is every process ready?",
        about(
            "Each process that Prometheus reaches. Not ready: its `/readyz` names the part. Several versions: a "
            "roll-out is under way, or has stopped half way.",
            "alert-handrailnotready",
        ),
        [Label("instance", "Process"), Label("version", "Handrail"), Label("python", "Python")],
        [
            Column(
                f"{told('handrail_ready', by='instance')} * on (instance) group_left (version, python) {built}",
                "Ready",
                colours=((None, RED), (1, GREEN)),
                mapped={"0": ("no", RED), "1": ("yes", GREEN)},
            ),
            Column(f"time() - {told('process_start_time_seconds', by='instance')}", "Up for", unit=SECONDS),
            Column(
                f"sum by (instance) (rate({of('process_cpu_seconds_total')}[$__rate_interval]))",
                "Of a core",
                unit=SHARE,
                decimals=1,
            ),
            Column(told("process_resident_memory_bytes", by="instance"), "Memory", unit=BYTES),
        ],
        nothing="no process is reached",
    )


def _leaders() -> Panel:
    return rows(
        "Who leads?",
        about(
            "One process leads each role, the others stand by. None: nobody plays the role, or nobody gets its lock; "
            "two: another deployment is scraped under this name.",
            "alert-handrailnoleader",
        ),
        [Label("role", "Role"), Label("instance", "Process")],
        [
            Column(
                told("handrail_leader", by="role, instance"),
                "State",
                colours=((None, GREY), (1, GREEN)),
                mapped={"0": ("stands by", GREY), "1": ("leads", GREEN)},
            )
        ],
        nothing="nobody plays a role that is led",
    )


def _judged() -> Panel:
    return number(
        "Stuckness last judged",
        about(
            "How long ago it was last looked which workflows are stuck; every 5 s while a projector is led.",
            "alert-handrailviewsnotjudged",
        ),
        Query(age("handrail_views_judged_timestamp_seconds")),
        unit=SECONDS,
        colours=_OLD,
        nothing="not judged",
    )


def _broker_facts() -> Panel:
    return number(
        "Broker last heard",
        about(
            "How long ago the broker last said how its queues are; every 10 s. When it does not, no cause of being "
            "stuck rests on queues.",
            "alert-handrailbrokerfactsold",
        ),
        Query(age("handrail_broker_facts_timestamp_seconds")),
        unit=SECONDS,
        colours=_OLD,
        nothing="never",
    )


def _sealed() -> Panel:
    return number(
        "Last sealed",
        about(
            "How long ago the store was last sealed, where `[seal]` of the configuration has it done on schedule.",
            "alert-handrailsealoverdue",
        ),
        Query(age("handrail_seal_last_timestamp_seconds")),
        unit=SECONDS,
        nothing="never",
    )


def _held() -> Panel:
    return number(
        "What is held back?",
        about(
            "Events that the relay could not publish, messages for a definition that no process has, goals that no "
            "process has taken in yet, and workflows whose history the views cannot fold. `handrail doctor` says more.",
            "is-everything-as-it-must-be-handrail-doctor",
        ),
        Query(told("handrail_relay_parked"), "parked by the relay"),
        Query(told("handrail_messages_held"), "messages held"),
        Query(told("handrail_goals_held"), "goals held"),
        Query(told("handrail_parked_views"), "parked by the views"),
        colours=LOOK_ABOVE_ZERO,
        nothing="not known",
    )


def _let_go() -> Panel:
    return number(
        "Announcements let go",
        about(
            "In the time shown: what a listener's full queue refused for an hour. `handrail doctor` names the queue.",
            "alert-handrailannouncementsletgo",
        ),
        Query(f"max (increase({of('handrail_announcements_let_go_total')}[$__range]))"),
        colours=LOOK_ABOVE_ZERO,
        decimals=0,
        nothing="not known",
    )


def _behind() -> Panel:
    return lines(
        "How late are relay, views and timer?",
        about(
            "How long the first event that relay or views have not had has been in the log, and how long the earliest "
            "timer has been due. It grows where nobody leads the role, or the leader cannot work.",
            "alert-handrailrelaylag",
        ),
        Query(told("handrail_follower_lag_seconds", by="follower"), "{{follower}}"),
        Query(_TIMER, "timer"),
        unit=SECONDS,
        nothing="not known",
    )


def _turn_seconds() -> Panel:
    return lines(
        "How long does a turn take?",
        about("Deciding, and saving it in one transaction. It grows with the store's own latency.", "the-store"),
        Query(quantile(0.5, "handrail_turn_seconds"), "50% within"),
        Query(quantile(0.95, "handrail_turn_seconds"), "95% within"),
        Query(quantile(0.99, "handrail_turn_seconds"), "99% within"),
        unit=SECONDS,
        nothing="no turns",
    )


def _turns() -> Panel:
    return lines(
        "How much is decided?",
        about("Turns are transactions; the more decisions each has, the more the store saves.", "the-store"),
        Query(per_minute("handrail_turns_total"), "turns"),
        Query(per_minute("handrail_turn_decisions_sum"), "decisions"),
        Query(per_minute("handrail_events_total"), "events in the views"),
        unit=PER_MINUTE,
    )


def _errors() -> Panel:
    return lines(
        "What do store and broker refuse?",
        about(
            "Conflict and fence: another process was first, which mends itself. Away: it was not there. Returned, "
            "refused, unfit: an exchange, a queue or a right is missing or full.",
            "alert-handrailbrokererrors",
        ),
        Query(per_minute("handrail_store_errors_total", by="kind"), "store: {{kind}}"),
        Query(per_minute("handrail_broker_errors_total", by="kind"), "broker: {{kind}}"),
        unit=PER_MINUTE,
    )


def _taken_in() -> Panel:
    return lines(
        "What becomes of messages?",
        about("Goals, decisions and outcomes as they are taken in. Repeated: received before.", "dead-letters"),
        Query(f"{per_minute('handrail_messages_received_total', by='outcome')} > 0", "{{outcome}}"),
        unit=PER_MINUTE,
        stacked=True,
        nothing="no messages",
    )


def _faults() -> Panel:
    return bars(
        "Why do messages die?",
        about("Messages moved to a dead queue in the time shown, by fault.", "dead-letters"),
        Query(f"{in_range('handrail_message_faults_total', by='fault')} > 0", "{{fault}}"),
        colours=((None, AMBER),),
    )


def _dead() -> Panel:
    return rows(
        "Where do dead letters lie?",
        about("`handrail dead list` groups them by fault; mend that, then `handrail dead replay`.", "dead-letters"),
        [Label("queue", "Queue")],
        [Column(f"{told('handrail_queue_messages', DEAD, by='queue')} > 0", "Messages", colours=((None, AMBER),))],
        nothing="nowhere",
    )
