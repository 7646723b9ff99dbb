"""The cluster is a guest of the machine: it does not come where a node, a Docker or another cluster is at work."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from e2e.cluster import host
from e2e.cluster.cluster import Cluster
from e2e.cluster.layout import PROJECT, Layout


def test_a_machine_with_a_docker_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    assert cluster.runtime
    with pytest.raises(host.Refused, match=rf"a Docker is at work here .PID {cluster.runtime.pid}.*stop it first"):
        host.check(Layout(tmp_path / "another"))


def test_a_machine_whose_docker_starts_on_demand_is_refused(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd listens in its place; whoever connects would start it."""
    path = str(tmp_path / "docker.sock")
    monkeypatch.setattr(host, "DOCKER_SOCKETS", (path,))
    monkeypatch.setattr(host, "_named", lambda name: [])
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.settimeout(0.1)
        with pytest.raises(host.Refused, match=f"somebody listens on {path}"):
            host.check(Layout(tmp_path / "another"))
        with pytest.raises(TimeoutError):
            listener.accept()


def test_a_machine_with_a_kubelet_is_refused(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cluster.kubelet
    monkeypatch.setattr(host, "_docker", lambda: "")
    with pytest.raises(host.Refused, match=rf"a kubelet is at work here .PID {cluster.kubelet.pid}.*another one"):
        host.check(Layout(tmp_path / "another"))


@pytest.mark.parametrize("command", ["up", "test"])
def test_a_second_cluster_is_refused_and_the_first_one_left_alone(cluster: Cluster, command: str) -> None:
    environment = [f"PYTHONPATH={PROJECT}/tests"]
    ran = cluster.try_run(["env", *environment, sys.executable, "-m", "e2e.cluster", command])
    assert ran.returncode == 1
    assert "make cluster-down" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert cluster.kubectl("get", "nodes", "-o", "name") == "node/localhost\n"
