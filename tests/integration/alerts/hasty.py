"""The recipes, for a process that asks the broker how its queues are all the time.

It asks every 10 s otherwise, and what is called old by an alert is 60 s old: with times that are a thirtieth of those
shipped, both have to be shorter, for the alerts to come in their order.
"""

from deploy.serving import queues
from tests.integration.alerts.recipes import DEFINITIONS

__all__ = ["DEFINITIONS"]

vars(queues)["LOOK_SECONDS"] = 0.2
