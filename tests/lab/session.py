"""What marks the things on the host that this process made: several runs may be at work on one machine."""

from __future__ import annotations

import uuid

MARK = uuid.uuid4().hex[:4]
# Interface names have 15 characters: this leaves 9 of them.
BRIDGE_PREFIX = f"pl{MARK}"
LEASES_PREFIX = f"lab-{MARK}-"
