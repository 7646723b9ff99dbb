"""State files as Kaloom's kactus writes them.

It marshals a list of maps with Go's encoder: compact, keys in alphabetical order, ``<``, ``>`` and ``&`` escaped. Each
map is a delegate's configuration as it was given, in its own configuration file or in ``spec.config``, plus ``type``
and ``networkName`` for a network, ``masterPlugin`` for a primary one, and ``cniVersion`` when its own configuration has
one. The delegates of a later call stand before those that were there. No result is kept.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def master(config: Json) -> Json:
    """The master delegate."""
    return {**config, "masterPlugin": True}


def network(name: str, config: Json, *, primary: bool = False) -> Json:
    """The delegate of an annotated network."""
    return {**config, "networkName": name} | ({"masterPlugin": True} if primary else {})


def write(directory: Path, container: str, delegates: list[Json]) -> str:
    """Writes the file, and returns its text."""
    text = marshal(delegates)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / container).write_text(text)
    (directory / container).chmod(0o600)
    return text


def marshal(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


# Recorded with the configuration of its own documentation, a network beside it, and the two in one pod.
FLANNEL = '[{"delegate":{"isDefaultGateway":true},"masterPlugin":true,"type":"flannel"}]'
FLANNEL_AND_VLAN = (
    '[{"delegate":{"isDefaultGateway":true},"masterPlugin":true,"type":"flannel"},'
    '{"cniVersion":"0.3.1","ipam":{"type":"null"},"master":"eth0","name":"green-net","networkName":"green",'
    '"type":"vlan","vlanId":42}]'
)
# ``masterplugin`` is what it was called once; numbers are kept as they were written.
OLD_SPELLING = (
    '[{"cniVersion":"0.3.1","mtu":1450,"name":"red-net","networkName":"red","rate":0.25,"type":"sriov"},'
    '{"masterplugin":true,"type":"flannel"}]'
)
PRIMARY = '[{"masterPlugin":true,"name":"blue-net","networkName":"blue","type":"bridge"}]'
