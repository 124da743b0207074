"""`python -m deploy.cli` is `handrail`."""

import sys

from deploy.cli.main import main

sys.exit(main())
