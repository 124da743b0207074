"""`handrail serve` from its beginning to its end: endpoint and signals first, then the store, then the roles.

The endpoint is there before the store is, so that whoever started the process can ask it what it waits for; and it is
closed before the store is, so that what was asked is answered.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import Final

from deploy.loading import LoadedDefinitions
from deploy.metrics import ProcessMetrics
from deploy.serving.accepted import check_login
from deploy.serving.activities import Served
from deploy.serving.ending import Ending
from deploy.serving.endpoint import Endpoint
from deploy.serving.health import Health, Waits
from deploy.serving.parts import Parts
from deploy.serving.process import ServedProcess
from deploy.serving.store_away import opened
from deploy.settings import Settings
from domain.ports import Clock

_log: Final = logging.getLogger("handrail.deploy")


async def serve(
    settings: Settings,
    definitions: LoadedDefinitions,
    clock: Clock,
    names: Sequence[str],
    *,
    queues: Collection[str] = (),
    concurrency: int | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
) -> None:
    """Serve these roles until asked to end; a store that is away is waited for.

    Raises InputInvalid where a queue, the port or an address cannot be used, or the broker refuses the login,
    StoreUnavailable where somebody has to change something before the store can be.
    """
    if "activities" in names:
        Served.of(definitions, queues)
    health, ending, metrics = Health(), Ending(), ProcessMetrics(lag_threshold=settings.stuck.lag)
    waits = Waits(clock)
    health.checks["store"] = waits
    endpoint = Endpoint(health, host, port, metrics=metrics, everything="http" in names)
    parts: Parts | None = None
    try:
        with ending.by_signals(), waits.of("the process") as waiting:
            async with endpoint.answering():
                if endpoint.address:
                    _log.info("health is told at %s", endpoint.address)
                parts = await opened(lambda: Parts.open(settings, definitions, clock, health, metrics), ending, waiting)
                if parts is None:
                    return
                await check_login(parts.broker, ending)
                process = ServedProcess(
                    parts, names, endpoint=endpoint, ending=ending, queues=queues, concurrency=concurrency
                )
                await process.run()
    finally:
        if parts is not None:
            await parts.close()
