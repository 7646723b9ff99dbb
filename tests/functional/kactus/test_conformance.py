"""The executable: exit code, standard output and error, environment and versions, with real plugins.

tests/unit/kactus/test_kactus_call.py and test_kactus_run.py have every refusal, in process.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from functional.expectations import ifname
from functional.kactus.sandboxes import Sandbox, SandboxFactory
from lab.kactus import Answer, Kactus
from lab.networks import Networks
from lab.plugins import PluginDir

pytestmark = pytest.mark.root

VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]


def test_a_refusal_is_an_error_object_on_standard_output_and_nothing_else(
    kactus: Kactus, sandbox: SandboxFactory, plugins: PluginDir
) -> None:
    pod = sandbox()
    plugins.record("bridge", "host-local")
    answers = (pod.start(args="FOO=1"), pod.start(conf=kactus.conf(delegates=[])), pod.start(conf="nonsense"))
    assert [(each.exit_code, each.code, each.printed["cniVersion"]) for each in answers] == [
        (1, 4, "0.4.0"), (1, 7, "0.4.0"), (1, 6, "1.1.0"),
    ]  # fmt: skip
    for answer, word in zip(answers, ("CNI_ARGS", "delegates", "network configuration"), strict=True):
        assert word in answer.message
        assert (answer.printed.keys() - {"details"}, answer.stderr) == ({"cniVersion", "code", "msg"}, "")
    assert plugins.calls() == []
    pod.assert_nothing_left()


def test_version_lists_the_known_versions_without_a_configuration(kactus: Kactus) -> None:
    assert kactus.call("VERSION", conf="") == Answer(0, {"cniVersion": "1.1.0", "supportedVersions": VERSIONS})


def test_status_and_gc_have_no_result(kactus: Kactus) -> None:
    newest = replace(kactus, cni_version="1.1.0", master={**kactus.master, "cniVersion": "1.0.0"})
    assert newest.call("STATUS") == Answer(0, {})
    assert newest.call("GC", conf=newest.conf() | {"cni.dev/valid-attachments": []}) == Answer(0, {})


def test_the_example_of_kalooms_readme_takes_a_network_without_addresses(
    kactus: Kactus, networks: Networks, sandbox: SandboxFactory
) -> None:
    master = {key: value for key, value in kactus.master.items() if key != "cniVersion"}
    conf = {key: value for key, value in replace(kactus, master=master).conf().items() if key != "cniVersion"}
    network, pod = networks.bridge(cni_version="0.3.1", ipam={}), sandbox()
    assert pod.start(conf=conf).printed.keys() == {"cniVersion", "ip4", "dns"}
    assert pod.attach(network, conf=conf) == Answer(0, {"cniVersion": "0.1.0"})
    assert pod.links().keys() == {"eth0", ifname(network.name)}


def test_kactus_is_not_its_own_delegate(kactus: Kactus, sandbox: SandboxFactory, plugins: PluginDir) -> None:
    (plugins.path / "kactus").symlink_to(kactus.executable)
    pod = sandbox()
    answer = pod.start(conf=kactus.conf(delegates=[{**kactus.conf(), "masterPlugin": True}]))
    assert answer.code == 7
    assert "called itself" in answer.message
    pod.assert_nothing_left()


def assert_shape(result: dict[str, Any], version: str, pod: Sandbox) -> None:
    addresses = pod.links()["eth0"].addresses
    assert result["cniVersion"] == version
    if version == "0.2.0":
        assert result.keys() <= {"cniVersion", "ip4", "ip6", "dns"}
        assert (result["ip4"]["ip"],) == addresses
        return
    (inside,) = [each for each in result["interfaces"] if each.get("sandbox")]
    assert (inside["name"], inside["sandbox"]) == ("eth0", pod.netns)
    (ip,) = result["ips"]
    assert (ip["address"],) == addresses
    assert result["interfaces"][ip["interface"]] == inside
    assert ip.get("version") == ("4" if version < "1" else None)


@pytest.mark.parametrize("chain", [False, True], ids=["plugin", "chain"])
@pytest.mark.parametrize(("version", "delegates"), [("0.2.0", "1.0.0"), ("0.4.0", "0.4.0"), ("1.1.0", "0.3.1")])
def test_an_attachment_lives_in_the_version_that_was_asked_for(
    kactus: Kactus, networks: Networks, sandbox: SandboxFactory, version: str, delegates: str, *, chain: bool
) -> None:
    network = networks.bridge(cni_version=delegates, tuning=chain)
    pod = sandbox()
    pod.kactus = replace(kactus, master=network.config, cni_version=version)
    added = pod.start()
    assert added.ok, added.message
    assert_shape(added.printed, version, pod)
    checked = pod.check()
    assert checked == Answer(0, {}) if version >= "0.4.0" else checked.code == 1
    for _ in range(2):
        assert pod.end() == Answer(0, {})
