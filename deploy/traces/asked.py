"""Whether traces are asked for; without that, nothing of OpenTelemetry is imported, and nobody emits."""

from __future__ import annotations

import sys
import uuid
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from deploy.addresses import Address
from deploy.settings import Settings
from domain.errors import InputInvalid
from domain.ports import Clock, Transactions
from domain.tracing import TraceContext, traceparent_of

if TYPE_CHECKING:
    from deploy.traces.opening import OpenTraces

SALT: Final = "trace_salt"
_API: Final = "opentelemetry.trace"


def open_traces(
    settings: Settings, store: Transactions, clock: Clock, *, broker: Address | None = None
) -> OpenTraces | None:
    """What emits this process's spans, or None where the setting is off.

    Raises InputInvalid where OpenTelemetry is not installed or its variables do not fit, StoreUnavailable.
    """
    if settings.traces == "off":
        return None
    try:
        # Only here: what is not asked for is not imported, and need not be installed.
        from deploy.traces.opening import OpenTraces, exporter_of  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise InputInvalid(
            f"HANDRAIL_TRACES={settings.traces} needs OpenTelemetry ({error.name} is missing): install handrail[traces]"
        ) from error
    try:
        exporter = exporter_of(settings.traces)
        return OpenTraces(exporter, salt=salt_of(store), clock=clock, broker=_place(broker))
    except ValueError as error:
        raise InputInvalid(f"HANDRAIL_TRACES={settings.traces}: an OTEL_… variable does not fit: {error}") from error


def current_traceparent() -> str | None:
    """The span that the caller is in, as a header, where a program that traces itself uses Handrail."""
    if _API not in sys.modules:
        return None
    # Only here, as above; the program has imported it itself.
    from opentelemetry.trace import get_current_span  # noqa: PLC0415

    context = get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return traceparent_of(TraceContext(context.trace_id, context.span_id, context.trace_flags.sampled))


def salt_of(store: Transactions) -> str:
    """What tells this store's traces from those of another one; made once. Raises StoreUnavailable."""
    found = store.query("SELECT value FROM store_facts WHERE name = ?", (SALT,))
    if not found:
        with store.transaction() as cursor:
            cursor.execute(
                "INSERT INTO store_facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING",
                (SALT, uuid.uuid4().hex),
            )
        found = store.query("SELECT value FROM store_facts WHERE name = ?", (SALT,))
    return str(found[0][0])


def _place(address: Address | None) -> tuple[str, int | None] | None:
    if address is None:
        return None
    parts = urlsplit(address.shown)
    return parts.hostname or "", parts.port
