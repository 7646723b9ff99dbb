"""`python -m podagent`."""

import sys

from podagent.cli import main

sys.exit(main())
