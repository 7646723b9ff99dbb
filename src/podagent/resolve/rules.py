"""The administrator's rules for network definitions. Cheap to import, for kactus."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

ANY, OWN_NAMESPACE, NONE = "any", "own-namespace", "no"
"""Which MAC addresses a pod may request: any; free ones and those of its namespace; none."""

DEFAULT_PLUGINS = (
    "bridge", "macvlan", "ipvlan", "vlan", "ptp", "tuning", "sbr", "bandwidth", "static", "host-local", "whereabouts",
)  # fmt: skip


class Rules(NamedTuple):
    """The administrator's settings.

    Attributes:
        trusted: namespaces whose definitions may do anything; None for all.
        plugins: plugin and IPAM types that other definitions may use.
        options: options of `HOST_OPTIONS` that they may set.
        links: patterns (`fnmatch`) of links of the host that they may use.
        spell: the name of a setting as it is written in the configuration, from its name in podagent.toml.
    """

    trusted: frozenset[str] | None = None
    plugins: frozenset[str] = frozenset(DEFAULT_PLUGINS)
    options: frozenset[str] = frozenset()
    links: tuple[str, ...] = ()
    spell: Callable[[str], str] = str
