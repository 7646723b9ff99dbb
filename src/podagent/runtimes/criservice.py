"""The calls to a CRI service that the agent makes. They only read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from podagent.errors import RuntimeUnavailable
from podagent.foreign import excerpt
from podagent.model import CniDirectories
from podagent.runtimes import crimessages
from podagent.runtimes.crimessages import ListedSandbox, SandboxStatus
from podagent.runtimes.grpc import UNIMPLEMENTED, CallFailed, call

_VERSIONS = "v1", "v1alpha2"  # the latter up to containerd 1.7 and CRI-O 1.25, the only one up to 1.5 and 1.19
_Answer = TypeVar("_Answer")


class CriOff(RuntimeUnavailable):
    """Something else than CRI is served at this socket, such as a containerd whose CRI plugin is disabled."""


class CriService:
    """Thread-safe. Raises RuntimeUnavailable: `CallFailed`, `CriOff`, or for want of a proper answer."""

    def __init__(self, endpoint: str) -> None:
        """`endpoint`: ``unix://`` URL of the socket."""
        self.endpoint = endpoint
        self._version = _VERSIONS[0]

    def runtime_name(self, deadline: float) -> str:
        """See `crimessages.runtime_name`. `deadline`: here as below, in seconds of the monotonic clock."""
        return self._ask("Version", crimessages.version_request(), crimessages.runtime_name, deadline)

    def ready_sandboxes(self, deadline: float, uid: str = "") -> list[ListedSandbox]:
        """The sandboxes that are READY: of the pod with this UID, or of all."""
        listed = self._ask("ListPodSandbox", crimessages.list_request(uid), crimessages.listed_sandboxes, deadline)
        return [each for each in listed if each.ready]

    def status(self, sandbox_id: str, deadline: float) -> SandboxStatus:
        request = crimessages.status_request(sandbox_id)
        return self._ask("PodSandboxStatus", request, crimessages.sandbox_status, deadline)

    def cni_directories(self, deadline: float) -> CniDirectories:
        """The directories of the runtime's own CNI, as far as it tells."""
        return self._ask("Status", crimessages.runtime_status_request(), crimessages.cni_directories, deadline)

    def _ask(self, method: str, request: bytes, read: Callable[[bytes], _Answer], deadline: float) -> _Answer:
        answer = self._call(method, request, deadline)
        try:
            return read(answer)
        except ValueError as fault:
            raise RuntimeUnavailable(excerpt(f"its answer to {method} is malformed: {fault}")) from None

    def _call(self, method: str, request: bytes, deadline: float) -> bytes:
        known = self._version
        try:
            return self._call_as(known, method, request, deadline)
        except CallFailed as error:
            if error.status != UNIMPLEMENTED:
                raise
        # A runtime may be replaced by one of another version at any time.
        other = next(each for each in _VERSIONS if each != known)
        try:
            answer = self._call_as(other, method, request, deadline)
        except CallFailed as error:
            if error.status != UNIMPLEMENTED:
                raise
            raise CriOff(f"no CRI is served there, is its CRI plugin disabled? {error}") from None
        self._version = other
        return answer

    def _call_as(self, version: str, method: str, request: bytes, deadline: float) -> bytes:
        address = self.endpoint.removeprefix("unix://")
        return call(address, f"/runtime.{version}.RuntimeService/{method}", request, deadline)
