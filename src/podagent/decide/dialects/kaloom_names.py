"""What Kaloom's dialect calls things: for kactus, the command line and the records, which read no annotation. Pure."""

from __future__ import annotations

from podagent.model import Attachment, DefinitionRef

ANNOTATION = "networks"
API = "networks.kaloom.com/v1"


def interface_name(network: str) -> str:
    """The name of the interface that attaches `network`: ``net`` + 12 hex digits of the name's md5.

    The original agent and kactus use the same rule, so that they find each other's interfaces.
    """
    # Imported where it is needed: a kactus that detaches knows the names already.
    import hashlib  # noqa: PLC0415

    return "net" + hashlib.md5(network.encode(), usedforsecurity=False).hexdigest()[:12]


def mac_args(mac: str | None) -> tuple[tuple[str, str], ...]:
    """A requested MAC address by both its names: CNI_IFMAC for Kaloom's own plugins, MAC for the reference plugins."""
    return (("CNI_IFMAC", mac), ("MAC", mac)) if mac else ()


def attachment(
    network: str, namespace: str = "", mac: str | None = None, upper_layers: tuple[str, ...] = ()
) -> Attachment:
    """The attachment that an entry of the annotation stands for.

    Args:
        network: name of the network.
        namespace: of its definition, "" if the entry names none.
        mac: requested MAC address in lower case.
        upper_layers: names of the networks that stack on this one.
    """
    return Attachment(
        definition=DefinitionRef(API, namespace, network),
        ifname=interface_name(network),
        mac=mac,
        capabilities={"mac": mac} if mac else {},
        args=mac_args(mac),
        upper_layers=tuple(map(interface_name, upper_layers)),
    )
