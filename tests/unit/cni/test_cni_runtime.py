"""Chains of plugins: what each is given, in which order, and what becomes of their answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from podagent.cni.runtime import CniRuntime
from podagent.errors import CallRefused, CniError, NetConfError, PluginError, PluginNotRun, PluginTimeout
from podagent.foreign import Json
from podagent.model import Invocation, Target
from podagent.netconf import NetConf

MakePlugin = Callable[..., str]
TARGET = Target("sandbox1", "/proc/1/ns/net", "net0")
RESULT = {"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.5/24"}], "vendor": "kept"}

# Notes its call and input down, and answers with what the test put into "answer.<type>", if anything.
RECORDER = """
name=${0##*/}
echo "$CNI_COMMAND $name" >> "$here/calls"
cat /proc/$$/environ > "$here/$CNI_COMMAND.$name.env"
cat > "$here/$CNI_COMMAND.$name.stdin"
[ ! -e "$here/fails.$name" ] || { cat "$here/fails.$name"; exit 1; }
[ ! -e "$here/answer.$name" ] || cat "$here/answer.$name"
"""


class Lab:
    """Two recording plugins, ``first`` and ``second``, and the runtime that runs them."""

    def __init__(self, directory: Path, make_plugin: MakePlugin) -> None:
        self._directory = directory
        self.said: list[tuple[str, str]] = []
        self.runtime = CniRuntime(30, {"PATH": "/usr/bin:/bin", "SECRET": "x"}, lambda *said: self.said.append(said))
        for name in ("first", "second"):
            make_plugin(RECORDER, name)
            self.answers(name, RESULT)

    def answers(self, name: str, answer: Any) -> None:
        (self._directory / f"answer.{name}").write_text(answer if isinstance(answer, str) else json.dumps(answer))

    def fails(self, name: str, code: int = 7, message: str = "no") -> None:
        (self._directory / f"fails.{name}").write_text(json.dumps({"code": code, "msg": message}))

    def call(self, version: str = "1.0.0", types: tuple[str, ...] = ("first", "second"), **changed: Any) -> Invocation:
        plugins = [{"type": name, "capabilities": {"mac": name == "second"}} for name in types]
        netconf = NetConf({"cniVersion": version, "name": "data", "plugins": plugins, **changed})
        path = (str(self._directory / "bin"),)
        return Invocation(netconf, path, (("IgnoreUnknown", "1"),), {"mac": "02:00:00:00:00:01"})

    @property
    def calls(self) -> list[str]:
        path = self._directory / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def given(self, command: str, name: str) -> Json:
        given: Json = json.loads((self._directory / f"{command}.{name}.stdin").read_text())
        return given

    def environment(self, command: str, name: str) -> dict[str, str]:
        entries = (self._directory / f"{command}.{name}.env").read_text().split("\0")
        return dict(entry.split("=", 1) for entry in entries if entry)


@pytest.fixture
def lab(tmp_path: Path, make_plugin: MakePlugin) -> Lab:
    return Lab(tmp_path, make_plugin)


def test_add_runs_the_chain_in_order_and_hands_each_result_on(lab: Lab) -> None:
    between = {"cniVersion": "1.0.0", "interfaces": [{"name": "net0"}], "vendor": [1]}
    lab.answers("first", between)
    assert lab.runtime.add(lab.call(), TARGET) == RESULT
    assert lab.calls == ["ADD first", "ADD second"]
    assert lab.given("ADD", "first") == {
        "type": "first",
        "capabilities": {"mac": False},
        "name": "data",
        "cniVersion": "1.0.0",
    }
    assert lab.given("ADD", "second") == {
        "type": "second",
        "capabilities": {"mac": True},
        "name": "data",
        "cniVersion": "1.0.0",
        "runtimeConfig": {"mac": "02:00:00:00:00:01"},
        "prevResult": between,
    }


def test_the_environment_of_a_plugin_is_the_six_variables_and_a_path(lab: Lab, tmp_path: Path) -> None:
    lab.runtime.add(lab.call(), TARGET)
    assert lab.environment("ADD", "first") == {
        "PATH": "/usr/bin:/bin",
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "sandbox1",
        "CNI_NETNS": "/proc/1/ns/net",
        "CNI_ARGS": "IgnoreUnknown=1",
        "CNI_IFNAME": "net0",
        "CNI_PATH": f"{tmp_path}/bin",
    }


def test_add_stops_at_the_first_failure_and_undoes_nothing(lab: Lab) -> None:
    lab.fails("first", 11, "try again")
    with pytest.raises(PluginError, match="CNI plugin first: try again") as raised:
        lab.runtime.add(lab.call(), TARGET)
    assert (raised.value.code, lab.calls) == (11, ["ADD first"])


@pytest.mark.parametrize("answer", ["", "rubbish", {"ips": [{"address": "nowhere"}]}])
def test_add_stops_at_a_plugin_that_gives_no_usable_result(lab: Lab, answer: Any) -> None:
    lab.answers("first", answer)
    with pytest.raises(PluginError, match="CNI plugin first") as raised:
        lab.runtime.add(lab.call(), TARGET)
    assert (raised.value.code, lab.calls) == (6, ["ADD first"])


def test_a_missing_plugin_is_found_before_any_other_has_built_something(lab: Lab) -> None:
    with pytest.raises(PluginError, match="CNI plugin third: not found"):
        lab.runtime.add(lab.call(types=("first", "third")), TARGET)
    assert lab.calls == []


def test_a_plugin_that_cannot_be_started_says_so_only_if_it_is_the_first(lab: Lab, bin_dir: Path) -> None:
    (bin_dir / "second").chmod(0o644)
    with pytest.raises(PluginError, match=r"CNI plugin second: .* not executable") as raised:
        lab.runtime.add(lab.call(), TARGET)
    assert not isinstance(raised.value, PluginNotRun)
    assert lab.calls == ["ADD first"]
    with pytest.raises(PluginNotRun):
        lab.runtime.add(lab.call(types=("second", "first")), TARGET)


@pytest.mark.parametrize("version", ["1.0", "1.2.0", "x"])
def test_a_version_nobody_knows_is_refused_before_anything_was_built(lab: Lab, version: str) -> None:
    with pytest.raises(NetConfError, match="network data: 'cniVersion'"):
        lab.runtime.add(lab.call(version), TARGET)
    assert lab.calls == []


def test_an_argument_with_a_separator_is_refused_before_anything_was_built(lab: Lab) -> None:
    call = Invocation(lab.call().netconf, lab.call().path, (("K8S_POD_IFMAC", "x;K8S_POD_NAMESPACE=victim"),))
    with pytest.raises(CallRefused, match="unusable CNI_ARGS pair"):
        lab.runtime.add(call, TARGET)
    assert lab.calls == []


@pytest.mark.parametrize("version", ["0.4.0", "1.0.0", "1.1.0"])
def test_delete_runs_the_chain_in_reverse_with_the_final_result_for_each(lab: Lab, version: str) -> None:
    added = {"cniVersion": version, "ips": [], "vendor": "kept"}
    lab.runtime.delete(lab.call(version), TARGET, added)
    assert lab.calls == ["DEL second", "DEL first"]
    assert lab.given("DEL", "first")["prevResult"] == lab.given("DEL", "second")["prevResult"] == added
    assert lab.given("DEL", "second")["runtimeConfig"] == {"mac": "02:00:00:00:00:01"}


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0", "0.3.0", "0.3.1"])
def test_delete_before_0_4_0_gives_no_result(lab: Lab, version: str) -> None:
    lab.runtime.delete(lab.call(version), TARGET, {"cniVersion": version})
    assert "prevResult" not in lab.given("DEL", "first")


@pytest.mark.parametrize("added", [None, {"cniVersion": "1.0.0", "ips": 5}, {"cniVersion": "newer"}])
def test_delete_works_without_a_result_that_can_be_read(lab: Lab, added: Json | None) -> None:
    lab.runtime.delete(lab.call(), Target("sandbox1", "", "net0"), added)
    assert lab.calls == ["DEL second", "DEL first"]
    assert "prevResult" not in lab.given("DEL", "first")
    assert lab.environment("DEL", "first")["CNI_NETNS"] == ""


def test_a_result_of_another_version_is_converted_to_that_of_the_list(lab: Lab) -> None:
    lab.runtime.delete(lab.call("0.4.0"), TARGET, RESULT)
    expected = {"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "10.1.0.5/24"}]}
    assert lab.given("DEL", "first")["prevResult"] == expected


def test_delete_stops_at_the_first_failure(lab: Lab) -> None:
    lab.fails("second")
    with pytest.raises(PluginError, match="CNI plugin second: no"):
        lab.runtime.delete(lab.call(), TARGET, RESULT)
    assert lab.calls == ["DEL second"]


def test_rubbish_on_the_output_of_a_successful_delete_does_not_matter(lab: Lab) -> None:
    lab.answers("first", "rubbish")
    lab.runtime.delete(lab.call(), TARGET, RESULT)
    lab.runtime.check(lab.call(), TARGET, RESULT)


def test_check_runs_the_chain_in_order_with_the_final_result(lab: Lab) -> None:
    lab.runtime.check(lab.call(), TARGET, RESULT)
    assert lab.calls == ["CHECK first", "CHECK second"]
    assert lab.given("CHECK", "first")["prevResult"] == RESULT


def test_check_before_0_4_0_is_an_error_even_if_disabled(lab: Lab) -> None:
    with pytest.raises(NetConfError, match=r"network data: CNI version 0\.3\.1 has no CHECK"):
        lab.runtime.check(lab.call("0.3.1", disableCheck=True), TARGET, {"cniVersion": "0.3.1"})


def test_a_disabled_check_asks_nobody(lab: Lab) -> None:
    lab.fails("first")
    lab.runtime.check(lab.call(disableCheck=True), TARGET, RESULT)
    assert lab.calls == []


def test_status_asks_each_plugin_and_reports_the_first_that_is_not_ready(lab: Lab) -> None:
    lab.runtime.status(lab.call("1.1.0"))
    assert lab.calls == ["STATUS first", "STATUS second"]
    sent = {"type": "second", "capabilities": {"mac": True}, "name": "data", "cniVersion": "1.1.0"}
    assert lab.given("STATUS", "second") == sent
    variables = lab.environment("STATUS", "first")
    assert [variables[f"CNI_{name}"] for name in ("CONTAINERID", "NETNS", "IFNAME", "ARGS")] == [""] * 4
    lab.fails("first", 50, "not ready")
    with pytest.raises(PluginError, match="not ready") as raised:
        lab.runtime.status(lab.call("1.1.0"))
    assert raised.value.code == 50


def test_status_and_gc_before_1_1_0_ask_nobody(lab: Lab) -> None:
    lab.runtime.status(lab.call("1.0.0"))
    lab.runtime.gc(lab.call("1.0.0"), [])
    assert lab.calls == []


def test_gc_names_the_attachments_that_stay(lab: Lab) -> None:
    lab.runtime.gc(lab.call("1.1.0"), [TARGET])
    assert lab.calls == ["GC first", "GC second"]
    given = lab.given("GC", "first")
    assert given["cni.dev/valid-attachments"] == [{"containerID": "sandbox1", "ifname": "net0"}]
    assert "runtimeConfig" not in lab.given("GC", "second")


def test_gc_asks_all_plugins_though_some_fail(lab: Lab) -> None:
    lab.fails("first", 7, "one")
    with pytest.raises(PluginError, match="CNI plugin first: one") as raised:
        lab.runtime.gc(lab.call("1.1.0"), [])
    assert (raised.value.code, lab.calls) == (7, ["GC first", "GC second"])
    lab.fails("second", 7, "two")
    with pytest.raises(CniError, match=r"CNI plugin first: one.*; CNI plugin second: two"):
        lab.runtime.gc(lab.call("1.1.0"), [])


def test_a_disabled_gc_asks_nobody(lab: Lab) -> None:
    lab.runtime.gc(lab.call("1.1.0", disableGC=True), [])
    assert lab.calls == []


def test_what_a_successful_plugin_says_on_its_error_output_is_passed_on(lab: Lab, make_plugin: MakePlugin) -> None:
    make_plugin("echo careful >&2; echo {}", "first")
    lab.runtime.add(lab.call(types=("first",)), TARGET)
    assert lab.said == [("first", "careful")]


def test_each_plugin_has_the_time_limit_to_itself(lab: Lab, make_plugin: MakePlugin) -> None:
    make_plugin("sleep 60", "second")
    runtime = CniRuntime(0.5, {"PATH": "/usr/bin:/bin"}, print)
    with pytest.raises(PluginTimeout, match="CNI plugin second"):
        runtime.add(lab.call(), TARGET)
