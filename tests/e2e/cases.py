"""What cases have in common."""

from __future__ import annotations

import pytest

AWAY = pytest.mark.parametrize("away", [False, True], ids=["agent-at-work", "agent-away"])
"""For a case that must hold with the agent at work, and when it was away meanwhile and comes back."""
