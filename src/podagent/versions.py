"""CNI specification versions: parsing, ordering, selection. Pure.

A version keeps its original spelling because plugins compare it as a string; only the ordering is numeric.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as mypy defines it; importing typing would take kactus longer than answering VERSION
if TYPE_CHECKING:
    from collections.abc import Sequence

KNOWN = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
OLDEST = KNOWN[0]
LATEST = KNOWN[-1]


def parse(text: str) -> tuple[int, int, int]:
    """The numbers of a version: "" is 0.1.0, missing parts are 0. Raises ValueError."""
    parts = (text or OLDEST).split(".")
    if len(parts) > 3 or not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        raise ValueError(f"{text[:40]!r} is not a CNI version (at most three numbers separated by dots)")
    numbers = [int(part) for part in parts] + [0, 0]
    return numbers[0], numbers[1], numbers[2]


def at_least(text: str, floor: str) -> bool:
    """Whether version `text` is `floor` or newer. Raises ValueError."""
    return parse(text) >= parse(floor)


def choose(declared: str, offered: Sequence[str]) -> str:
    """Selects the version for a list with ``cniVersions``: the highest one that this runtime supports.

    Args:
        declared: the list's ``cniVersion``, "" if absent; the fallback if no version is supported.
        offered: the list's ``cniVersions``.

    Raises:
        ValueError: one of them cannot be parsed.
    """
    candidates = [*offered, declared] if declared else list(offered)
    usable = [text for text in candidates if parse(text) <= parse(LATEST)]
    # "1.0" and "1.0.0" are equal in order, but plugins accept only the second.
    return max(usable, key=lambda text: (parse(text), text in KNOWN), default=declared)
