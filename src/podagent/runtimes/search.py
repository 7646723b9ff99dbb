"""Looks for the container runtime of this node: reads what `discovery` decides on."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

from podagent.foreign import excerpt
from podagent.runtimes import askname
from podagent.runtimes.discovery import (
    CRICTL_CONFIG,
    KUBELET_CONFIG,
    Candidate,
    Found,
    Kind,
    Named,
    Reply,
    candidates,
    choose,
    flag,
    is_docker,
    is_shim,
    yaml_value,
)

_LONGEST_FILE = 1 << 20
_CONNECT_S = 2.0
_ABSENT = {errno.ENOENT: "there is no such socket", errno.ECONNREFUSED: "nothing listens there"}


class Search:
    """Looks anew each time: files, processes and sockets come and go."""

    def __init__(self, container_type: str, cri_endpoint: str, docker_endpoint: str, root: Path = Path("/")) -> None:
        """
        Args:
            container_type: the setting.
            cri_endpoint: ``unix://`` URL of the socket to try first; "" for none.
            docker_endpoint: that of Docker's.
            root: where /etc, /proc and /var are.
        """
        self._type = container_type
        self._configured = cri_endpoint
        self._docker = docker_endpoint.removeprefix("unix://")
        self._root = root

    def __call__(self) -> Found:
        """Raises RuntimeUnavailable; the text names what was tried."""
        named = self._named() if self._type in ("auto", "cri") else Named(self._configured)
        return choose(self._type, candidates(self._type, named, self._docker), self._docker, self._ask)

    def _named(self) -> Named:
        arguments = next(_kubelets(self._root / "proc"), [])
        return Named(
            configured=self._configured,
            kubelet_flag=flag(arguments, "--container-runtime-endpoint"),
            kubelet_config=self._of_kubelets_files(arguments),
            crictl=yaml_value(self._read(CRICTL_CONFIG), "runtime-endpoint"),
        )

    def _of_kubelets_files(self, arguments: Sequence[str]) -> str:
        """By its configuration file, and those that change it: of several, the last one counts."""
        files = [flag(arguments, "--config") or KUBELET_CONFIG, *self._drop_ins(flag(arguments, "--config-dir"))]
        values = [yaml_value(self._read(file), "containerRuntimeEndpoint") for file in files]
        return next(filter(None, reversed(values)), "")

    def _drop_ins(self, directory: str) -> list[str]:
        found: list[Path] = []
        with suppress(OSError):
            found = sorted((self._root / directory.lstrip("/")).rglob("*.conf")) if directory else []
        return [str(each.relative_to(self._root)) for each in found]

    def _read(self, path: str) -> str:
        with suppress(OSError), (self._root / path.lstrip("/")).open(encoding="utf-8", errors="replace") as file:
            return file.read(_LONGEST_FILE)
        return ""

    def _ask(self, candidate: Candidate) -> Reply:
        if is_docker(candidate.path, self._docker):
            return _ask_docker(candidate)
        try:
            with closing(socket.socket(socket.AF_UNIX)) as sock:
                sock.settimeout(_CONNECT_S)
                sock.connect(candidate.path)
        except (OSError, ValueError) as error:
            number = getattr(error, "errno", None)
            absent = _ABSENT.get(number or 0)
            return Reply(None, absent or excerpt(str(error)), maybe=absent is None)
        if is_shim(candidate.path):
            return Reply(Kind.DOCKER)
        return Reply(Kind.CRI) if candidate.named else _ask_name(candidate.path)


def _ask_docker(candidate: Candidate) -> Reply:
    """Without a connection: systemd would start Docker for it, which takes over the packet filter of the node."""
    path = Path(candidate.path)
    if not path.exists():
        return Reply(None, _ABSENT[errno.ENOENT])
    if candidate.named or (path.parent / "docker.pid").exists():
        return Reply(Kind.DOCKER, idle=not candidate.named and not is_shim(candidate.path))
    return Reply(None, "Docker does not run")


def _ask_name(path: str) -> Reply:
    """Asks in another process, so that a node with Docker does not load what CRI needs."""
    program = f"import sys; sys.path = {[*filter(None, sys.path)]!r}; from {askname.__name__} import run; run()"
    command = [sys.executable, "-I", "-c", program, path]  # isolated: not from the working directory
    limit_s = 5 * askname.LIMIT_S  # with the start of an interpreter
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=limit_s, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Reply(None, excerpt(str(error)), maybe=True)
    if done.returncode == 0:
        name, _, pods = done.stdout.decode(errors="replace").partition("\n")
        return Reply(Kind.DOCKER if name == "docker" else Kind.CRI, idle=pods == askname.NO_POD)
    return Reply(None, excerpt(done.stderr), maybe=done.returncode != askname.OFF)


def _kubelets(proc: Path) -> Iterator[list[str]]:
    """The command lines of kubelets. Not those of pods, which may have a process of that name too."""
    for process in sorted(proc.glob("[0-9]*")):
        with suppress(OSError):
            if (process / "comm").read_text(errors="replace").strip() == "kubelet" and _is_hosts(process, proc):
                yield (process / "cmdline").read_bytes().decode(errors="replace").split("\0")


def _is_hosts(process: Path, proc: Path) -> bool:
    ours = proc / "self" / "ns"
    same = all(os.stat(process / "ns" / kind).st_ino == os.stat(ours / kind).st_ino for kind in ("mnt", "pid"))  # noqa: PTH116
    return same and process.stat().st_uid == 0
