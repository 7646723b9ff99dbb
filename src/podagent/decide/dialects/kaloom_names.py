"""Names of Kaloom's dialect, for kactus, the command line and the records, which parse no annotation. Pure."""

from __future__ import annotations

from podagent.model import Attachment, DefinitionRef

ANNOTATION = "networks"
API = "networks.kaloom.com/v1"


def interface_name(network: str) -> str:
    """The interface name for `network`: ``net`` + the first 12 hex digits of the name's MD5.

    The original agent and kactus use the same rule, so each recognises interfaces of the others.
    """
    # A lazy import: a detaching kactus has the names on record and needs no hash.
    import hashlib  # noqa: PLC0415

    return "net" + hashlib.md5(network.encode(), usedforsecurity=False).hexdigest()[:12]


def mac_args(mac: str | None) -> tuple[tuple[str, str], ...]:
    """CNI_ARGS for a requested MAC address: CNI_IFMAC for Kaloom's own plugins, MAC for the reference plugins."""
    return (("CNI_IFMAC", mac), ("MAC", mac)) if mac else ()


def attachment(
    network: str, namespace: str = "", mac: str | None = None, upper_layers: tuple[str, ...] = ()
) -> Attachment:
    """The attachment for an entry of the annotation.

    Args:
        network: name of the network.
        namespace: namespace of its definition, "" if the entry specifies none.
        mac: requested MAC address in lower case.
        upper_layers: names of the networks stacked on this one.
    """
    return Attachment(
        definition=DefinitionRef(API, namespace, network),
        ifname=interface_name(network),
        mac=mac,
        capabilities={"mac": mac} if mac else {},
        args=mac_args(mac),
        upper_layers=tuple(map(interface_name, upper_layers)),
    )
