"""Starts podagent from the libraries beside this file, whatever else the interpreter has installed."""

import sys

sys.path.insert(0, __file__.rpartition("/")[0])
from podagent.__main__ import main

sys.exit(main())
