"""The private dockerd, the pods in it, real plugins run by hand, and the test plugins."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab import processes
from lab.dockerd import PrivateDockerd
from lab.links import links_of
from lab.networks import Networks
from lab.node import Node, Pod
from lab.plugins import PluginDir
from lab.runtime import PodMetadata
from lab.waiting import eventually

pytestmark = pytest.mark.root

IFNAME = "net8d777f385d3d"


def start_plugin(
    plugins: PluginDir, command: str, config: dict[str, Any], pod: Pod, plugin: str = "bridge", args: str = ""
) -> subprocess.Popen[str]:
    env = {"CNI_COMMAND": command, "CNI_CONTAINERID": pod.sandbox_id, "CNI_NETNS": pod.netns, "CNI_IFNAME": IFNAME}
    env |= {"CNI_PATH": str(plugins.path), "CNI_ARGS": args, "PATH": os.environ["PATH"]}
    process = subprocess.Popen(
        [str(plugins.path / plugin)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(json.dumps(config))
    process.stdin.close()
    process.stdin = None
    return process


def run_plugin(
    plugins: PluginDir, command: str, config: dict[str, Any], pod: Pod, plugin: str = "bridge", args: str = ""
) -> tuple[int, str]:
    process = start_plugin(plugins, command, config, pod, plugin, args)
    out, _ = process.communicate(timeout=20)
    return process.returncode, out


def test_a_pod_is_made_as_dockershim_makes_it(node: Node, dockerd: PrivateDockerd) -> None:
    pod = node.pod("web", "shop", annotations={"colour": "green"}, networks=["data"])
    sandbox = dockerd.inspect(pod.sandbox_id)
    assert sandbox.name == f"k8s_POD_web_shop_{pod.uid}_0"
    assert sandbox.labels["io.kubernetes.docker.type"] == "podsandbox"
    assert sandbox.labels["io.kubernetes.pod.uid"] == pod.uid
    assert sandbox.pid == pod.pid
    assert dockerd.running_sandbox(pod.uid) == pod.sandbox_id
    container = dockerd.client.inspect_container(pod.container_ids["main"])
    assert container["Config"]["Labels"]["io.kubernetes.sandbox.id"] == pod.sandbox_id
    assert container["HostConfig"]["NetworkMode"] == f"container:{pod.sandbox_id}"
    obj = node.api.get("pods", "shop", "web")
    assert obj["status"]["phase"] == "Running"
    assert obj["status"]["containerStatuses"][0]["containerID"] == f"docker://{pod.container_ids['main']}"
    assert pod.annotations() == {"colour": "green", "networks": '[{"name": "data"}]'}
    assert set(pod.links()) == {"lo"}


def test_a_static_pod_has_a_sandbox_under_another_uid(node: Node) -> None:
    pod = node.pod(static=True)
    obj = node.api.get("pods", pod.namespace, pod.name)
    assert obj["metadata"]["annotations"]["kubernetes.io/config.mirror"] == pod.uid
    assert obj["metadata"]["uid"] != pod.uid


def test_a_host_network_pod_is_in_the_namespace_of_the_host(node: Node) -> None:
    pod = node.pod(host_network=True)
    assert pod.netns_inode() == Path("/proc/self/ns/net").stat().st_ino
    eventually(lambda: set(pod.links()) == set(links_of()), what="the links of the host")


def test_a_replaced_sandbox_is_another_namespace_of_the_same_pod(node: Node) -> None:
    pod = node.pod()
    uid, sandbox, inode = pod.uid, pod.sandbox_id, pod.netns_inode()
    keeper = os.open(pod.netns, os.O_RDONLY)
    pod.replace_sandbox()
    assert (pod.uid, pod.attempt) == (uid, 1)
    assert pod.sandbox_id != sandbox
    assert pod.netns_inode() != inode
    os.close(keeper)


@pytest.mark.parametrize("grace", [True, False])
def test_a_deleted_pod_leaves_neither_object_nor_container(node: Node, dockerd: PrivateDockerd, grace: bool) -> None:
    pod = node.pod()
    pod.delete(grace=grace)
    assert dockerd.container_names() == []
    assert node.api.objects("pods") == []


def test_the_kactus_of_the_tests_plugs_and_notes_what_it_was_given(node: Node, plugins: PluginDir) -> None:
    plugins.kactus()
    pod = node.pod()
    args = "IgnoreUnknown=1;K8S_POD_NETWORK=data;K8S_POD_IFMAC=02:00:00:00:00:07"
    config = {"cniVersion": "0.3.1", "name": "kactus-net", "type": "kactus"}
    code, out = run_plugin(plugins, "ADD", config, pod, "kactus", args)
    assert (code, json.loads(out)["interfaces"][0]["mac"]) == (0, "02:00:00:00:00:07")
    assert pod.links()[IFNAME].mac == "02:00:00:00:00:07"
    code, out = run_plugin(plugins, "ADD", config, pod, "kactus", args)
    assert (code, "already exists" in json.loads(out)["msg"]) == (1, True)
    assert run_plugin(plugins, "DEL", config, pod, "kactus", args)[0] == 0
    assert IFNAME not in pod.links()
    assert [call.command for call in plugins.calls()] == ["ADD", "ADD", "DEL"]
    call = plugins.calls()[0]
    assert call.args == args.split(";")
    assert call.config == config
    assert set(call.env) == {
        "CNI_ARGS", "CNI_COMMAND", "CNI_CONTAINERID", "CNI_IFNAME", "CNI_NETNS", "CNI_PATH", "PATH",
    }  # fmt: skip


@pytest.mark.parametrize(("plugin", "point"), [("bridge", "before"), ("bridge", "after"), ("host-local", "after")])
def test_a_gate_holds_a_plugin_up_at_one_point(
    node: Node, networks: Networks, plugins: PluginDir, plugin: str, point: str
) -> None:
    data = networks.bridge()
    gate = plugins.gate(plugin, point)
    pod = node.pod()
    process = start_plugin(plugins, "ADD", data.config, pod)
    gate.wait_reached()
    done = (IFNAME in pod.links(), len(data.leases()))
    assert done == {"before": (False, 0), "after": (True, 1)}[point]
    assert process.poll() is None
    gate.open()
    assert process.wait(10) == 0
    process.communicate()
    assert run_plugin(plugins, "DEL", data.config, pod)[0] == 0


def test_a_gate_that_is_never_opened_holds_nothing_after_the_test(
    node: Node, networks: Networks, plugins: PluginDir
) -> None:
    data = networks.bridge()
    gate = plugins.gate("bridge")
    process = start_plugin(plugins, "ADD", data.config, node.pod())
    gate.wait_reached()
    assert plugins.processes()
    plugins.close()
    assert process.wait(5) != 0
    process.communicate()
    assert data.leases() == []


def test_faulty_plugins_are_faulty_as_ordered(node: Node, networks: Networks, plugins: PluginDir) -> None:
    config = networks.bridge().config
    pod = node.pod()
    plugins.fail("bridge", "ADD", code=11, msg="it's full")
    code, out = run_plugin(plugins, "ADD", config, pod)
    assert (code, json.loads(out)["msg"]) == (1, "it's full")
    assert run_plugin(plugins, "DEL", config, pod)[0] == 0
    plugins.print("bridge")
    assert run_plugin(plugins, "ADD", config, pod) == (0, "surely not JSON {")
    plugins.flood("bridge", megabytes=2)
    assert len(run_plugin(plugins, "ADD", config, pod)[1]) == 2_000_000
    plugins.die("bridge")
    assert run_plugin(plugins, "ADD", config, pod)[0] == -signal.SIGSEGV
    plugins.fail_silently("bridge")
    assert run_plugin(plugins, "ADD", config, pod) == (1, "")
    with plugins.busy("bridge"), pytest.raises(OSError, match="busy"):
        run_plugin(plugins, "ADD", config, pod)
    plugins.restore("bridge")
    assert run_plugin(plugins, "VERSION", config, pod)[0] == 0


@pytest.mark.parametrize("grandchild", [False, True])
def test_a_hanging_plugin_hangs_until_the_test_is_over(
    node: Node, networks: Networks, plugins: PluginDir, grandchild: bool
) -> None:
    plugins.hang("bridge", "ADD", grandchild=grandchild)
    process = start_plugin(plugins, "ADD", networks.bridge().config, node.pod())
    if grandchild:
        assert process.wait(5) == 0
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=0.3)
    hanging = plugins.processes()
    assert hanging
    plugins.close()
    processes.wait_gone(hanging)
    process.communicate(timeout=5)


def test_containers_outlive_a_restart_of_dockerd_only_with_live_restore(node: Node, dockerd: PrivateDockerd) -> None:
    pod = node.pod()
    dockerd.restart(keep_containers=True)
    assert set(pod.links()) == {"lo"}
    assert dockerd.inspect(pod.sandbox_id).pid == pod.pid
    dockerd.restart()
    assert not dockerd.inspect(pod.sandbox_id).running
    assert dockerd.running_sandbox(pod.uid) == ""
    assert dockerd.container_names(running=True) == []


def test_a_dockerd_of_its_own_leaves_nothing_behind() -> None:
    with PrivateDockerd() as private:
        pid = private.inspect(private.run_sandbox(PodMetadata("web", "shop", "uid"))).pid
        processes.end([private.pid])
        processes.wait_gone([private.pid])
        assert processes.is_alive(pid)
    assert not processes.is_alive(pid)
    assert processes.mentioning(f"{private.state_dir}/") == []
    assert str(private.state_dir) not in Path("/proc/self/mountinfo").read_text()
    assert not private.state_dir.exists()


def test_eventually_shows_what_it_saw_last() -> None:
    with pytest.raises(AssertionError, match=r"not within 0\.05 s: somebody to come; it last was: \[\]"):
        eventually(list, 0.05, "somebody to come")
