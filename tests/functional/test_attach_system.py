"""System mode: the node's system CNI plugin is called as a kactus is, and `auto`, which chooses between the modes.

The plugins here have names of their own, so that directories under /opt can be made for them and removed again.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from functional.expectations import ifname, ifnames, records, wait_for_attached, wait_for_event, wait_for_line
from functional.systemplugin import SystemConf, expected_args, run_as_the_kubelet
from lab.agent import AgentFactory
from lab.apiserver import ApiServer
from lab.networks import Networks
from lab.node import Node
from lab.plugins import Call, PluginDir
from lab.waiting import eventually

pytestmark = pytest.mark.root

MAC = "02:00:00:00:0b:01"
_VARIABLES = {"COMMAND", "CONTAINERID", "NETNS", "ARGS", "IFNAME", "PATH"}


@pytest.fixture
def conf(workdir: Path) -> SystemConf:
    return SystemConf(workdir / "net.d")


@pytest.fixture
def token() -> Iterator[str]:
    """A name that no other plugin and no vendor has; what is made for it under /opt is removed."""
    name = f"plab{uuid.uuid4().hex[:8]}"
    yield name
    shutil.rmtree(f"/opt/{name}", ignore_errors=True)


def has(network: str) -> Any:
    return lambda links: ifname(network) in links


def test_calls_the_system_plugin_with_the_attachment_in_its_arguments(
    agent: AgentFactory, node: Node, plugins: PluginDir, conf: SystemConf, token: str
) -> None:
    plugins.kactus(token)
    conf.write("10-cluster.conf", token, kubeconfig="/some/where", extra={"kept": [1]})
    running = agent(attach_via="system", cni_conf_dir=conf.directory)
    pod = node.pod(namespace="tenant")

    pod.annotate([{"name": "green", "ifMac": MAC}, "red"])
    links = pod.wait_for(lambda links: {"net9f27410725ab", "netbda9643ac660"} <= links.keys())
    assert links["net9f27410725ab"].mac == MAC
    green, red = plugins.calls()
    for call, network, mac in ((green, "green", MAC), (red, "red", "")):
        assert call.command == "ADD"
        assert call.env["CNI_ARGS"] == expected_args(pod, network, mac)
        assert call.env["CNI_CONTAINERID"] == pod.sandbox_id
        assert call.env["CNI_IFNAME"] == ifname(network)
        assert call.env["CNI_NETNS"] == pod.netns
        assert call.env["CNI_PATH"] == f"/opt/{token}/bin:{plugins.path}"
        wanted = {"cniVersion": "0.4.0", "name": "cluster", "type": token, "kubeconfig": "/some/where"}
        assert call.config == wanted | {"extra": {"kept": [1]}}
    eventually(lambda: [record["phase"] for record in records(running)] == ["ATTACHED"] * 2)

    plugins.forget_calls()
    pod.annotate(["red"])
    pod.wait_for(lambda links: set(links) == ifnames("red"))
    (delete,) = plugins.calls()
    assert delete.command == "DEL"
    same = _VARIABLES - {"COMMAND"}
    assert {key: delete.env[f"CNI_{key}"] for key in same} == {key: green.env[f"CNI_{key}"] for key in same}
    assert delete.config.pop("prevResult")["interfaces"][0]["name"] == ifname("green")
    assert delete.config.items() >= {"name": "cluster", "type": token}.items()
    eventually(lambda: len(records(running)) == 1)


def test_the_system_plugin_sees_nothing_of_the_agents_environment(
    agent: AgentFactory, node: Node, plugins: PluginDir, conf: SystemConf, token: str
) -> None:
    plugins.kactus(token)
    conf.write("10-cluster.conf", token)
    outside = {"API_TOKEN": "secret", "KUBERNETES_SERVICE_HOST": "192.0.2.1", "LD_LIBRARY_PATH": "/nowhere"}
    agent(
        attach_via="system",
        cni_conf_dir=conf.directory,
        env=outside | {"_CNI_LOGGING_LEVEL": "debug", "CNI_NETNS_OVERRIDE": "1"},
    )
    pod = node.pod(networks=["red"])
    pod.wait_for(has("red"))
    pod.annotate([])
    pod.wait_for_no_link(ifname("red"))

    passed = {"PATH", "_CNI_LOGGING_LEVEL", "CNI_NETNS_OVERRIDE"} | {f"CNI_{name}" for name in _VARIABLES}
    calls = plugins.calls()
    assert [call.command for call in calls] == ["ADD", "DEL"]
    for call in calls:
        assert set(call.env) == passed
        assert call.env["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize("attach_via", ["system", "delegate"])
def test_a_plugin_inherits_no_descriptor_but_its_three_pipes(
    agent: AgentFactory, node: Node, networks: Networks, plugins: PluginDir, conf: SystemConf, workdir: Path,
    token: str, attach_via: str,
) -> None:  # fmt: skip
    told = workdir / "descriptors"
    spy = plugins.path / token
    spy.write_text(f"#!/bin/sh\ncat > /dev/null\nls -l /proc/self/fd > {told}.new\nmv {told}.new {told}\n"
                   """printf '{"cniVersion": "0.4.0", "interfaces": [], "ips": []}'\n""")  # fmt: skip
    spy.chmod(0o755)
    conf.write("10-cluster.conf", token)
    network = networks.custom(token, {})
    running = agent(attach_via=attach_via, cni_conf_dir=conf.directory)
    node.pod(networks=[network.name])
    wait_for_attached(running, network)

    targets = dict(line.rsplit(maxsplit=3)[-3::2] for line in told.read_text().splitlines() if "->" in line)
    # `ls` itself has its output in the file, and the directory open that it lists.
    own = {number for number, target in targets.items() if target.startswith(("/proc/", f"{told}"))}
    assert own >= {"1"}
    rest = {number: target.partition(":")[0] for number, target in targets.items() if number not in own}
    assert rest == {"0": "pipe", "2": "pipe"}


@pytest.mark.parametrize("vendor_named", [False, True], ids=["by type", "by vendor"])
def test_looks_the_system_plugin_up_in_the_vendors_directory_first(
    agent: AgentFactory, node: Node, plugins: PluginDir, conf: SystemConf, token: str, vendor_named: bool
) -> None:
    plugin = f"{token}-plugin" if vendor_named else token
    vendor_dir = Path(f"/opt/{token}/cni/bin" if vendor_named else f"/opt/{token}/bin")
    of_the_vendor = plugins.kactus(plugin, vendor_dir)
    in_the_bin_dir = plugins.kactus(plugin)
    conf.write("10-cluster.conf", plugin)
    options = {"cni-vendor-name": token} if vendor_named else {}
    agent(attach_via="system", cni_conf_dir=conf.directory, options=options)
    pod = node.pod(networks=["red"])
    pod.wait_for(has("red"))
    (call,) = plugins.calls()
    assert call.plugin == str(of_the_vendor)
    assert call.env["CNI_PATH"] == f"{vendor_dir}:{plugins.path}"

    of_the_vendor.unlink()
    pod.annotate(["red", "green"])
    pod.wait_for(has("green"))
    assert plugins.calls()[-1].plugin == str(in_the_bin_dir)


def test_takes_a_new_first_configuration_without_a_restart(
    agent: AgentFactory, api: ApiServer, node: Node, plugins: PluginDir, conf: SystemConf, token: str
) -> None:
    old, new = f"{token}-old", f"{token}-new"
    plugins.kactus(old)
    plugins.kactus(new)
    running = agent(attach_via="system", cni_conf_dir=conf.directory)
    pod = node.pod(networks=["red"])
    wait_for_event(api, pod, "NetworkAttachFailed", "red", "no valid CNI network configuration", str(conf.directory))

    conf.write("20-old.conf", old)
    pod.wait_for(has("red"))
    conf.write("10-new.conflist", new, plugins=[{"type": new}])
    pod.annotate(["red", "green"])
    pod.wait_for(has("green"))
    (conf.directory / "10-new.conflist").write_text("{ half a file")
    pod.annotate(["red", "green", "blue"])
    pod.wait_for(has("blue"))
    by = {call.env["CNI_IFNAME"]: Path(call.plugin).name for call in plugins.calls("ADD")}
    assert by == {ifname("red"): old, ifname("green"): new, ifname("blue"): old}

    # Each is detached by the plugin that attached it, whatever the first configuration is by then.
    pod.annotate([])
    pod.wait_for(lambda links: set(links) == {"lo"})
    assert {call.env["CNI_IFNAME"]: Path(call.plugin).name for call in plugins.calls("DEL")} == by
    eventually(lambda: not records(running))


def test_adopts_the_interfaces_that_the_system_plugin_made_at_pod_start(
    agent: AgentFactory, api: ApiServer, node: Node, plugins: PluginDir, conf: SystemConf, token: str
) -> None:
    kactus = plugins.kactus(token)
    conf.write("10-cluster.conf", token)
    running = agent(attach_via="system", cni_conf_dir=conf.directory)
    pod = node.pod(networks=["red", "green"], start=False)
    pod.start_sandbox()
    for network in ("red", "green"):
        run_as_the_kubelet(kactus, pod, network)
    made = pod.links()
    assert set(made) == ifnames("red", "green")
    plugins.forget_calls()

    pod.start_containers()
    pod.report_running()
    wait_for_line(running, "adopted", ifname("red"), pod.name)
    wait_for_line(running, "adopted", ifname("green"), pod.name)
    pod.annotate(["red", "green", "blue"])
    pod.wait_for(has("blue"))
    assert _commands(plugins.calls()) == [("ADD", ifname("blue"))]
    assert {name: link for name, link in pod.links().items() if name != ifname("blue")} == made

    # Adopted is as good as attached: it is detached like any other.
    pod.annotate(["green", "blue"])
    pod.wait_for_no_link(ifname("red"))
    assert _commands(plugins.calls("DEL")) == [("DEL", ifname("red"))]
    assert plugins.calls("DEL")[0].env["CNI_ARGS"] == expected_args(pod, "red")


def test_keeps_off_until_the_pod_is_running(
    agent: AgentFactory, node: Node, plugins: PluginDir, conf: SystemConf, token: str
) -> None:
    plugins.kactus(token)
    conf.write("10-cluster.conf", token)
    running = agent(attach_via="system", cni_conf_dir=conf.directory)
    starting = node.pod(networks=["red"], start=False)
    starting.start_sandbox()
    wait_for_line(running, starting.name, "still being set up by the kubelet")
    starting.start_containers()
    beside = node.pod(networks=["green"])
    beside.wait_for(has("green"))
    _wait_until_the_next_look_is_seconds_away()
    assert set(starting.links()) == {"lo"}
    assert {call.env["CNI_CONTAINERID"] for call in plugins.calls()} == {beside.sandbox_id}

    starting.report_running()
    starting.wait_for(has("red"), timeout=2, what="red, without waiting out a delay")


def test_auto_goes_through_the_system_plugin_only_if_it_is_a_kactus(
    agent: AgentFactory, node: Node, networks: Networks, plugins: PluginDir, conf: SystemConf, token: str
) -> None:
    first, second, third = networks.bridge(), networks.bridge(), networks.bridge()
    plugins.kactus("kactus")
    agent(attach_via="auto", cni_conf_dir=conf.directory, options={"cni-vendor-name": token})
    pod = node.pod(networks=[first.name])
    assert first.holds(pod.wait_for_link(ifname(first)).addresses[0])

    conf.write("10-cluster.conf", "bridge")
    pod.annotate([first.name, second.name])
    assert second.holds(pod.wait_for_link(ifname(second)).addresses[0])
    assert not plugins.calls(plugin="kactus")

    conf.write("00-kactus.conf", "kactus")
    pod.annotate([first.name, second.name, third.name])
    pod.wait_for(has(third.name))
    (call,) = plugins.calls(plugin="kactus")
    assert call.env["CNI_ARGS"] == expected_args(pod, third.name)
    assert not third.leases()

    # What was attached one way is detached that way.
    pod.annotate([])
    pod.wait_for(lambda links: set(links) == {"lo"})
    assert _commands(plugins.calls("DEL", "kactus")) == [("DEL", ifname(third))]
    eventually(lambda: not first.leases() and not second.leases())


def _wait_until_the_next_look_is_seconds_away() -> None:
    """Looks are taken after 1, 2 and 4 s. A pod that is waited for shows nothing that could be awaited instead."""
    begun = time.monotonic()
    eventually(lambda: time.monotonic() - begun > 3.7)


def _commands(calls: list[Call]) -> list[tuple[str, str]]:
    return [(call.command, call.env["CNI_IFNAME"]) for call in calls]
