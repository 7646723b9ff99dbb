"""Which container runtime runs the pods of this node. Pure: reading files and sockets is `search`'s.

Where the kubelet names its socket, or the settings name one runtime, there is no choice.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from podagent.errors import KubeconfigError, RuntimeUnavailable
from podagent.foreign import lenient
from podagent.kubeconfig.document import mapping

KUBELET_CONFIG = "/var/lib/kubelet/config.yaml"
CRICTL_CONFIG = "/etc/crictl.yaml"

# Where distributions have their runtimes, by the value of `container-type` that names them. First the socket of a
# kubelet with Docker inside: the containerd of that Docker may serve CRI too.
_USUAL: Mapping[str, Sequence[str]] = {
    "dockershim": ("/run/dockershim.sock",),
    "containerd": (
        "/run/containerd/containerd.sock",
        "/run/k3s/containerd/containerd.sock",
        "/run/k0s/containerd.sock",
        "/var/snap/microk8s/common/run/containerd.sock",
    ),
    "crio": ("/run/crio/crio.sock",),
    "docker": ("/run/cri-dockerd.sock",),
}
# Behind them is Docker, whose own socket tells more.
_SHIMS = "cri-dockerd", "dockershim"


class Kind(Enum):
    """By which API a runtime is used."""

    CRI = "CRI"
    DOCKER = "Docker"


class Candidate(NamedTuple):
    """A socket that may be the runtime's.

    Attributes:
        origin: why, in words.
        named: the settings or the kubelet name it: whatever listens there is the runtime.
    """

    path: str
    origin: str
    named: bool = False


class Found(NamedTuple):
    """The runtime of this node.

    Attributes:
        endpoint: ``unix://`` URL of its socket.
        origin: why this one, in words.
        guessed: nothing names it: the kubelet may do that when it starts.
    """

    kind: Kind
    endpoint: str
    origin: str
    guessed: bool = False

    def __str__(self) -> str:
        return f"{self.kind.value} at {self.endpoint} ({self.origin})"


class Reply(NamedTuple):
    """What a socket is.

    Attributes:
        kind: of the runtime; None if it is none, or has not answered.
        fault: then the reason.
        maybe: something is there, and may be a runtime as soon as it answers.
        idle: it runs no pod, and may serve something else than Kubernetes.
    """

    kind: Kind | None
    fault: str = ""
    maybe: bool = False
    idle: bool = False


class Named(NamedTuple):
    """The sockets that the node's configuration names, as they are there; "" for none.

    Attributes:
        configured: by our own setting.
        kubelet_flag: by the flags of the running kubelet.
        kubelet_config: by its configuration file.
        crictl: by that of crictl.
    """

    configured: str = ""
    kubelet_flag: str = ""
    kubelet_config: str = ""
    crictl: str = ""


def candidates(container_type: str, named: Named, docker: str) -> list[Candidate]:
    """The sockets to try, in order. `docker`: the path of Docker's."""
    dockers = Candidate(docker, "docker-endpoint", named=container_type == "docker" or not is_default(docker))
    if container_type == "docker":
        return [dockers]
    configured = _named(named.configured, "cri-endpoint")
    if container_type != "auto":
        if configured:
            return configured
    elif dockers.named:
        configured.append(dockers)
    usual = _usual(container_type)
    if container_type not in ("auto", "cri"):
        return usual
    kubelets = _named(named.kubelet_flag, "the kubelet's --container-runtime-endpoint")
    kubelets = kubelets or _named(named.kubelet_config, "the kubelet's configuration")
    if kubelets:
        return _once([*configured, *kubelets])
    crictls = [each._replace(named=False) for each in _named(named.crictl, CRICTL_CONFIG)]
    return _once([*configured, *crictls, *usual, *([dockers] if container_type == "auto" else [])])


def choose(container_type: str, offered: Sequence[Candidate], docker: str, ask: Callable[[Candidate], Reply]) -> Found:
    """The first of the candidates that is a runtime, and runs pods; if none runs any, the first that is a runtime.

    A socket that something listens at, and that may be a runtime still starting, is waited for: another one would be
    taken for the node's.

    Args:
        container_type: the setting.
        offered: see `candidates`.
        docker: the path of Docker's socket.
        ask: what a candidate is.

    Raises:
        RuntimeUnavailable: there is none; the text names what was tried.
    """
    faults: dict[str, list[str]] = {}
    idle: list[Found] = []
    for candidate in offered:
        reply = ask(candidate)
        if reply.kind:
            path = docker if reply.kind is Kind.DOCKER else candidate.path
            found = Found(reply.kind, f"unix://{path}", candidate.origin, not candidate.named)
            if not reply.idle:
                return found
            idle.append(found)
            continue
        faults.setdefault(reply.fault, []).append(candidate.path)
        if reply.maybe:
            break
    if idle:
        return idle[0]
    tried = "; ".join(f"{', '.join(paths)}: {fault}" for fault, paths in faults.items())
    setting = "" if container_type == "auto" else f" of container-type {container_type}"
    raise RuntimeUnavailable(f"no container runtime{setting} answers: {tried}")


def is_default(docker: str) -> bool:
    """Whether this is the socket that Docker has by default."""
    return _plain(docker) == "/run/docker.sock"


def is_docker(path: str, docker: str) -> bool:
    """Whether Docker, or what systemd starts with it, listens at this socket, by its name."""
    return _plain(path) == _plain(docker) or _is_named(path, _SHIMS[:1])


def is_shim(path: str) -> bool:
    """Whether Docker is behind this socket, by its name."""
    return _is_named(path, _SHIMS)


def flag(arguments: Iterable[str], name: str) -> str:
    """The value of a flag in a command line of the kubelet, the last of several; "" if it is absent."""
    value, rest = "", iter(arguments)
    for argument in rest:
        key, separator, text = argument.partition("=")
        if key.replace("_", "-") == name:  # as the kubelet reads them
            value = text if separator else next(rest, "")
    return value


def yaml_value(text: str, key: str) -> str:
    """The text at a key of a YAML or JSON file; "" if there is none."""
    try:
        return lenient(mapping(text, "it"), key, str)
    except KubeconfigError:
        return ""


def _is_named(path: str, beginnings: tuple[str, ...]) -> bool:
    """Distributions add to the names, as in ``cri-dockerd-mke.sock``."""
    return posixpath.basename(path).startswith(beginnings)


def _usual(container_type: str) -> list[Candidate]:
    names = _USUAL if container_type in ("auto", "cri") else (container_type,)
    return [Candidate(path, "its usual place") for name in names for path in _USUAL[name]]


def _named(text: str, origin: str) -> list[Candidate]:
    """A socket of this node in the notations of the kubelet and crictl; other endpoints are nobody's."""
    path = text.strip().removeprefix("unix:").removeprefix("//")
    return [Candidate(path, origin, named=True)] if path.startswith("/") and path.isprintable() else []


def _once(offered: Sequence[Candidate]) -> list[Candidate]:
    """Without those whose socket came before."""
    first: dict[str, Candidate] = {}
    for candidate in offered:
        first.setdefault(_plain(candidate.path), candidate)
    return list(first.values())


def _plain(path: str) -> str:
    return path.removeprefix("/var") if path.startswith("/var/run/") else path
