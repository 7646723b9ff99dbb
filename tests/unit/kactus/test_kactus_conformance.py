"""The CNI specification's refusals: every command answers them with an error object, and does nothing.

test_kactus_call.py has all values for which a call is refused; here each kind of refusal meets each command.
"""

from __future__ import annotations

import json
import signal
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from podagent import versions
from podagent.foreign import Json
from podagent.kactus.log import setup
from podagent.kactus.run import run
from unit.kactus.scripted import PodNode

Refused = Callable[..., Json]

ATTACHMENT = ("ADD", "CHECK", "DEL")
COMMANDS = (*ATTACHMENT, "GC", "STATUS")
LATEST = {"cniVersion": versions.LATEST, "cni.dev/valid-attachments": []}


@pytest.fixture
def refused(node: PodNode) -> Iterator[Refused]:
    """Makes a call that must fail with a code and do nothing. Returns the error object."""

    def call(command: str, code: int, conf: Json | str | None = None, **environ: str) -> Json:
        printed: list[str] = []

        def write_out(text: str) -> bool:
            printed.append(text)
            return True

        text = conf if isinstance(conf, str) else json.dumps(node.conf(**LATEST) if conf is None else conf)
        with tempfile.TemporaryFile() as stdin:
            stdin.write(text.encode())
            stdin.seek(0)
            assert run(node.environ(command, args="", **environ), write_out, stdin.fileno()) == 1
        (answer,) = map(json.loads, printed)
        assert answer.keys() - {"details"} == {"cniVersion", "code", "msg"}
        assert answer["code"] == code
        assert (list(node.links), node.calls, node.cni_dir.exists()) == ([], [], False)
        return dict(answer)

    before = signal.getsignal(signal.SIGTERM)
    yield call
    signal.signal(signal.SIGTERM, before)
    setup({})


def test_an_unknown_command_is_refused(refused: Refused) -> None:
    for command in ("", "UPDATE", "add", "ADD\n"):
        assert "CNI_COMMAND" in refused(command, 4)["msg"]


VARIABLES: dict[str, list[str]] = {
    "CNI_CONTAINERID": ["../../etc/passwd", "a/b", ".locks", "c1\n", "x" * 300],
    "CNI_IFNAME": ["eth0/../x", "..", "x" * 16, "eth 0"],
    "CNI_NETNS": ["relative", "/x\n"],
    "CNI_ARGS": [
        "FOO=1", "IgnoreUnknown=0;FOO=1", "IgnoreUnknown=1;FOO", "IgnoreUnknown=1;FOO=1=2", "IgnoreUnknown=1;",
        "IgnoreUnknown=1;A=\n", "K8S_POD_NAMESPACE=../x;K8S_POD_NAME=web", "K8S_POD_NAMESPACE=a;K8S_POD_NAME=b/c",
        "IgnoreUnknown=1;K8S_POD_NETWORK=../../x", f"K8S_POD_NETWORK={'x' * 300}", "K8S_POD_IFMAC=x",
        "K8S_POD_NETWORK=Red", "K8S_POD_NETWORK=red;K8S_POD_IFMAC=ff:ff:ff:ff:ff:ff",
    ],
}  # fmt: skip


@pytest.mark.parametrize("command", ATTACHMENT)
@pytest.mark.parametrize("variable", VARIABLES)
def test_an_unusable_variable_is_named(refused: Refused, command: str, variable: str) -> None:
    for value in VARIABLES[variable]:
        assert variable in refused(command, 4, **{variable: value})["msg"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_variable_is_named(refused: Refused, command: str) -> None:
    needed = ["CNI_PATH"] if command not in ATTACHMENT else ["CNI_PATH", "CNI_CONTAINERID", "CNI_IFNAME"]
    for variable in [*needed, *(["CNI_NETNS"] if command in ("ADD", "CHECK") else [])]:
        assert f"[{variable}] missing" in refused(command, 4, **{variable: ""})["msg"]


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_version_is_refused(node: PodNode, refused: Refused, command: str) -> None:
    for named in ("0.3", "1.2.0", "9.9.9", "nonsense", 7):
        answer = refused(command, 1, node.conf(cniVersion=named))
        assert (answer["msg"], answer["cniVersion"]) == ("incompatible CNI versions", versions.LATEST)


@pytest.mark.parametrize(
    ("command", "named"),
    [("CHECK", "0.3.1"), ("CHECK", "0.1.0"), ("GC", "1.0.0"), ("STATUS", "1.0.0"), ("STATUS", "0.4.0")],
)
def test_a_command_that_the_version_does_not_have_is_refused(
    node: PodNode, refused: Refused, command: str, named: str
) -> None:
    assert f"{named} has no {command}" in refused(command, 1, node.conf(cniVersion=named))["msg"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_configuration_that_is_no_object_is_refused(refused: Refused, command: str) -> None:
    for text in ("", "nonsense", "[]", "null", "{", '{"a": NaN}', "[" * 50_000):
        assert refused(command, 6, text)["cniVersion"] == versions.LATEST


CONFIGURATIONS: list[tuple[Json, str]] = [
    ({"name": ""}, "name"), ({"name": "../x"}, "name"),
    ({"delegates": []}, "delegates"), ({"delegates": 7}, "delegates"),
    ({"delegates": [7]}, "delegates"), ({"delegates": [{"masterPlugin": True}]}, "type"),
    ({"delegates": [{"type": "../bridge"}]}, "type"), ({"delegates": [{"type": "/bin/sh"}]}, "type"),
    ({"delegates": [{"type": "bridge", "ipam": {"type": "../x"}}]}, "ipam.type"),
    ({"delegates": [{"type": "bridge", "masterPlugin": True}] * 2}, "only one delegate"),
    ({"delegates": [{"type": "bridge"}] * 2}, "masterPlugin"),
    ({"kubeconfig": "x"}, "kubeconfig"), ({"cniDir": "x"}, "cniDir"), ({"cniDir": 7}, "cniDir"),
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unusable_configuration_is_reported_with_its_key(node: PodNode, refused: Refused, command: str) -> None:
    for change, key in CONFIGURATIONS:
        assert key in refused(command, 7, node.conf(**LATEST | change))["msg"]


@pytest.mark.parametrize("named", versions.KNOWN)
def test_an_error_is_in_the_version_that_was_asked_for(node: PodNode, refused: Refused, named: str) -> None:
    conf = node.conf(cniVersion=named, delegates=[])
    assert refused("DEL", 7, conf)["cniVersion"] == named
    assert refused("DEL", 4, conf, CNI_CONTAINERID="")["cniVersion"] == named


@pytest.mark.parametrize("attachments", [None, {}, [7], [{}], [{"containerID": "c1"}], "all"])
def test_gc_without_a_usable_list_touches_nothing(node: PodNode, refused: Refused, attachments: Any) -> None:
    conf = node.conf(**LATEST | {"cni.dev/valid-attachments": attachments})
    assert "cni.dev/valid-attachments" in refused("GC", 7, conf)["msg"]


@pytest.mark.parametrize("version", versions.KNOWN)
def test_a_result_is_in_the_version_that_was_asked_for_at_the_start_and_later(node: PodNode, version: str) -> None:
    node.define("red")
    conf = node.conf(cniVersion=version)
    for network in ("", "red", "red"):
        result = node.add(network, conf, args="IgnoreUnknown=1;K8S_POD_NETWORK_NAMESPACE=shop")
        assert result["cniVersion"] == version
        if version < "0.3":
            assert result["ip4"]["ip"] == "10.1.0.5/16"
        else:
            assert result["ips"] == [{"address": "10.1.0.5/16"} | ({"version": "4"} if version < "1" else {})]
