"""Ending every process of a cluster, whoever started it and whatever became of that.

Daemons are known by the mark in their environment, which those that they start inherit; containers, which have an
environment of their own, descend from such a process or have their root below the state directory. Nobody else is
touched: not who reads a log there, nor the shell that has the cluster's kubeconfig.
"""

from __future__ import annotations

from e2e.cluster.layout import Layout
from lab import processes

_ROUNDS = 5


def end_everything(layout: Layout) -> list[int]:
    """SIGKILL to all of them; returns who is still there."""
    for _ in range(_ROUNDS):
        # Again, for what was being started when the look before was taken.
        found = _processes(layout)
        if not found:
            return []
        processes.end(found)
        processes.wait_gone_or(found, 10)
    return _processes(layout)


def _processes(layout: Layout) -> list[int]:
    [(name, value)] = layout.mark.items()
    marked = [pid for pid in processes.all_pids() if processes.environment_of(pid).get(name) == value]
    below = [child for pid in marked for child in processes.descendants(pid)]
    rooted = [pid for pid in processes.all_pids() if processes.has_root_below(pid, layout.state)]
    return [pid for pid in dict.fromkeys([*marked, *below, *rooted]) if processes.is_alive(pid)]
