"""Networks come and go as they are defined and annotated, whether the agent runs their plugins or kactus does."""

from __future__ import annotations

import pytest

from functional.expectations import (
    ifname,
    ifnames,
    order,
    records,
    wait_for_attached,
    wait_for_event,
    wait_for_lease,
    wait_for_line,
    wait_for_nothing_left,
)
from functional.ways import BOTH_WAYS, NodeKactus
from lab.agent import AgentFactory
from lab.apiserver import ApiServer
from lab.networks import Networks, definition
from lab.node import Node
from lab.plugins import PluginDir
from lab.waiting import eventually

pytestmark = [pytest.mark.root, BOTH_WAYS]

MAC = "02:00:00:00:0a:01"
OTHER_MAC = "02:00:00:00:0a:02"


def test_attaches_and_detaches_several_networks_at_once(
    agent: AgentFactory, api: ApiServer, node: Node, networks: Networks
) -> None:
    made = [networks.bridge() for _ in range(3)]
    staying, *leaving = made
    running = agent()
    pod = node.pod()

    pod.annotate([network.name for network in made])
    for network in made:
        link = pod.wait_for_link(ifname(network))
        assert link.up
        assert len(link.addresses) == 1
        assert network.holds(link.addresses[0])
        wait_for_lease(network, pod)
        wait_for_event(api, pod, "NetworkAttached", ifname(network), network.name, link.addresses[0])
    before = pod.links()
    assert set(before) == ifnames(*made)
    wait_for_attached(running, *made)

    pod.annotate([staying.name])
    after = pod.wait_for(lambda links: set(links) == ifnames(staying))
    assert after[ifname(staying)] == before[ifname(staying)]
    for network in leaving:
        eventually(lambda network=network: not network.leases())
        wait_for_event(api, pod, "NetworkDetached", ifname(network), network.name)

    pod.annotate(None)
    pod.wait_for(lambda links: set(links) == {"lo"})
    wait_for_nothing_left(running, *made)


@pytest.mark.parametrize("chained", [False, True], ids=["plain", "chain"])
def test_gives_the_interface_the_requested_mac(
    agent: AgentFactory, node: Node, networks: Networks, plugins: PluginDir, chained: bool
) -> None:
    network = networks.bridge(tuning=chained)
    plugins.record("bridge", "tuning")
    running = agent()
    pod = node.pod()

    pod.annotate([{"name": network.name, "ifMac": MAC.upper()}])
    wait_for_attached(running, network)
    link = pod.links()[ifname(network)]
    assert link.mac == MAC
    assert network.holds(link.addresses[0])
    assert f"MAC={MAC}" in plugins.calls("ADD", "bridge")[0].args
    if chained:
        (tuned,) = plugins.calls("ADD", "tuning")
        assert tuned.config["runtimeConfig"] == {"mac": MAC}
        assert tuned.config["prevResult"]["ips"][0]["address"] == link.addresses[0]

    pod.annotate([])
    wait_for_nothing_left(running, network)
    assert set(pod.links()) == {"lo"}
    deletes = [call.plugin.rpartition("/")[2] for call in plugins.calls("DEL")]
    assert deletes == (["tuning", "bridge"] if chained else ["bridge"])
    assert all("prevResult" in call.config for call in plugins.calls("DEL"))


def test_attaches_again_when_the_requested_mac_changes(agent: AgentFactory, node: Node, networks: Networks) -> None:
    changing, beside = networks.bridge(), networks.bridge()
    agent()
    pod = node.pod(networks=[{"name": changing.name, "ifMac": MAC}, beside.name])
    pod.wait_for(lambda links: ifname(changing) in links and links[ifname(changing)].mac == MAC)
    untouched = pod.wait_for_link(ifname(beside))

    pod.annotate([{"name": changing.name, "ifMac": OTHER_MAC}, beside.name])
    pod.wait_for(lambda links: ifname(changing) in links and links[ifname(changing)].mac == OTHER_MAC)
    assert changing.holds(pod.wait_for_link(ifname(changing)).addresses[0])
    wait_for_lease(changing, pod)
    assert pod.links()[ifname(beside)] == untouched


def test_leaves_primary_and_skipped_entries_alone(agent: AgentFactory, node: Node, networks: Networks) -> None:
    primary, skipped, served = networks.bridge(), networks.bridge(), networks.bridge()
    running = agent()
    entries = [{"name": primary.name, "isPrimary": True}, {"name": skipped.name, "podagentSkip": True}]
    pod = node.pod(networks=[*entries, served.name])
    attached = pod.wait_for_link(ifname(served))
    assert set(pod.links()) == ifnames(served)

    # Flipped on an attached one: it stays; flipped off on another: that one comes.
    pod.annotate([{"name": primary.name, "isPrimary": False}, entries[1], {"name": served.name, "podagentSkip": True}])
    pod.wait_for_link(ifname(primary))
    assert set(pod.links()) == ifnames(served, primary)
    assert pod.links()[ifname(served)] == attached

    # And back again: still the same interface.
    pod.annotate([{"name": primary.name, "isPrimary": True}, skipped.name, served.name])
    pod.wait_for_link(ifname(skipped))
    assert set(pod.links()) == ifnames(served, primary, skipped)
    assert pod.links()[ifname(served)] == attached

    pod.annotate([])
    pod.wait_for(lambda links: set(links) == {"lo"})
    wait_for_nothing_left(running, primary, skipped, served)


def test_attaches_lower_layers_first_and_detaches_them_last(
    agent: AgentFactory, node: Node, networks: Networks, plugins: PluginDir
) -> None:
    top, middle, bottom = networks.bridge(), networks.bridge(), networks.bridge()
    plugins.record("bridge")
    agent()
    pod = node.pod()
    upwards = [ifname(bottom), ifname(middle), ifname(top)]

    pod.annotate(
        [
            top.name,
            {"name": middle.name, "upperLayers": [top.name]},
            {"name": bottom.name, "upperLayers": [middle.name]},
        ]
    )
    links = pod.wait_for(lambda links: set(links) == ifnames(top, middle, bottom))
    assert order(plugins.calls("ADD")) == upwards
    assert sorted(upwards, key=lambda name: links[name].ifindex) == upwards

    pod.annotate([])
    pod.wait_for(lambda links: set(links) == {"lo"})
    assert order(plugins.calls("DEL")) == upwards[::-1]


def test_takes_the_definition_of_the_pods_namespace_before_that_of_default(
    agent: AgentFactory, node: Node, networks: Networks
) -> None:
    own, common = networks.bridge("data", "tenant"), networks.bridge("data", "default")
    only_common = networks.bridge("storage", "default")
    agent()

    pod = node.pod(namespace="tenant", networks=["data", "storage"])
    assert own.holds(pod.wait_for_link(ifname("data")).addresses[0])
    assert only_common.holds(pod.wait_for_link(ifname("storage")).addresses[0])

    pod.annotate([{"name": "data", "namespace": "default"}, {"name": "storage"}])
    pod.wait_for(
        lambda links: ifname("data") in links and any(map(common.holds, links[ifname("data")].addresses)),
        what="the definition that the entry names to be used",
    )
    eventually(lambda: not own.leases())


def test_refuses_the_networks_of_another_namespace_unless_it_is_a_global_one(
    agent: AgentFactory, api: ApiServer, node: Node, networks: Networks
) -> None:
    foreign, shared = networks.bridge("secret", "other"), networks.bridge("shared", "commons")
    networks.bridge("own", "tenant")
    running = agent(options={"global-namespaces": "default,commons"})
    pod = node.pod(namespace="tenant")

    allowed = [{"name": "shared", "namespace": "commons"}, "own"]
    pod.annotate([{"name": "secret", "namespace": "other"}, *allowed])
    pod.wait_for_link(ifname("own"))
    assert shared.holds(pod.wait_for_link(ifname("shared")).addresses[0])
    told = wait_for_event(api, pod, "NetworkAnnotationInvalid", "networks[0]", "secret", "namespace other")
    assert "global-namespaces" in told
    wait_for_line(running, f"pod tenant/{pod.name}", told)

    # Without naming the namespace it is not found either.
    pod.annotate(["secret", *allowed])
    wait_for_event(api, pod, "NetworkAttachFailed", "secret", "not defined", "tenant or default")
    assert set(pod.links()) == ifnames("own", "shared")
    assert not foreign.leases()


def test_attaches_a_network_whose_definition_is_created_later(
    agent: AgentFactory, api: ApiServer, node: Node, networks: Networks
) -> None:
    late, beside = networks.bridge(), networks.bridge()
    networks.undefine(late)
    running = agent()
    pod = node.pod(networks=[late.name, beside.name])
    pod.wait_for_link(ifname(beside))
    wait_for_event(api, pod, "NetworkAttachFailed", late.name, "not defined")
    assert not [record for record in records(running) if record["attachment"]["network"] == late.name]

    api.create(definition(late.name, late.namespace, "bridge", late.config))
    assert late.holds(pod.wait_for_link(ifname(late)).addresses[0])


def test_attaches_once_a_definition_that_named_no_plugin_is_mended(
    agent: AgentFactory, api: ApiServer, node: Node, networks: Networks
) -> None:
    network = networks.bridge()
    api.patch("networks", network.namespace, network.name, {"spec": {"plugin": "bridgge"}})
    running = agent()
    pod = node.pod(networks=[network.name])
    wait_for_event(api, pod, "NetworkAttachFailed", network.name, "bridgge: not found")
    # Nothing was built, so that there is nothing to remember: a DEL would fail for ever.
    eventually(lambda: not records(running))

    api.patch("networks", network.namespace, network.name, {"spec": {"plugin": "bridge"}})
    assert network.holds(pod.wait_for_link(ifname(network)).addresses[0])


def test_a_changed_definition_does_not_touch_what_is_attached(
    agent: AgentFactory, api: ApiServer, node: Node, networks: Networks, plugins: PluginDir
) -> None:
    changed, barrier = networks.bridge(), networks.bridge()
    plugins.record("bridge")
    running = agent()
    pod = node.pod(networks=[changed.name])
    attached = pod.wait_for_link(ifname(changed))
    wait_for_event(api, pod, "NetworkAttached", changed.name)

    other = definition(changed.name, changed.namespace, "bridge", {**changed.config, "mtu": 1400})
    api.patch("networks", changed.namespace, changed.name, {"spec": other["spec"]})
    running.reload()
    running.wait_for_log("reloaded")
    pod.annotate([changed.name, barrier.name])
    pod.wait_for_link(ifname(barrier))
    assert pod.links()[ifname(changed)] == attached
    assert not plugins.calls("DEL")

    # What ADD was given, DEL is given: not what the definition says by now.
    pod.annotate([barrier.name])
    pod.wait_for_no_link(ifname(changed))
    (delete,) = plugins.calls("DEL")
    assert "mtu" not in delete.config


def test_detaches_a_network_whose_definition_was_deleted(agent: AgentFactory, node: Node, networks: Networks) -> None:
    network = networks.bridge(tuning=True)
    running = agent()
    pod = node.pod(networks=[network.name])
    pod.wait_for_link(ifname(network))

    networks.undefine(network)
    pod.annotate([])
    pod.wait_for_no_link(ifname(network))
    wait_for_nothing_left(running, network)


def test_networks_annotated_from_the_start_are_there_before_the_containers(
    agent: AgentFactory, api: ApiServer, node: Node, networks: Networks, plugins: PluginDir, via: str,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    network, barrier = networks.bridge(), networks.bridge()
    plugins.record("bridge")
    agent()
    pod = node.pod(networks=[network.name], start=False)
    pod.start_sandbox()
    if via == "kactus":  # then the kubelet has it done, while the agent keeps off
        kactus: NodeKactus = request.getfixturevalue("kactus")
        kactus.set_up(pod)
        request.addfinalizer(lambda: kactus.tear_down(pod))
    link = pod.wait_for_link(ifname(network), timeout=5)
    assert api.get("pods", pod.namespace, pod.name)["status"]["phase"] == "Pending"

    # What init containers found, the application finds too.
    pod.start_containers()
    pod.report_running()
    pod.annotate([network.name, barrier.name])
    pod.wait_for_link(ifname(barrier))
    assert pod.links()[ifname(network)] == link
    assert [name for name in order(plugins.calls()) if name != "eth0"] == [ifname(network), ifname(barrier)]


def test_the_restart_of_an_application_container_changes_nothing(
    agent: AgentFactory, node: Node, networks: Networks, plugins: PluginDir
) -> None:
    network, barrier = networks.bridge(), networks.bridge()
    plugins.record("bridge")
    agent()
    pod = node.pod(networks=[network.name])
    attached = pod.wait_for_link(ifname(network))

    pod.restart_container()
    pod.annotate([network.name, barrier.name])
    pod.wait_for_link(ifname(barrier))
    assert pod.links()[ifname(network)] == attached
    assert order(plugins.calls()) == [ifname(network), ifname(barrier)]
