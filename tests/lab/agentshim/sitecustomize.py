"""Loaded by Python itself at its start, in an agent whose calls are to fail: see `lab.failingagent`."""

import os

from lab.failingagent import InAgent

InAgent(os.environ["FAILING_CALLS"])
