"""The machine that the cluster is a guest of: whether it may come, what it was like, and putting it back.

A kubelet sets kernel parameters, writes below /var/log/pods, and its network plugins keep leases in /var/lib/cni. All
of that is noted before and undone afterwards; `changes` tells what nevertheless differs. What others have done
meanwhile is left alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from e2e.cluster.layout import NODE_BRIDGE, POD_BRIDGE, POD_NETWORK, PORTS, Layout
from lab import processes
from lab.files import paths_below, paths_in
from lab.leases import lease_dir
from lab.links import links_of

Json = dict[str, Any]

BRIDGES = (NODE_BRIDGE, POD_BRIDGE)
DOCKER_SOCKETS = ("/run/docker.sock", "/var/run/docker.sock")
# Where only a kubelet writes, and we are the only one here: what came there is ours.
_OF_THE_KUBELET = tuple(map(Path, ("/var/log/pods", "/var/log/containers", "/var/lib/kubelet/device-plugins")))
# What Docker and its containerd make wherever they are told to live. Folders go only when they are empty.
_OF_DOCKER = tuple(
    map(
        Path,
        (
            "/etc/docker/key.json", "/etc/docker", "/opt/containerd/bin", "/opt/containerd/lib", "/opt/containerd",
            "/run/docker/plugins", "/run/docker", "/run/containerd/s", "/run/containerd",
        ),
    )
)  # fmt: skip
# A shim that is killed leaves its socket there, under a name that does not tell whose it was.
_SHIM_SOCKETS = Path("/run/containerd/s")
# Folders that come with ours, and go with them when nothing else is in them.
_PARENTS = tuple(map(Path, ("/var/lib/kubelet", "/var/lib/cni/networks", "/var/lib/cni", "/run/netns")))
# What others might take exception to if it changed. /tmp, logs and caches are everybody's.
_WATCHED = tuple(
    map(
        Path,
        (
            "/etc", "/opt", "/var/lib/cni", "/var/lib/docker", "/var/lib/containerd", "/var/lib/dockershim",
            "/var/lib/kubelet", "/var/lib/podagent", "/run/netns", "/run/docker", "/run/containerd",
            "/run/dockershim.sock", "/var/log/pods", "/var/log/containers",
        ),
    )
)  # fmt: skip
# What a kubelet insists on.
_SYSCTLS_OF_A_NODE = {
    "vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10", "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
}  # fmt: skip
_SYSCTLS = (
    *_SYSCTLS_OF_A_NODE, "net/ipv4/ip_forward", "net/ipv4/conf/all/route_localnet",
    "net/ipv4/conf/all/forwarding", "net/ipv6/conf/all/forwarding", "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
)  # fmt: skip
_CGROUPS = Path("/sys/fs/cgroup")


class Refused(Exception):
    """This machine is not one to start a cluster on; the message says why, and what to do."""


def check(layout: Layout) -> None:
    """Raises Refused when something is here that the cluster would have to share the machine with."""
    if os.geteuid() != 0:
        raise Refused("a node needs root: run this with sudo")
    if layout.is_used:
        raise Refused(f"a cluster is up, or was left behind, in {layout.state}: `make cluster-down` removes it")
    if sign := _docker():
        raise Refused(
            f"a Docker is at work here ({sign}), and its containers are not to be touched: use a machine without, or "
            "stop it first (systemctl stop docker.socket docker)"
        )
    if kubelets := _named("kubelet"):
        raise Refused(f"a kubelet is at work here (PID {kubelets[0]}): this machine is a node already; use another one")
    if taken := [port for port in PORTS if _is_taken(port)]:
        raise Refused(f"port {taken[0]} of 127.0.0.1 is in use; the cluster needs {', '.join(map(str, PORTS))}")
    if there := sorted(set(BRIDGES) & set(links_of())):
        raise Refused(f"there is an interface {there[0]} already; remove it: ip link del {there[0]}")


def note(layout: Layout) -> None:
    """Writes down what the machine is like before."""
    layout.host_before.write_text(json.dumps(_snapshot(layout)))


def note_settings(layout: Layout) -> None:
    """Writes down which kernel parameters the cluster has set."""
    layout.host_settings.write_text(json.dumps(_sysctls()))


def put_back(layout: Layout, bridges: Iterable[str], networks: Iterable[str]) -> None:
    """Undoes what the cluster changed, and is not below the state directory.

    `bridges`, `networks`: what its network definitions name; CNI networks by name.
    """
    before = json.loads(layout.host_before.read_text())
    for name in {*BRIDGES, *bridges} - set(before["links"]):
        subprocess.run(["ip", "link", "del", name], check=False, capture_output=True, timeout=30)
    for network in (POD_NETWORK, *networks):
        _remove(lease_dir(network), before)
    for directory in _OF_THE_KUBELET:
        for path in paths_in(directory):
            _remove(path, before)
    for path in _dead_sockets(_SHIM_SOCKETS):
        _remove(path, before)
    for path in (*_OF_THE_KUBELET, *_OF_DOCKER, *_PARENTS):
        _remove_if_empty(path, before)
    for cgroup in reversed(_cgroups(layout)):
        with contextlib.suppress(OSError):  # somebody is in it
            Path(cgroup).rmdir()
    _put_back_settings(layout, before["sysctls"])


def changes(layout: Layout) -> dict[str, list[str]]:
    """What differs from before: kind -> names."""
    return _changes(json.loads(layout.host_before.read_text()), _snapshot(layout))


@contextlib.contextmanager
def as_a_node(layout: Layout) -> Iterator[dict[str, list[str]]]:
    """For clusters apart: the whole machine has the kernel parameters of a node meanwhile, and nothing else changes.

    Yields what differs from before, filled in at the end.
    """
    differs: dict[str, list[str]] = {}
    before = _snapshot(layout)
    for name, value in _SYSCTLS_OF_A_NODE.items():
        _write_sysctl(name, value)
    try:
        yield differs
    finally:
        for name in _SYSCTLS_OF_A_NODE:
            _write_sysctl(name, before["sysctls"].get(name, ""))
        differs.update(_changes(before, _snapshot(layout)))


def _changes(before: Json, now: Json) -> dict[str, list[str]]:
    found = {kind: _difference(before[kind], now[kind]) for kind in now}
    return {kind: names for kind, names in found.items() if names}


def _put_back_settings(layout: Layout, before: dict[str, str]) -> None:
    """Only where the value is still the one that came with the cluster."""
    if not layout.host_settings.exists():
        return
    ours = json.loads(layout.host_settings.read_text())
    for name, value in before.items():
        if ours.get(name) == _read_sysctl(name) != value:
            _write_sysctl(name, value)


def _difference(before: Any, now: Any) -> list[str]:
    if isinstance(now, dict):
        return sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
    return sorted(set(before) ^ set(now))


def _snapshot(layout: Layout) -> Json:
    return {
        "links": list(links_of()),
        "sysctls": _sysctls(),
        "paths": {path: stamp for root in _WATCHED for path, stamp in _tree(root)},
        "packet filter": _packet_filter(),
        "cgroups": _cgroups(layout),
    }


def _sysctls() -> dict[str, str]:
    return {name: value for name in _SYSCTLS if (value := _read_sysctl(name)) is not None}


def _tree(root: Path) -> list[tuple[str, str]]:
    """It and every path below, with what would show a change of it."""
    found = []
    for path in (root, *paths_below(root)):
        with contextlib.suppress(OSError):
            status = path.lstat()
            # A folder's time changes with what is made and removed in it again.
            stamp = "folder" if path.is_dir() else f"{status.st_size} {status.st_mtime_ns}"
            found.append((str(path), stamp))
    return found


def _remove(path: Path, before: Json) -> None:
    if str(path) in before["paths"]:
        return
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _remove_if_empty(path: Path, before: Json) -> None:
    if str(path) in before["paths"]:
        return
    with contextlib.suppress(OSError):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)


def _cgroups(layout: Layout) -> list[str]:
    """Of this cluster's containers, outer ones first."""
    tops = [*_CGROUPS.glob(layout.cgroup), *_CGROUPS.glob(f"*/{layout.cgroup}")]
    return sorted(str(path) for top in tops for path in (top, *paths_below(top)) if path.is_dir())


def _packet_filter() -> list[str]:
    shown = subprocess.run(["iptables-save"], check=False, capture_output=True, timeout=30).stdout.decode()
    return [line.split(" [")[0] for line in shown.splitlines() if line and not line.startswith("#")]


def _read_sysctl(name: str) -> str | None:
    try:
        return Path("/proc/sys", name).read_text().strip()
    except OSError:
        return None


def _write_sysctl(name: str, value: str) -> None:
    with contextlib.suppress(OSError):  # what differs in the end is told
        Path("/proc/sys", name).write_text(value)


def _docker() -> str:
    """What shows that one is at work, "" if none is. Nothing is connected to: that could start one."""
    if daemons := _named("dockerd"):
        return f"PID {daemons[0]}"
    bound = _bound_sockets()
    return next((f"somebody listens on {path}" for path in DOCKER_SOCKETS if path in bound), "")


def _dead_sockets(directory: Path) -> list[Path]:
    bound = _bound_sockets()
    return [path for path in paths_in(directory) if str(path) not in bound]


def _bound_sockets() -> set[str]:
    """The paths of sockets that a process has made and not closed."""
    return {line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines()}


def _named(name: str) -> list[int]:
    return [pid for pid in processes.all_pids() if processes.name_of(pid) == name and processes.is_alive(pid)]


def _is_taken(port: int) -> bool:
    with socket.socket() as connection:
        connection.settimeout(2)
        return connection.connect_ex(("127.0.0.1", port)) == 0
