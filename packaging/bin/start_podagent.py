"""Starts podagent from the libraries beside this file, whatever else the interpreter has installed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from podagent.cli import main

sys.exit(main())
