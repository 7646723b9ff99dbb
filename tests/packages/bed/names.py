"""Names that are the same in the machine and outside."""

from __future__ import annotations

import hashlib


def ifname(network: str) -> str:
    """The interface that attaches a network, after the rule that users know."""
    return "net" + hashlib.md5(network.encode(), usedforsecurity=False).hexdigest()[:12]
