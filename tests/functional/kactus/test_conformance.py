"""The calls of the CNI specification, good and bad: the code, the message and the version of the answer.

What is refused must have done nothing: no plugin run, no link, no lease, no file.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from functional.kactus.sandboxes import Sandbox, SandboxFactory
from lab.kactus import Answer, Kactus
from lab.networks import Network, Networks
from lab.plugins import PluginDir

pytestmark = pytest.mark.root

Json = dict[str, Any]
VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
ATTACHMENT = ("ADD", "CHECK", "DEL")
MISSING = [
    ("ADD", "CNI_CONTAINERID"), ("ADD", "CNI_NETNS"), ("ADD", "CNI_IFNAME"), ("ADD", "CNI_PATH"),
    ("CHECK", "CNI_CONTAINERID"), ("CHECK", "CNI_NETNS"), ("CHECK", "CNI_IFNAME"), ("CHECK", "CNI_PATH"),
    ("DEL", "CNI_CONTAINERID"), ("DEL", "CNI_IFNAME"), ("DEL", "CNI_PATH"),
    ("GC", "CNI_PATH"), ("STATUS", "CNI_PATH"),
]  # fmt: skip


class Caller:
    """Makes one call that must be refused, and sees that nothing came of it."""

    def __init__(self, kactus: Kactus, sandbox: Sandbox, plugins: PluginDir, master: Network) -> None:
        self.kactus = kactus
        self._sandbox = sandbox
        self._plugins = plugins
        self._master = master

    def refused(self, command: str, code: int, conf: Json | str | None = None, **variables: str) -> str:
        """The message of the error object."""
        answer = call(self.kactus, command, self._sandbox, conf, variables)
        assert answer.exit_code == 1
        assert answer.printed.keys() <= {"cniVersion", "code", "msg", "details"}
        assert {"cniVersion", "code", "msg"} <= answer.printed.keys()
        assert answer.code == code
        assert answer.printed["cniVersion"] in VERSIONS
        assert self._plugins.calls() == []
        self._sandbox.assert_nothing_left(self._master)
        assert self.kactus.files() == []
        return answer.message


def call(
    kactus: Kactus, command: str, sandbox: Sandbox, conf: Json | str | None, variables: Mapping[str, str]
) -> Answer:
    changed = replace(kactus, environ={**kactus.environ, **variables})
    return changed.call(command, sandbox.id, sandbox.netns, conf=conf)


@pytest.fixture
def caller(kactus: Kactus, sandbox: SandboxFactory, plugins: PluginDir, master: Network) -> Caller:
    plugins.record("bridge", "host-local")
    return Caller(kactus, sandbox(), plugins, master)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("command", "variable"), MISSING)
def test_a_missing_variable_is_named(caller: Caller, command: str, variable: str) -> None:
    conf = caller.kactus.conf(cniVersion="1.1.0")
    assert f"[{variable}] missing" in caller.refused(command, 4, conf, **{variable: ""})


@pytest.mark.parametrize("command", ["", "UPDATE", "add", "ADD\n"])
def test_an_unknown_command_is_refused(caller: Caller, command: str) -> None:
    assert "CNI_COMMAND" in caller.refused(command, 4)


BAD_VARIABLES = [
    ("CNI_CONTAINERID", "../../etc/passwd"), ("CNI_CONTAINERID", "a/b"), ("CNI_CONTAINERID", ".locks"),
    ("CNI_CONTAINERID", "c1\n"), ("CNI_CONTAINERID", "x" * 300), ("CNI_IFNAME", "eth0/../x"), ("CNI_IFNAME", ".."),
    ("CNI_IFNAME", "x" * 16), ("CNI_IFNAME", "eth 0"), ("CNI_NETNS", "relative"), ("CNI_NETNS", "/x\n"),
    ("CNI_ARGS", "FOO=1"), ("CNI_ARGS", "IgnoreUnknown=0;FOO=1"), ("CNI_ARGS", "IgnoreUnknown=1;FOO"),
    ("CNI_ARGS", "IgnoreUnknown=1;FOO=1=2"), ("CNI_ARGS", "IgnoreUnknown=1;"), ("CNI_ARGS", "IgnoreUnknown=1;A=\n"),
    ("CNI_ARGS", "K8S_POD_NAMESPACE=../x;K8S_POD_NAME=web"), ("CNI_ARGS", "K8S_POD_NAMESPACE=a;K8S_POD_NAME=b/c"),
    ("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NETWORK=../../x"), ("CNI_ARGS", f"K8S_POD_NETWORK={'x' * 300}"),
    ("CNI_ARGS", "K8S_POD_NETWORK=red;K8S_POD_IFMAC=ff:ff:ff:ff:ff:ff"), ("CNI_ARGS", "K8S_POD_IFMAC=x"),
]  # fmt: skip


@pytest.mark.parametrize("command", ATTACHMENT)
@pytest.mark.parametrize(("variable", "value"), BAD_VARIABLES)
def test_an_unusable_variable_is_named(caller: Caller, command: str, variable: str, value: str) -> None:
    assert variable in caller.refused(command, 4, **{variable: value})


def test_one_half_of_a_pods_name_is_not_enough(caller: Caller) -> None:
    assert "belong together" in caller.refused("ADD", 4, CNI_ARGS="K8S_POD_NAME=web")


@pytest.mark.parametrize("command", [*ATTACHMENT, "GC", "STATUS"])
@pytest.mark.parametrize("named", ["0.3", "1.2.0", "9.9.9", "nonsense", 7])
def test_an_unknown_version_is_refused(caller: Caller, command: str, named: Any) -> None:
    assert "incompatible CNI versions" in caller.refused(command, 1, caller.kactus.conf(cniVersion=named))


@pytest.mark.parametrize(
    ("command", "named"),
    [("CHECK", "0.3.1"), ("CHECK", "0.1.0"), ("GC", "1.0.0"), ("STATUS", "1.0.0"), ("STATUS", "0.4.0")],
)
def test_a_command_that_the_version_does_not_have_is_refused(caller: Caller, command: str, named: str) -> None:
    assert f"{named} has no {command}" in caller.refused(command, 1, caller.kactus.conf(cniVersion=named))


@pytest.mark.parametrize("command", [*ATTACHMENT, "GC", "STATUS"])
@pytest.mark.parametrize("text", ["", "nonsense", "[]", "null", "{", '{"a": NaN}', "[" * 50_000])
def test_a_configuration_that_is_no_object_is_refused(caller: Caller, command: str, text: str) -> None:
    caller.refused(command, 6, text)


BAD_CONFIGURATIONS: list[tuple[Json, str]] = [
    ({"name": ""}, "name"), ({"name": "../x"}, "name"),
    ({"delegates": []}, "delegates"), ({"delegates": 7}, "delegates"),
    ({"delegates": [7]}, "delegates"), ({"delegates": [{"masterPlugin": True}]}, "type"),
    ({"delegates": [{"type": "../bridge"}]}, "type"), ({"delegates": [{"type": "/bin/sh"}]}, "type"),
    ({"delegates": [{"type": "bridge", "ipam": {"type": "../x"}}]}, "ipam.type"),
    ({"delegates": [{"type": "bridge", "masterPlugin": True}] * 2}, "only one delegate"),
    ({"delegates": [{"type": "bridge"}] * 2}, "masterPlugin"), ({"kubeconfig": "x"}, "kubeconfig"),
    ({"cniDir": "x"}, "cniDir"), ({"cniDir": 7}, "cniDir"),
]  # fmt: skip


@pytest.mark.parametrize("command", [*ATTACHMENT, "GC", "STATUS"])
@pytest.mark.parametrize(("change", "named"), BAD_CONFIGURATIONS)
def test_an_unusable_configuration_is_told_with_its_key(
    caller: Caller, command: str, change: Json, named: str
) -> None:  # fmt: skip
    attachments: Json = {"cni.dev/valid-attachments": []} if command == "GC" else {}
    conf = caller.kactus.conf(cniVersion="1.1.0", **attachments) | change
    assert named in caller.refused(command, 7, conf)


def test_a_plugin_that_is_not_installed_is_named_and_nothing_is_kept(caller: Caller) -> None:
    conf = caller.kactus.conf(delegates=[{"type": "no-such-plugin", "masterPlugin": True}])
    assert "no-such-plugin" in caller.refused("ADD", 5, conf)


@pytest.mark.parametrize("attachments", [None, {}, [7], [{}], [{"containerID": "c1"}], "all"])
def test_gc_without_a_usable_list_touches_nothing(caller: Caller, attachments: Any) -> None:
    conf = caller.kactus.conf(cniVersion="1.1.0") | {"cni.dev/valid-attachments": attachments}
    assert "cni.dev/valid-attachments" in caller.refused("GC", 7, conf)


@pytest.mark.parametrize("netns", ["/proc/self/ns/net", "/run/netns/no-such"])
def test_our_own_namespace_and_none_at_all_are_refused(caller: Caller, netns: str) -> None:
    caller.refused("ADD", 8, CNI_NETNS=netns)


def test_kactus_is_not_its_own_delegate(caller: Caller, plugins: PluginDir) -> None:
    (plugins.path / "kactus").symlink_to(caller.kactus.executable)
    inner = caller.kactus.conf()
    conf = caller.kactus.conf(delegates=[{**inner, "masterPlugin": True}])
    assert "called itself" in caller.refused("ADD", 7, conf)


def test_a_closed_standard_input_is_a_configuration_that_cannot_be_read(kactus: Kactus) -> None:
    env = {"CNI_COMMAND": "STATUS", "CNI_PATH": str(kactus.bin_dir)}
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" <&-', kactus.executable], env=env, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, json.loads(done.stdout)["code"]) == (1, 6)


# --- the version of an error ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", VERSIONS)
def test_an_error_is_in_the_version_that_was_asked_for(caller: Caller, named: str) -> None:
    conf = caller.kactus.conf(cniVersion=named, delegates=[])
    answer = caller.kactus.call("DEL", "c1", conf=conf)
    assert (answer.code, answer.printed["cniVersion"]) == (7, named)
    missing = caller.kactus.call("DEL", "", conf=conf)
    assert (missing.code, missing.printed["cniVersion"]) == (4, named)


def test_an_error_without_a_known_version_is_in_the_latest(caller: Caller) -> None:
    for conf in ("nonsense", caller.kactus.conf(cniVersion="9.9.9")):
        assert caller.kactus.call("DEL", "c1", conf=conf).printed["cniVersion"] == VERSIONS[-1]


# --- what is answered -------------------------------------------------------------------------------------------------


def test_version_lists_what_is_known(kactus: Kactus) -> None:
    answer = kactus.call("VERSION", conf="")
    assert answer == Answer(0, {"cniVersion": "1.1.0", "supportedVersions": list(VERSIONS)})


def test_unknown_arguments_are_let_through_when_the_caller_says_so(kactus: Kactus, sandbox: SandboxFactory) -> None:
    pod = sandbox()
    assert pod.start(args="FOO=1;IgnoreUnknown=true").ok
    assert pod.end(args="FOO=1;IgnoreUnknown=true").ok


def addresses(result: Json) -> list[str]:
    if result["cniVersion"] in VERSIONS[:2]:
        return [result["ip4"]["ip"]]
    return [ip["address"] for ip in result["ips"]]


def assert_shape(result: Json, version: str, pod: Sandbox) -> None:
    assert result["cniVersion"] == version
    if version in VERSIONS[:2]:
        assert result.keys() <= {"cniVersion", "ip4", "ip6", "dns"}
        return
    assert not {"ip4", "ip6"} & result.keys()
    inside = [each for each in result["interfaces"] if each.get("sandbox")]
    assert [(each["name"], each["sandbox"]) for each in inside] == [("eth0", pod.netns)]
    (ip,) = result["ips"]
    assert result["interfaces"][ip["interface"]] == inside[0]
    assert ip.get("version") == ("4" if version in ("0.3.0", "0.3.1", "0.4.0") else None)


@pytest.mark.parametrize("delegates_version", ["0.3.1", "0.4.0", "1.0.0"])
@pytest.mark.parametrize("version", VERSIONS)
def test_an_attachment_lives_in_the_version_that_was_asked_for(
    kactus: Kactus, networks: Networks, sandbox: SandboxFactory, version: str, delegates_version: str
) -> None:
    network = networks.bridge(cni_version=delegates_version)
    asked = replace(kactus, master=network.config, cni_version=version)
    pod = sandbox()
    pod.kactus = asked
    added = pod.start()
    assert added.ok, added.message
    assert_shape(added.printed, version, pod)
    assert addresses(added.printed) == list(pod.links()["eth0"].addresses)
    checked = pod.check()
    assert checked == Answer(0, {}) if version >= "0.4.0" else checked.code == 1
    assert pod.end() == Answer(0, {})
    pod.assert_nothing_left(network)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_dynamic_attachment_is_printed_in_the_version_that_was_asked_for(
    kactus: Kactus, networks: Networks, sandbox: SandboxFactory, version: str
) -> None:
    network, pod = networks.bridge(), sandbox()
    pod.kactus = replace(kactus, cni_version=version)
    added, again = pod.attach(network), pod.attach(network)
    assert added.ok, added.message
    assert added.printed["cniVersion"] == version
    assert again.printed == added.printed
    assert pod.detach(network).ok
    pod.assert_nothing_left(network)


def test_status_and_gc_are_answered_since_their_version(kactus: Kactus, sandbox: SandboxFactory) -> None:
    newest = replace(kactus, cni_version="1.1.0", master={**kactus.master, "cniVersion": "1.0.0"})
    assert newest.call("STATUS") == Answer(0, {})
    assert newest.call("GC", conf=newest.conf() | {"cni.dev/valid-attachments": []}) == Answer(0, {})


@pytest.mark.parametrize("command", ["DEL", "CHECK"])
def test_what_was_never_attached_is_gone_and_does_not_check(
    caller: Caller, command: str, sandbox: SandboxFactory
) -> None:
    answer = call(caller.kactus, command, sandbox(), None, {})
    assert answer.ok is (command == "DEL")
    assert caller.kactus.files() == []


def test_deleting_again_and_again_is_a_success(sandbox: SandboxFactory, master: Network) -> None:
    pod = sandbox()
    assert pod.start().ok
    for _ in range(3):
        assert pod.end() == Answer(0, {})
    pod.assert_nothing_left(master)


def test_a_result_that_nobody_reads_is_a_failure(sandbox: SandboxFactory, kactus: Kactus, master: Network) -> None:
    pod = sandbox()
    env = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": pod.id, "CNI_NETNS": pod.netns, "CNI_IFNAME": "eth0"}
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run(
            [kactus.executable], env={**env, "CNI_PATH": str(kactus.bin_dir), "PATH": os.environ["PATH"]},
            input=json.dumps(kactus.conf()).encode(), stdout=full, stderr=subprocess.PIPE, timeout=60,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, b"")
    assert pod.end().ok
    pod.assert_nothing_left(master)
