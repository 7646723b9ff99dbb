"""System mode: the node's system CNI plugin is called as a kactus is, and `auto`, which chooses between the modes.

The plugins here have names of their own, so that directories under /opt can be made for them and removed again.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from functional.bed import Bed
from functional.expectations import ifname, ifnames, records, wait_for_event, wait_for_line
from functional.ways import ONLY_DOCKER
from lab.kactus import agent_args
from lab.node import Pod
from lab.pins import pin_dir
from lab.plugins import Call
from lab.waiting import eventually

pytestmark = [pytest.mark.root, ONLY_DOCKER]

MAC = "02:00:00:00:0b:01"
# A name that no other plugin and no vendor has.
TOKEN = f"plab{uuid.uuid4().hex[:8]}"
VENDOR_DIR = Path(f"/opt/{TOKEN}/bin")
OUTSIDE = {"API_TOKEN": "secret", "KUBERNETES_SERVICE_HOST": "192.0.2.1", "LD_LIBRARY_PATH": "/nowhere"}
PASSED_ON = {"_CNI_LOGGING_LEVEL": "debug", "CNI_NETNS_OVERRIDE": "1", "PATH": os.environ["PATH"]}


@pytest.fixture(scope="module")
def agent_arguments() -> dict[str, Any]:
    return {"attach_via": "system", "env": OUTSIDE | PASSED_ON}


@pytest.fixture(autouse=True)
def nothing_configured(bed: Bed) -> Iterator[None]:
    yield
    for path in bed.agent.cni_conf_dir.iterdir():
        path.unlink()
    shutil.rmtree(VENDOR_DIR.parent, ignore_errors=True)


def configure(bed: Bed, file: str, plugin: str, **more: Any) -> dict[str, Any]:
    """Puts a CNI configuration of a wrapper of kactus there, complete at once, as an installer should."""
    conf = bed.networks.bridge().config | {"type": plugin, "delegates": [{"type": "bridge"}]} | more
    if file.endswith(".conflist"):
        conf = {"cniVersion": conf.pop("cniVersion"), "name": conf.pop("name"), "plugins": [conf]}
    new = bed.agent.cni_conf_dir / f"{file}.new"
    new.write_text(json.dumps(conf))
    new.rename(new.with_name(file))
    return conf


def install(bed: Bed, plugin: str = TOKEN, directory: Path | None = None) -> Path:
    """A system plugin: the bridge plugin under that name. It overlooks which network the arguments ask for."""
    return bed.plugins.alias(plugin, bed.plugins.real / "bridge", directory)


def expected_args(pod: Pod, network: str, mac: str = "") -> str:
    return agent_args(pod.sandbox_id, pod.namespace, pod.name, network, mac)


def wait_for_exactly(pod: Pod, *networks: str) -> None:
    pod.wait_for(lambda links: set(links) == ifnames(*networks))


def plugins_by_interface(calls: list[Call]) -> dict[str, str]:
    return {call.env["CNI_IFNAME"]: Path(call.plugin).name for call in calls}


def test_the_system_plugin_of_the_vendor_is_called_with_the_attachment_in_its_arguments(bed: Bed) -> None:
    of_the_vendor, _ = install(bed, directory=VENDOR_DIR), install(bed)
    conf = configure(bed, "10-cluster.conf", TOKEN, kubeconfig="/some/where", extra={"kept": [1]})
    pod = bed.node.pod(namespace="tenant", networks=[{"name": "green", "ifMac": MAC}, "red"])
    wait_for_exactly(pod, "green", "red")
    calls = bed.plugins.calls()
    for call, network, mac in zip(calls, ("green", "red"), (MAC, ""), strict=True):
        variables = {
            "CNI_COMMAND": "ADD",
            "CNI_ARGS": expected_args(pod, network, mac),
            "CNI_CONTAINERID": pod.sandbox_id,
            "CNI_IFNAME": ifname(network),
            "CNI_NETNS": str(pin_dir(bed.agent.state_dir) / f"{pod.sandbox_id}-{Path(pod.netns).stat().st_ino}"),
            "CNI_PATH": f"{VENDOR_DIR}:{bed.plugins.path}",
        }
        assert call.env == variables | PASSED_ON
        assert call.plugin == str(of_the_vendor)
        assert call.config == conf
    eventually(lambda: [record["phase"] for record in records(bed.agent)] == ["ATTACHED"] * 2)

    bed.plugins.forget_calls()
    pod.annotate(["red"])
    wait_for_exactly(pod, "red")
    (delete,) = bed.plugins.calls()
    assert delete.env == calls[0].env | {"CNI_COMMAND": "DEL"}
    assert ifname("green") in [interface["name"] for interface in delete.config["prevResult"]["interfaces"]]
    assert delete.config.items() >= conf.items()
    eventually(lambda: len(records(bed.agent)) == 1)


def test_a_new_first_configuration_is_taken_without_a_restart(bed: Bed) -> None:
    old, new = f"{TOKEN}-old", f"{TOKEN}-new"
    install(bed, old)
    install(bed, new)
    pod = bed.node.pod(networks=["red"])
    missing = "no valid CNI network configuration", str(bed.agent.cni_conf_dir)
    wait_for_event(bed.api, pod, "NetworkAttachFailed", "red", *missing)

    configure(bed, "20-old.conf", old)
    wait_for_exactly(pod, "red")
    configure(bed, "10-new.conflist", new)
    pod.annotate(["red", "green"])
    wait_for_exactly(pod, "red", "green")
    (bed.agent.cni_conf_dir / "10-new.conflist").write_text("{ half a file")
    pod.annotate(["red", "green", "blue"])
    wait_for_exactly(pod, "red", "green", "blue")
    by = {ifname("red"): old, ifname("green"): new, ifname("blue"): old}
    assert plugins_by_interface(bed.plugins.calls("ADD")) == by

    # Each is detached by the plugin that attached it, whatever the first configuration is by then.
    pod.annotate([])
    wait_for_exactly(pod)
    assert plugins_by_interface(bed.plugins.calls("DEL")) == by


def test_a_pod_is_left_to_the_kubelet_until_it_is_running(bed: Bed) -> None:
    install(bed)
    configure(bed, "10-cluster.conf", TOKEN)
    starting = bed.node.pod(networks=["red"], start=False)
    starting.start_sandbox()
    wait_for_line(bed.agent, starting.name, "still being set up by the kubelet")
    starting.start_containers()
    beside = bed.node.pod(networks=["green"])
    wait_for_exactly(beside, "green")
    # Looks are taken after 1, 2 and 4 s: the next one is seconds away. Nothing shows that a pod is waited for.
    begun = time.monotonic()
    eventually(lambda: time.monotonic() - begun > 3.7)
    assert set(starting.links()) == {"lo"}
    assert {call.env["CNI_CONTAINERID"] for call in bed.plugins.calls()} == {beside.sandbox_id}

    starting.report_running()
    starting.wait_for(lambda links: ifname("red") in links, timeout=2, what="red, without waiting out a delay")


REFUSED = ("attach-via is system", "00-plain.conf makes bridge the node's system plugin", "set attach-via to auto")


@pytest.mark.promise(
    "Node: attach-via is system, and another plugin than kactus becomes the node's",
    "attaches are refused with the file and the remedy until that ends; detaching goes on",
)
def test_a_plugin_that_ignores_the_wanted_network_is_not_asked_until_one_is_there_that_does_not(bed: Bed) -> None:
    install(bed)
    bed.plugins.record("bridge")
    configure(bed, "10-cluster.conf", TOKEN)
    pod = bed.node.pod(networks=["red"])
    wait_for_exactly(pod, "red")
    configure(bed, "00-plain.conf", "bridge", delegates=[])
    pod.annotate(["green"])  # it is detached with the recorded configuration
    wait_for_event(bed.api, pod, "NetworkAttachFailed", "green", *REFUSED)
    wait_for_exactly(pod)
    bed.agent.reload()
    eventually(lambda: "Degraded: attach-via is system" in bed.agent.notifications.status)

    (bed.agent.cni_conf_dir / "00-plain.conf").unlink()
    pod.wait_for(lambda links: set(links) == ifnames("green"), 40)
    eventually(lambda: "Degraded" not in bed.agent.notifications.status, 40)
    assert set(plugins_by_interface(bed.plugins.calls()).values()) == {TOKEN}


def test_the_start_is_refused_on_a_node_whose_plugin_ignores_the_wanted_network(bed: Bed) -> None:
    bed.agent.stop()
    configure(bed, "00-plain.conf", "bridge", delegates=[])
    bed.agent.start(wait=False)
    eventually(lambda: bed.agent.ended_by_itself, what="the agent to end")
    wait_for_line(bed.agent, "podagent: ", *REFUSED)
    assert bed.agent.stop() == 2
