"""Container runtimes: find the running sandbox of a pod. The only package that talks to one."""

from __future__ import annotations

from collections.abc import Callable, Collection

from podagent.model import NetnsRef
from podagent.runtimes.discovery import Found, Kind
from podagent.runtimes.oncethere import Client, OnceThere
from podagent.runtimes.search import Search

Identify = Callable[[str], NetnsRef]


def make_runtime(
    container_type: str, cri_endpoint: str, docker_endpoint: str, identify: Identify, host: Collection[int]
) -> OnceThere:
    """Creates the adapter for the runtime of this node, which need not run yet.

    Args:
        container_type: the setting.
        cri_endpoint: ``unix://`` URL of a socket with CRI; "" for those in the usual places.
        docker_endpoint: ``unix://`` URL of Docker's socket.
        identify: converts the path of a network namespace to a reference; raises NetnsGone.
        host: inodes of the host's own network namespace.
    """

    def load(found: Found) -> Client:
        if found.kind is Kind.DOCKER:
            from podagent.runtimes.docker import DockerRuntime  # noqa: PLC0415 - saves memory on nodes without Docker

            return DockerRuntime(found.endpoint, identify)
        from podagent.runtimes.cri import CriRuntime  # noqa: PLC0415 - as above, of HTTP/2

        return CriRuntime(found.endpoint, identify, host)

    return OnceThere(Search(container_type, cri_endpoint, docker_endpoint), load)
