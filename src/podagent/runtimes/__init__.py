"""Container runtimes: find the running sandbox of a pod. The only package that talks to one."""

from __future__ import annotations

from podagent.act.ports import Runtime
from podagent.runtimes.oncethere import Identify, OnceThere


def make_runtime(container_type: str, endpoint: str, identify: Identify) -> Runtime:
    """Creates the adapter for a runtime type.

    Args:
        container_type: ``docker``.
        endpoint: ``unix://`` URL of its socket, which need not exist yet.
        identify: converts the path of a network namespace to a reference; raises NetnsGone.
    """
    return OnceThere(endpoint, {"docker": _docker}[container_type], identify)


def _docker(endpoint: str, identify: Identify) -> Runtime:
    from podagent.runtimes.docker import DockerRuntime  # noqa: PLC0415 - saves memory on nodes without Docker

    return DockerRuntime(endpoint, identify)
