"""What is said, and that nothing is left, when something that kactus needs is missing, broken or hostile."""

from __future__ import annotations

from typing import Any

import pytest

from functional.expectations import ifname
from functional.kactus.sandboxes import SandboxFactory
from lab.apiserver import ApiServer
from lab.networks import Network, Networks, definition
from lab.plugins import PluginDir

pytestmark = pytest.mark.root


def test_a_missing_definition_takes_everything_back_and_is_named(
    sandbox: SandboxFactory, networks: Networks, master: Network
) -> None:
    red = networks.bridge()
    pod = sandbox([{"name": red.name}, {"name": "nowhere"}], namespace="team-a")
    answer = pod.start()
    assert answer.code == 7
    assert "network nowhere is not defined" in answer.message
    assert "team-a or default" in answer.message
    pod.assert_nothing_left(master, red)


def test_a_failing_second_delegate_takes_the_first_ones_back(
    sandbox: SandboxFactory, networks: Networks, plugins: PluginDir, master: Network
) -> None:
    red, green = networks.bridge(), networks.custom("flaky", {})
    plugins.fail("flaky", "ADD", code=11, msg="the switch is away")
    pod = sandbox([{"name": red.name}, {"name": green.name}])
    answer = pod.start()
    assert answer.code == 11
    assert "the switch is away" in answer.message
    assert "flaky" in answer.message, "the message names the plugin"
    pod.assert_nothing_left(master, red, green)


def test_a_delegate_that_fails_half_way_is_taken_back_itself(
    sandbox: SandboxFactory, networks: Networks, plugins: PluginDir, master: Network
) -> None:
    red = networks.bridge()
    green = networks.custom("bridge", {"plugins": [{**red.config, "bridge": red.bridge}, {"type": "flaky"}]})
    plugins.fail("flaky", "ADD", code=999, msg="broken")
    pod = sandbox([{"name": green.name}])
    assert pod.start().code == 999
    pod.assert_nothing_left(master, red, green)


def test_what_was_there_before_a_failed_call_stays(
    sandbox: SandboxFactory, networks: Networks, plugins: PluginDir, master: Network
) -> None:
    red, green = networks.bridge(), networks.bridge()
    pod = sandbox([{"name": red.name}, {"name": green.name}])
    assert pod.attach(red).ok
    before = pod.links()
    plugins.fail("bridge", "ADD")
    assert not pod.start().ok
    assert (pod.links(), pod.saved_names()) == (before, [red.name])
    assert not pod.attach(green).ok
    assert (pod.links(), pod.saved_names()) == (before, [red.name])
    plugins.restore("bridge")
    assert pod.end().ok
    pod.assert_nothing_left(master, red, green)


def test_what_cannot_be_taken_back_is_kept_for_the_delete_that_follows(
    sandbox: SandboxFactory, networks: Networks, plugins: PluginDir, master: Network
) -> None:
    red = networks.custom("flaky", {})
    pod = sandbox([{"name": red.name}])
    plugins.fail("flaky", "ADD", "DEL")
    assert not pod.start().ok
    assert pod.saved_names() == [red.name]
    plugins.print("flaky", text="{}")
    assert pod.end().ok
    pod.assert_nothing_left(master, red)


@pytest.mark.parametrize(
    ("annotation", "problem"),
    [
        ("[{", "not valid JSON"),
        ('{"name": "red"}', "must be a JSON list"),
        ('[{"nam": "red"}]', "has no name"),
        ('[{"name": "../../etc/passwd"}]', "not the name of a network"),
        ('[{"name": "red;IP=10.0.0.1"}]', "not the name of a network"),
        ('[{"name": "red\\u0000"}]', "not the name of a network"),
        ('[{"name": "red", "ifMac": "02:00:00:00:00:01;IP=1"}]', "is not a unicast MAC address"),
        ('[{"name": "red", "ifMac": "01:00:5e:00:00:01"}]', "is not a unicast MAC address"),
        ('[{"name": "red", "namespace": "../x"}]', "is not the name of a namespace"),
        ('[{"name": "red", "isPrimary": "yes"}]', "must be true or false"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_a_malformed_annotation_is_named_and_nothing_is_attached(
    sandbox: SandboxFactory, networks: Networks, master: Network, annotation: str, problem: str
) -> None:
    red = networks.bridge("red")
    pod = sandbox(annotation)
    answer = pod.start()
    assert answer.code == 7
    assert "pod annotation" in answer.message
    assert problem in answer.message
    assert len(answer.message) < 1000
    pod.assert_nothing_left(master, red)


@pytest.mark.parametrize(
    ("plugin", "config", "problem"),
    [
        ("../bin/sh", "{}", "plugin"),
        ("/bin/sh", "{}", "plugin"),
        ("..", "{}", "plugin"),
        ("bridge", '{"type": "bridge", "ipam": {"type": "../../bin/sh"}}', "ipam"),
        ("bridge", '{"plugins": [{"type": "bridge"}, {"type": "../sh"}]}', "type"),
        ("bridge", "no JSON", "spec.config"),
        ("bridge", "[]", "spec.config"),
        ("bridge", '{"name": "a/b"}', "name"),
        ("bridge", '{"cniVersion": "one"}', "cniVersion"),
        ("bridge", '{"x": "' + "y" * (1 << 20) + '"}', "1 MiB"),
        ("nowhere-plugin", "{}", "not found in any of the plugin directories"),
    ],
)
def test_a_definition_that_cannot_be_used_is_named_and_nothing_is_attached(
    sandbox: SandboxFactory, networks: Networks, api: ApiServer, master: Network, plugin: str, config: str, problem: str
) -> None:
    api.create(definition("red", "default", plugin, config))
    pod = sandbox([{"name": "red"}])
    for answer in (pod.start(), pod.attach("red")):
        assert answer.code in (5, 7), answer
        assert problem in answer.message
        assert len(answer.message) < 4200
        pod.assert_nothing_left(master)


def test_a_definition_of_almost_one_mebibyte_is_attached_and_detached(
    sandbox: SandboxFactory, networks: Networks, master: Network
) -> None:
    large = networks.bridge(comment="x" * 1_040_000)
    pod = sandbox([{"name": large.name}])
    assert pod.start().ok
    assert set(pod.links()) == {"eth0", ifname(large)}
    assert pod.end().ok
    pod.assert_nothing_left(master, large)


@pytest.mark.parametrize(
    "args",
    ["K8S_POD_NETWORK=../red", "K8S_POD_NETWORK=Red", "K8S_POD_NETWORK=red;K8S_POD_IFMAC=ff:ff:ff:ff:ff:ff",
     "K8S_POD_NETWORK=red;K8S_POD_IFMAC=02:00:00:00:00:01\n", "K8S_POD_NETWORK=red=green", "K8S_POD_NETWORK=red\n"],
)  # fmt: skip
def test_hostile_arguments_are_refused_before_anything_is_done(
    sandbox: SandboxFactory, networks: Networks, plugins: PluginDir, args: str
) -> None:
    networks.bridge("red")
    pod = sandbox()
    plugins.record("bridge")
    for answer in (
        pod.start(args=f"IgnoreUnknown=1;{args}", ifname=ifname("red")),
        pod.end(args=f"IgnoreUnknown=1;{args}", ifname=ifname("red")),
    ):
        assert answer.code == 4
    assert plugins.calls() == []
    pod.assert_nothing_left()


@pytest.mark.parametrize("netns", ["/proc/self/ns/net", "/run/netns/nowhere"])
def test_the_hosts_own_namespace_and_one_that_is_not_there_are_refused(
    sandbox: SandboxFactory, networks: Networks, plugins: PluginDir, master: Network, netns: str
) -> None:
    red = networks.bridge()
    pod = sandbox([{"name": red.name}])
    plugins.record("bridge")
    answers: list[Any] = [pod.start(netns=netns), pod.attach(red, netns=netns)]
    assert [answer.code for answer in answers] == [8, 8]
    assert plugins.calls() == []
    pod.assert_nothing_left(master, red)
