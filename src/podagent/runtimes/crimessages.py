"""The messages of the Container Runtime Interface that the agent exchanges, as far as it uses their fields. Pure.

The field numbers are those of api.proto, the same in v1 and v1alpha2. Readers raise ValueError.
"""

from __future__ import annotations

from typing import NamedTuple

from podagent.foreign import Json, json_object, lenient
from podagent.model import CniDirectories, PodKey
from podagent.runtimes.protobuf import Fields, message, number, text
from podagent.validate import is_plain_path

UID_LABEL = "io.kubernetes.pod.uid"
_READY = 0
_NODE = 2
_ANY_VERSION = ""
# What is read of a sandbox. Not its labels and annotations: their number is the tenant's choice.
_LISTED, _TOLD = (1, 2, 3, 4), (1, 2, 3, 6, 9)
LONGEST_INFO = 4 * 1024 * 1024
"""Characters. It repeats the annotations of the pod, of at most 256 KiB, a few times."""


class ListedSandbox(NamedTuple):
    """PodSandbox. `created` is in nanoseconds since 1970."""

    id: str
    pod: PodKey
    ready: bool
    created: int


class SandboxStatus(NamedTuple):
    """PodSandboxStatusResponse.

    Attributes:
        host_network: it was requested for the host's network.
        handler: the runtime handler of its RuntimeClass, "" for the default one.
        info: what the runtime tells of the sandbox beyond CRI, in a format of its own; {} if nothing.
    """

    id: str
    pod: PodKey
    ready: bool
    host_network: bool
    handler: str
    info: Json


def version_request() -> bytes:
    return text(1, _ANY_VERSION)


def runtime_name(version_response: bytes) -> str:
    """Such as ``containerd``, ``cri-o``; ``docker`` for dockershim and cri-dockerd."""
    return Fields(version_response).text(2)


def list_request(uid: str = "") -> bytes:
    """Asks for the sandboxes that are READY: of one pod, or of all."""
    ready = message(2, b"")  # the state is a message of its own, and READY its default: absent would mean any state
    label = message(3, text(1, UID_LABEL) + text(2, uid)) if uid else b""
    return message(1, ready + label)


def listed_sandboxes(list_response: bytes) -> list[ListedSandbox]:
    return [
        ListedSandbox(item.text(1), _pod(item.message(2)), item.number(3) == _READY, item.number(4))
        for item in Fields(list_response).messages(1, _LISTED)
    ]


def status_request(sandbox_id: str) -> bytes:
    """Asks for `info` too."""
    return text(1, sandbox_id) + number(2, 1)


def sandbox_status(status_response: bytes) -> SandboxStatus:
    response = Fields(status_response)
    status = response.message(1, _TOLD)
    namespaces = status.message(6).message(1).message(2)
    info = _bounded(response.map(2).get("info", "{}"))
    ready, host_network = status.number(3) == _READY, namespaces.number(1) == _NODE
    pod, handler = _pod(status.message(2)), status.text(9)
    return SandboxStatus(status.text(1), pod, ready, host_network, handler, json_object(info))


def runtime_status_request() -> bytes:
    """Asks for `info` too."""
    return number(1, 1)


def cni_directories(runtime_status_response: bytes) -> CniDirectories:
    """Those that containerd tells in `info`, as go-cni names them; CRI-O tells none."""
    info = Fields(runtime_status_response).map(2).get("cniconfig", "{}")
    told = json_object(_bounded(info))
    paths = lenient(told, "PluginConfDir", str), *lenient(told, "PluginDirs", list)
    conf, *bins = (path if isinstance(path, str) and _is_directory(path) else "" for path in paths)
    return CniDirectories((conf,) if conf else (), tuple(filter(None, bins)))


def _is_directory(path: str) -> bool:
    return is_plain_path(path) and ":" not in path  # which separates those in CNI_PATH


def _bounded(info: str) -> str:
    if len(info) > LONGEST_INFO:
        raise ValueError(f"its info has more than {LONGEST_INFO} characters")
    return info


def _pod(metadata: Fields) -> PodKey:
    return PodKey(metadata.text(3), metadata.text(1), metadata.text(2))
