"""The machine that the cluster is a guest of: whether it may come, what it was like, and putting it back.

A kubelet sets kernel parameters, writes below /var/log/pods, and its network plugins keep leases in /var/lib/cni. All
of that is noted before and undone afterwards; `changes` tells what nevertheless differs.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

from cluster.layout import NODE_BRIDGE, POD_BRIDGE, PORTS, Layout
from lab import processes
from lab.leases import ROOT as LEASES
from lab.links import links_of

Json = dict[str, Any]

BRIDGES = (NODE_BRIDGE, POD_BRIDGE)
_DOCKER_SOCKETS = (Path("/run/docker.sock"), Path("/var/run/docker.sock"))
# Paths that kubelet, Docker and plugins write to whatever they are told. What was there before stays.
_STRAYS = (
    LEASES, Path("/var/log/pods"), Path("/var/log/containers"), Path("/var/lib/kubelet/device-plugins"),
    Path("/opt/containerd"), Path("/etc/docker"),
)  # fmt: skip
# What others might take exception to if it changed. /tmp, logs and caches are everybody's.
_WATCHED = (
    Path("/etc"), Path("/opt"), Path("/var/lib/cni"), Path("/var/lib/docker"), Path("/var/lib/dockershim"),
    Path("/var/lib/kubelet"), Path("/var/lib/podagent"), Path("/run/netns"), Path("/var/log/pods"),
    Path("/var/log/containers"),
)  # fmt: skip
_ALWAYS_THERE = tuple(map(Path, ("/etc", "/opt", "/var/lib", "/var/log")))
_SYSCTLS = (
    "vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes", "net/ipv4/ip_forward", "net/ipv4/conf/all/route_localnet",
    "net/ipv4/conf/all/forwarding", "net/ipv6/conf/all/forwarding", "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
)  # fmt: skip


class Refused(Exception):
    """This machine is not one to start a cluster on; the message says why, and what to do."""


def check(layout: Layout) -> None:
    """Raises Refused when something is here that the cluster would have to share the machine with."""
    if os.geteuid() != 0:
        raise Refused("a node needs root: run this with sudo")
    if layout.state.exists():
        raise Refused(f"a cluster is up, or was left behind, in {layout.state}: `make cluster-down` removes it")
    for path in _DOCKER_SOCKETS:
        if _answers(path):
            raise Refused(
                f"a Docker is at work here ({path} answers), and its containers are not to be touched: use a machine "
                "without, or stop it first (systemctl stop docker.socket docker)"
            )
    if kubelets := _kubelets():
        raise Refused(f"a kubelet is at work here (PID {kubelets[0]}): this machine is a node already; use another one")
    if taken := [port for port in PORTS if _is_taken(port)]:
        raise Refused(f"port {taken[0]} of 127.0.0.1 is in use; the cluster needs {', '.join(map(str, PORTS))}")
    if there := sorted(set(BRIDGES) & set(links_of())):
        raise Refused(f"there is an interface {there[0]} already; remove it: ip link del {there[0]}")


def note(layout: Layout) -> None:
    """Writes down what the machine is like."""
    layout.host_before.write_text(json.dumps(_snapshot()))


def put_back(layout: Layout) -> None:
    """Undoes what the cluster changed, and is not below the state directory."""
    if not layout.host_before.exists():
        return
    before = json.loads(layout.host_before.read_text())
    for name in sorted(set(links_of()) - set(before["links"])):
        # veth ends of killed pods go with their namespaces, by themselves.
        if not name.startswith("veth"):
            subprocess.run(["ip", "link", "del", name], check=False, capture_output=True, timeout=30)
    for name, value in before["sysctls"].items():
        _write_sysctl(name, value)
    for directory in _STRAYS:
        _remove_added(directory, before["paths"])


def changes(layout: Layout) -> dict[str, list[str]]:
    """What differs from before: kind -> names."""
    before, now = json.loads(layout.host_before.read_text()), _snapshot()
    found = {kind: _difference(before[kind], now[kind]) for kind in now}
    return {kind: names for kind, names in found.items() if names}


def _difference(before: Any, now: Any) -> list[str]:
    if isinstance(now, dict):
        return sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
    return sorted(set(before) ^ set(now))


def _snapshot() -> Json:
    return {
        "links": [name for name in links_of() if not name.startswith("veth")],
        "sysctls": {name: value for name in _SYSCTLS if (value := _read_sysctl(name)) is not None},
        "paths": {path: stamp for root in _WATCHED for path, stamp in _tree(root)},
        "packet filter": _packet_filter(),
    }


def _tree(root: Path) -> list[tuple[str, str]]:
    """Every path below, with what would show a change of it."""
    found = []
    for directory, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(directory, name)
            with contextlib.suppress(OSError):
                status = path.lstat()
                # A folder's time changes with what is made and removed in it again.
                stamp = "folder" if path.is_dir() else f"{status.st_size} {status.st_mtime_ns}"
                found.append((str(path), stamp))
    return found


def _remove_added(directory: Path, before: Json) -> None:
    """Removes what came into the directory, and the directory and its parents if they came too."""
    for path in sorted(directory.iterdir()) if directory.is_dir() else []:
        if str(path) not in before:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() and not path.is_symlink() else path.unlink()
    for each in (directory, directory.parent):
        if str(each) not in before and each not in _ALWAYS_THERE:
            with contextlib.suppress(OSError):
                each.rmdir()  # only if it is empty: what others put there stays


def _packet_filter() -> list[str]:
    shown = subprocess.run(["iptables-save"], check=False, capture_output=True, timeout=30).stdout.decode()
    return [line.split(" [")[0] for line in shown.splitlines() if line and not line.startswith("#")]


def _read_sysctl(name: str) -> str | None:
    try:
        return Path("/proc/sys", name).read_text().strip()
    except OSError:
        return None


def _write_sysctl(name: str, value: str) -> None:
    if _read_sysctl(name) not in (None, value):
        with contextlib.suppress(OSError):  # `changes` tells
            Path("/proc/sys", name).write_text(value)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2)
        return connection.connect_ex(str(path)) == 0


def _is_taken(port: int) -> bool:
    with socket.socket() as connection:
        connection.settimeout(2)
        return connection.connect_ex(("127.0.0.1", port)) == 0


def _kubelets() -> list[int]:
    return [pid for pid in processes.all_pids() if processes.name_of(pid) == "kubelet"]
