"""The cluster is a guest of the machine: it does not come where a node, a Docker or another cluster is at work."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import host
from cluster.cluster import Cluster
from cluster.layout import PROJECT, Layout

DOCKER_SOCKET = Path("/run/docker.sock")


@pytest.fixture
def docker_at_work() -> Iterator[None]:
    """Somebody listens where a machine's own Docker does."""
    DOCKER_SOCKET.unlink(missing_ok=True)  # nobody answered there when the cluster came up
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(DOCKER_SOCKET))
        listener.listen()
        yield
    DOCKER_SOCKET.unlink()


def test_a_machine_with_a_docker_is_refused(docker_at_work: None, tmp_path: Path) -> None:
    with pytest.raises(host.Refused, match=r"a Docker is at work here.*stop it first"):
        host.check(Layout(tmp_path / "another"))


def test_a_machine_with_a_kubelet_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    assert cluster.kubelet
    with pytest.raises(host.Refused, match=rf"a kubelet is at work here .PID {cluster.kubelet.pid}.*another one"):
        host.check(Layout(tmp_path / "another"))


def test_a_second_cluster_is_refused_and_the_first_one_left_alone(cluster: Cluster) -> None:
    environment = [f"PYTHONPATH={PROJECT}/tests:{PROJECT}/tests/e2e"]
    ran = cluster.try_run(["env", *environment, sys.executable, "-m", "cluster", "up"])
    assert ran.returncode == 1
    assert "make cluster-down" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert cluster.kubectl("get", "nodes", "-o", "name") == "node/localhost\n"
