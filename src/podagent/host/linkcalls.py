"""System calls on links in the network namespace of the calling thread. All functions raise OSError.

None but `remove` waits for the kernel's RTNL lock, which plugins hold for milliseconds.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import socket
import struct

from podagent.host.links import link_names
from podagent.model import Link

_SIOCGIFCONF, _SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCSIFNAME = 0x8912, 0x8913, 0x8914, 0x8923
_SIOCGIFHWADDR, _SIOCGIFINDEX = 0x8927, 0x8933
_IFF_UP = 1
_ARPHRD_ETHER = 1
_RTM_DELLINK, _REQUEST_WITH_ACK = 17, 5
_IFREQ = 40
_MOST_ADDRESSES = 4096


def links() -> dict[str, Link]:
    """All links by name."""
    with _any_socket() as fd:
        # Only names that exist: the kernel may load a module of an unknown name.
        found = {name: _described(fd, name) for name in link_names()}
    return {name: link for name, link in found.items() if link}


def addresses(name: str) -> frozenset[str]:
    """The IP addresses of a link, without prefix lengths."""
    return frozenset(_addresses4(name) | _addresses6(name))


def rename(old: str, new: str) -> None:
    """Renames a link, and sets it down: most kernels rename no other one."""
    with _any_socket() as fd:
        flags = struct.unpack("16xH22x", _ask(fd, _SIOCGIFFLAGS, old))[0]
        fcntl.ioctl(fd, _SIOCSIFFLAGS, struct.pack("16sH22x", _name(old), flags & ~_IFF_UP))
        fcntl.ioctl(fd, _SIOCSIFNAME, struct.pack("16s16s8x", _name(old), _name(new)))


def remove(index: int) -> None:
    """Removes the link with this index, if there is one: see rtnetlink(7), RTM_DELLINK."""
    header = struct.pack("=IHHII", 32, _RTM_DELLINK, _REQUEST_WITH_ACK, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as netlink:
        netlink.send(header + struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, 0, 0))
        number = -struct.unpack_from("=i", netlink.recv(4096), 16)[0]
    if number not in (0, errno.ENODEV):
        raise OSError(number, os.strerror(number))


def _described(fd: socket.socket, name: str) -> Link | None:
    """See netdevice(7). None if the link was removed or renamed meanwhile."""
    try:
        ifindex = struct.unpack("16xi20x", _ask(fd, _SIOCGIFINDEX, name))[0]
        family, address = struct.unpack("16xH6s16x", _ask(fd, _SIOCGIFHWADDR, name))
    except OSError as error:
        if error.errno == errno.ENODEV:
            return None
        raise
    return Link(ifindex, address.hex(":") if family == _ARPHRD_ETHER else "")


def _any_socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)


def _ask(of: socket.socket, request: int, name: str) -> bytes:
    return fcntl.ioctl(of, request, struct.pack("16s24x", _name(name)))


def _name(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _addresses4(name: str) -> set[str]:
    buffer = array.array("B", bytes(_IFREQ * _MOST_ADDRESSES))
    place, size = buffer.buffer_info()
    with _any_socket() as fd:
        used = struct.unpack("iP", fcntl.ioctl(fd, _SIOCGIFCONF, struct.pack("iP", size, place)))[0]
    found = [struct.unpack_from("16s4x4s16x", buffer, start) for start in range(0, used, _IFREQ)]
    # An address may have a label, such as "net1:0".
    return {socket.inet_ntoa(ip) for link, ip in found if link.rstrip(b"\0").partition(b":")[0] == _name(name)}


def _addresses6(name: str) -> set[str]:
    try:
        with open("/proc/thread-self/net/if_inet6", encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
            lines = [line.split() for line in file]
    except FileNotFoundError:  # a kernel without IPv6
        return set()
    return {socket.inet_ntop(socket.AF_INET6, bytes.fromhex(fields[0])) for fields in lines if fields[-1] == name}
