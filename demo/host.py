"""What the demo needs of the host, must not find on it, and takes away again.

The clean-up looks at the host alone, never at what the play remembers: it is right at whatever moment the play ended,
and for a play whose supervisor was killed before it could clean up. Must not import what runs in the play.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from demo import runtimes
from lab import processes
from lab.containerd import Cni, PrivateContainerd
from lab.dockerd import PrivateDockerd
from lab.leases import lease_dir
from lab.networks import plugin_dir
from lab.pins import pin_dir, remove_pins
from lab.programs import RUNTIMES

RUN_DIR = Path("/var/lib/podagent-demo")
"""All files of the demo, except the leases. Its path is in the command line of everything that is started."""
AGENT_DIR = RUN_DIR / "agent"
PLUGIN_DIR = RUN_DIR / "cni-bin"
CONF_DIR = AGENT_DIR / "net.d"
STATE_DIR = AGENT_DIR / "state"

BRIDGE = "data-br"  # as examples/data-net.yaml says
DEFAULT_BRIDGE = "podagent-demo"
NETWORK = "data"

_FOUND = RUN_DIR / "found-before.json"
_STOP_SECONDS = 10.0
# Made by plugins and by the runtimes where they are missing. Parents come after what is in them.
_KEY = Path("/etc/docker/key.json")
_CGROUPS = Path("/sys/fs/cgroup")
_DIRECTORIES = [
    *(lease_dir(NETWORK), lease_dir(NETWORK).parent, Path("/var/lib/cni/results"), Path("/var/lib/cni")),
    *map(Path, ("/etc/docker", "/run/docker/plugins", "/run/docker", "/run/containerd/s", "/run/containerd")),
    *(parent / group for group in ("docker", "k8s.io") for parent in (_CGROUPS, *_CGROUPS.glob("*/"))),
]


def private_runtime(name: str) -> PrivateDockerd | PrivateContainerd:
    """The demo's own one, not started."""
    return runtimes.private(name, RUN_DIR, Cni(CONF_DIR, PLUGIN_DIR))


class NotHere(Exception):
    """The demo cannot be played on this host as it is; the text says why, and what to do."""


@contextlib.contextmanager
def occupied(runtime: str) -> Iterator[None]:
    """Holds the demo's place on this host, prepared for a play, and takes everything away at the end.

    Args:
        runtime: name of the one to play on.

    Raises:
        NotHere: the host lacks something, has something that would be in the way, or would not be left clean.
    """
    _refuse_without_tools(runtime)
    lock = _lock_run_dir()
    try:
        if _FOUND.exists():  # of a demo that was killed
            _take_away()
        _refuse_what_is_in_the_way()
        _note_what_was_found()
        try:
            yield
        finally:
            _take_away()
    finally:
        with contextlib.suppress(OSError):
            RUN_DIR.rmdir()
        os.close(lock)
    if left := _left_behind():
        raise NotHere(f"this could not be cleaned up: {', '.join(left)}")


def _refuse_without_tools(runtime: str) -> None:
    if os.geteuid() != 0:
        raise NotHere("containers and network namespaces need root: run it with sudo")
    tools = "ip", "nsenter", RUNTIMES[runtime], "runc", "busybox"
    missing = [tool for tool in tools if not shutil.which(tool)]
    if missing:
        raise NotHere(f"not installed: {', '.join(missing)}; `make demo` installs them on Debian and Ubuntu")
    try:
        plugin_dir()
    except RuntimeError as error:
        raise NotHere(str(error)) from None


def _lock_run_dir() -> int:
    """The lock ends with the process, however that ends; the descriptor is not handed down to others."""
    with contextlib.suppress(FileExistsError):
        RUN_DIR.mkdir(mode=0o700)
    descriptor = os.open(RUN_DIR, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise NotHere("another demo is running on this host: wait for its end") from None
    return descriptor


def _refuse_what_is_in_the_way() -> None:
    for bridge in (BRIDGE, DEFAULT_BRIDGE):
        if _link_exists(bridge):
            raise NotHere(
                f"this host has an interface {bridge} already, which the demo would use and then delete; it is left"
                f" alone. If nothing needs it: ip link delete {bridge}"
            )
    leases = lease_dir(NETWORK)
    if leases.exists():
        raise NotHere(
            f"this host has addresses of a network called {NETWORK} in {leases} already, which the demo would mix with"
            f" its own; they are left alone. If no container uses them: rm -r {leases}"
        )


def _note_what_was_found() -> None:
    found = [str(path) for path in (*_DIRECTORIES, _KEY) if path.exists()]
    # In one step: that the file is there says that nothing of what the demo takes away was there before.
    partial = _FOUND.with_suffix(".new")
    partial.write_text(json.dumps(found))
    partial.rename(_FOUND)


def _take_away() -> None:
    found = json.loads(_FOUND.read_text())
    _end_agent()
    _end_plugins()
    for name in RUNTIMES:  # whichever a play that was killed has left
        private_runtime(name).stop()
    remove_pins(STATE_DIR)
    for bridge in (BRIDGE, DEFAULT_BRIDGE):
        subprocess.run(["ip", "link", "delete", bridge], check=False, capture_output=True, timeout=30)
    shutil.rmtree(lease_dir(NETWORK), ignore_errors=True)
    if str(_KEY) not in found:
        _KEY.unlink(missing_ok=True)
    for directory in _DIRECTORIES:
        if str(directory) not in found:
            with contextlib.suppress(OSError):  # not there, or somebody else uses it by now
                directory.rmdir()
    _empty_run_dir()


def _empty_run_dir() -> None:
    """The note goes last: as long as it is there, the clean-up can begin again."""
    for entry in set(RUN_DIR.iterdir()) - {_FOUND}:
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink()
    _FOUND.unlink()


def _end_agent() -> None:
    agents = processes.mentioning(f"--state-dir={AGENT_DIR}/")
    processes.end(agents, signal.SIGTERM)
    if not processes.wait_gone_or(agents, _STOP_SECONDS):
        processes.end([*agents, *(below for agent in agents for below in processes.descendants(agent))])


def _end_plugins() -> None:
    """Those that outlive who started them: they would make again what is taken away next."""
    plugins = processes.mentioning(f"{PLUGIN_DIR}/")
    processes.end(plugins)
    processes.wait_gone_or(plugins, _STOP_SECONDS)


def _left_behind() -> list[str]:
    links = [f"interface {bridge}" for bridge in (BRIDGE, DEFAULT_BRIDGE) if _link_exists(bridge)]
    paths = [str(path) for path in (lease_dir(NETWORK), pin_dir(STATE_DIR), RUN_DIR) if path.exists()]
    running = [f"process {pid}" for pid in processes.mentioning(f"{RUN_DIR}/")]
    return links + paths + running


def _link_exists(name: str) -> bool:
    return Path("/sys/class/net", name).exists()
