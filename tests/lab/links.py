"""The interfaces in a network namespace, as `ip` shows them, and waiting for them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.waiting import eventually

Json = dict[str, Any]


@dataclass(frozen=True)
class Link:
    """A network interface. `addresses` are in CIDR notation, without link-local ones."""

    ifindex: int
    mac: str
    addresses: tuple[str, ...]
    up: bool = True
    master: str = ""


Links = dict[str, Link]


def links_of(netns: str = "/proc/self/ns/net") -> Links:
    """The interfaces in the network namespace at that path; empty when there is none (any more)."""
    enter = ["nsenter", f"--net={netns}"]
    shown = subprocess.run([*enter, "ip", "-j", "addr"], check=False, capture_output=True, timeout=30)
    return {each["ifname"]: _link(each) for each in json.loads(shown.stdout or b"[]")}


def _link(shown: Json) -> Link:
    inet = [each for each in shown["addr_info"] if each["scope"] != "link"]
    addresses = tuple(f"{each['local']}/{each['prefixlen']}" for each in inet)
    return Link(shown["ifindex"], shown.get("address", ""), addresses, "UP" in shown["flags"], shown.get("master", ""))


class HasLinks:
    """Something with a network namespace: that of the process `pid`; 0 when there is none."""

    pid: int
    own: frozenset[str] = frozenset({"lo"})
    """Interfaces that it has whatever networks are asked for."""
    eth0_by_kactus = False
    """Whether eth0 is made by the kactus of its node, if that has one."""

    def links(self) -> Links:
        """The interfaces in the sandbox, lo included; empty when it has ended."""
        pid = self.pid
        return links_of(f"/proc/{pid}/ns/net") if pid else {}

    def wait_for(self, predicate: Callable[[Links], Any], timeout: float = 15.0, what: str = "") -> Links:
        """Waits until the pod's interfaces are as wanted, and returns them."""
        last: Links = {}

        def fits() -> bool:
            last.clear()
            last.update(self.links())
            assert predicate(last), f"{last}"
            return True

        eventually(fits, timeout, what or f"the wanted interfaces in {self}")
        return dict(last)

    def wait_for_link(self, ifname: str, timeout: float = 15.0) -> Link:
        """Waits until the interface is there, up and with an address."""

        def there(links: Links) -> bool:
            return ifname in links and links[ifname].up and bool(links[ifname].addresses)

        return self.wait_for(there, timeout, f"{ifname}, up and with an address, in {self}")[ifname]

    def wait_for_no_link(self, ifname: str, timeout: float = 15.0) -> None:
        """Waits until the interface is gone from the namespace, which must still be there."""
        self.wait_for(lambda links: links and ifname not in links, timeout, f"{ifname} to be gone from {self}")
