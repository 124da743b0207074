"""How much the properties are tried: a quick, repeatable profile for every run, and a long, random one by environment.

`HANDRAIL_PROPERTIES=long pytest tests/properties` tries ten times as much, with other examples each time.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# A workflow takes many draws, and making one is most of an example's time: neither says anything about it.
UNHURRIED = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example)

settings.register_profile("quick", max_examples=400, deadline=None, derandomize=True, suppress_health_check=UNHURRIED)
settings.register_profile("long", max_examples=4_000, deadline=None, print_blob=True, suppress_health_check=UNHURRIED)
settings.load_profile(os.environ.get("HANDRAIL_PROPERTIES", "quick"))
