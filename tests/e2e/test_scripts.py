"""The operator's scripts against the real API server."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from e2e.cluster.cluster import Cluster
from e2e.nodepods import NodePods
from functional.expectations import ifname
from functional.outcomes import settles
from lab.agent import AgentFactory
from lab.networks import Networks

pytestmark = pytest.mark.once

ADD, DELETE = "scripts/add-network-annotation.sh", "scripts/del-network-annotation.sh"


def test_many_who_add_and_delete_at_the_same_time_in_a_namespace_lose_nothing(
    cluster: Cluster, pods: NodePods, networks: Networks, agent: AgentFactory
) -> None:
    agent()
    namespace = pods.use_namespace()
    pod = pods.make(namespace=namespace)
    made = [networks.bridge(namespace=namespace) for _ in range(4)]
    for script, attached in (ADD, made), (DELETE, []):
        with ThreadPoolExecutor(4) as pool:
            started = [pool.submit(cluster.try_run, script, pod.name, each.name, namespace) for each in made]
        assert {(each.result().returncode, "warning" in each.result().stderr) for each in started} == {(0, False)}
        settles({pod: attached}, made)


def test_a_pod_that_does_not_exist_is_named(cluster: Cluster) -> None:
    for script in (ADD, DELETE):
        ran = cluster.try_run(script, "no-such-pod", "data", "kube-system")
        assert ran.returncode == 1
        assert "there is no pod kube-system/no-such-pod" in ran.stderr


def test_a_network_that_does_not_exist_is_warned_of_and_added(
    cluster: Cluster, pods: NodePods, networks: Networks, agent: AgentFactory
) -> None:
    agent()
    pod = pods.make()
    ran = cluster.try_run(ADD, pod.name, "not-yet")
    assert ran.returncode == 0
    assert "there is no networks.kaloom.com not-yet in namespace default" in ran.stderr
    networks.bridge("not-yet")
    cluster.kubectl("annotate", "pod", pod.name, "hint=look-again")
    pod.wait_for_link(ifname("not-yet"), 30)


def test_the_kubeconfig_has_a_token_of_its_own_and_does_not_need_those_that_the_cluster_makes_by_itself(
    cluster: Cluster, pods: NodePods, tmp_path: Path
) -> None:
    """Clusters from 1.24 on do not make them: its credentials stay good when they are taken away."""
    namespace = pods.use_namespace()
    made = tmp_path / "made" / "kc.yaml"
    try:
        cluster.run("scripts/create-kubeconfig.sh", str(made.parent), made.name, namespace)
        assert made.stat().st_mode & 0o777 == 0o600
        secret = "get", "secret", "podagent-token", "-n", namespace, "-o", "jsonpath={.data.token}"
        token = yaml.safe_load(made.read_text())["users"][0]["user"]["token"]
        assert token == base64.b64decode(cluster.kubectl(*secret)).decode()
        bound = "get", "sa", "podagent", "-n", namespace, "-o", "jsonpath={.secrets[*].name}"
        by_itself = cluster.kubectl(*bound).split()
        assert any(name.startswith("podagent-token-") for name in by_itself)
        cluster.kubectl("delete", "secret", *by_itself, "-n", namespace)
        shown = cluster.try_run("kubectl", f"--kubeconfig={made}", "get", "pods", "-A")
        assert shown.returncode == 0, shown.stderr
    finally:
        cluster.run("scripts/create-kubeconfig.sh", str(tmp_path / "back"))  # the roles are kube-system's again


def test_the_agents_service_account_may_do_what_it_needs_and_nothing_else(cluster: Cluster) -> None:
    def may(*what: str) -> bool:
        account = "--as=system:serviceaccount:kube-system:podagent"
        return cluster.try_run("kubectl", "auth", "can-i", *what, account, "-A").stdout.strip() == "yes"

    assert all(may(verb, "pods") for verb in ("get", "list", "watch"))
    assert all(may(verb, "networks.kaloom.com") for verb in ("get", "list", "watch"))
    assert all(may(verb, "nodes") for verb in ("get", "list"))
    assert all(may(verb, "events") for verb in ("create", "patch"))
    refused = [
        *((verb, "pods") for verb in ("create", "update", "patch", "delete")),
        *((verb, "secrets") for verb in ("get", "list")),
        *((verb, "networks.kaloom.com") for verb in ("create", "update", "patch", "delete")),
        ("create", "pods/exec"), ("watch", "nodes"), ("patch", "nodes"), ("delete", "events"), ("get", "configmaps"),
    ]  # fmt: skip
    assert [what for what in refused if may(*what)] == []
