"""The real command line, some time later: `python -m tests.crash.late SECONDS VERB …` runs it with its clock ahead.

Only the engine's clock is moved, where a runtime takes it from when nobody hands it one; everything else is the
command line as it is.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta

from deploy.cli.main import main
from deploy.runtime import Runtime, utc_now


def move_clock(ahead: timedelta) -> None:
    """Have every runtime of this process live that much later."""

    def later() -> datetime:
        return utc_now() + ahead

    defaults = Runtime.__init__.__kwdefaults__ or {}
    if defaults.get("clock") is not utc_now:
        raise AssertionError("a runtime no longer takes its clock from the default of its argument")
    defaults["clock"] = later


if __name__ == "__main__":
    move_clock(timedelta(seconds=float(sys.argv.pop(1))))
    sys.argv[0] = "handrail"
    sys.exit(main())
