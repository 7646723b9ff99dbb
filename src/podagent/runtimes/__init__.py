"""Container runtimes: from a pod to its running sandbox. The only code that talks to one."""

from __future__ import annotations

from podagent.act.ports import Runtime
from podagent.runtimes.oncethere import Identify, OnceThere


def make_runtime(container_type: str, endpoint: str, identify: Identify) -> Runtime:
    """The runtime of that type.

    Args:
        container_type: ``docker``.
        endpoint: ``unix://`` URL of its socket, which need not be there yet.
        identify: makes the path of a network namespace a reference to it; raises NetnsGone.
    """
    return OnceThere(endpoint, {"docker": _docker}[container_type], identify)


def _docker(endpoint: str, identify: Identify) -> Runtime:
    from podagent.runtimes.docker import DockerRuntime  # noqa: PLC0415 - its libraries cost memory: only where it is

    return DockerRuntime(endpoint, identify)
