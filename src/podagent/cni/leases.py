"""The addresses that host-local has reserved, read from its files. Other IPAM plugins keep theirs elsewhere."""

from __future__ import annotations

import os

from podagent.foreign import Json
from podagent.model import Target

_TYPE, _DIRECTORY = "host-local", "/var/lib/cni/networks"
_READ = 512  # a container ID and an interface name


def reserved(ipam: Json, network: str, target: Target) -> str:
    """Where an address may be reserved for the attachment, in words; "" if there certainly is none.

    Args:
        ipam: the IPAM plugin's configuration.
        network: name of the network.
        target: the attachment.
    """
    if ipam.get("type") != _TYPE:
        return f"by the IPAM plugin {ipam.get('type')}"
    directory = os.path.join(str(ipam.get("dataDir") or _DIRECTORY), network)  # noqa: PTH118 - not pathlib, for kactus
    try:
        with os.scandir(directory) as files:
            held = any(_holds(each.path, target) for each in files if each.is_file(follow_symlinks=False))
    except FileNotFoundError:
        return ""
    except OSError:
        held = True  # unknown
    return f"in {directory}" if held else ""


def _holds(path: str, target: Target) -> bool:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - not pathlib, for kactus
            words = file.read(_READ).decode(errors="replace").split()
    except FileNotFoundError:  # released meanwhile
        return False
    return words[:1] == [target.container_id] and words[1:2] in ([], [target.ifname])
