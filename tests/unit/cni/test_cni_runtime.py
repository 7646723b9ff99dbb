"""Chains of plugins: what each is given, in which order, and what becomes of their answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from podagent.cni import plugin
from podagent.cni.runtime import CniRuntime
from podagent.errors import CallRefused, CniError, NetConfError, PluginError, PluginNotRun
from podagent.foreign import Json
from podagent.model import Invocation, Target
from podagent.netconf import NetConf
from unit.cni.plugins import Plugins

TARGET = Target("sandbox1", "/proc/1/ns/net", "net0")
MAC = "02:00:00:00:00:01"
RESULT: Json = {"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.5/24"}], "vendor": "kept"}


class Chain(Plugins):
    """Two plugins, ``first`` and ``second``, and the runtime that runs them."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.path = str(directory)
        self.said: list[tuple[str, str]] = []
        self.late: list[str] = []
        environ = {"PATH": "/usr/bin:/bin", "SECRET": "x"}
        self.runtime = CniRuntime(30, environ, lambda *said: self.said.append(said), self._report_late)
        for name in ("first", "second"):
            (directory / name).touch()
            self.answers[name] = RESULT

    def _report_late(self, name: str, env: Mapping[str, str], seconds: float) -> None:
        self.late.append(f"{env['CNI_COMMAND']} {name} after {seconds:.0f} s")

    def call(self, version: str = "1.0.0", types: tuple[str, ...] = ("first", "second"), **changed: Any) -> Invocation:
        plugins = [{"type": name, "capabilities": {"mac": name == "second"}} for name in types]
        netconf = NetConf({"cniVersion": version, "name": "data", "plugins": plugins, **changed})
        args = (("IgnoreUnknown", "1"), ("K8S_POD_NETWORK", "data"), ("K8S_POD_IFMAC", ""))
        return Invocation(netconf, (self.path, "/nowhere"), args, {"mac": MAC})


@pytest.fixture
def chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chain:
    made = Chain(tmp_path)
    monkeypatch.setattr(plugin, "run", made.run)
    return made


def test_add_runs_the_chain_in_order_and_hands_each_result_on(chain: Chain) -> None:
    between = {"cniVersion": "1.0.0", "interfaces": [{"name": "net0"}], "vendor": [1]}
    chain.answers["first"] = between
    assert chain.runtime.add(chain.call(), TARGET) == RESULT
    assert chain.calls == ["ADD first net0", "ADD second net0"]
    common = {"name": "data", "cniVersion": "1.0.0"}
    assert chain.given["first"].conf == {"type": "first", "capabilities": {"mac": False}, **common}
    given = {"type": "second", "capabilities": {"mac": True}, "runtimeConfig": {"mac": MAC}, "prevResult": between}
    assert chain.given["second"].conf == {**given, **common}


def test_a_plugin_has_the_six_variables_and_a_path_and_the_time_limit_to_itself(chain: Chain) -> None:
    chain.runtime.add(chain.call(), TARGET)
    assert chain.given["second"].timeout == 30
    assert chain.given["second"].env == {
        "PATH": "/usr/bin:/bin",
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "sandbox1",
        "CNI_NETNS": "/proc/1/ns/net",
        "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NETWORK=data;K8S_POD_IFMAC=",
        "CNI_IFNAME": "net0",
        "CNI_PATH": f"{chain.path}:/nowhere",
    }


def test_add_stops_at_the_first_plugin_that_fails_or_gives_no_usable_result_and_undoes_nothing(chain: Chain) -> None:
    for answer in (b"", b"rubbish", {"ips": [{"address": "nowhere"}]}):
        chain.answers["first"] = answer
        with pytest.raises(PluginError, match="CNI plugin first") as raised:
            chain.runtime.add(chain.call(), TARGET)
        assert raised.value.code == 6
    chain.fail("ADD first", 11, "try again")
    with pytest.raises(PluginError, match="CNI plugin first: try again") as raised:
        chain.runtime.add(chain.call(), TARGET)
    assert raised.value.code == 11
    assert chain.calls == ["ADD first net0"] * 4


def test_a_plugin_that_cannot_be_started_was_not_run_only_if_it_is_the_first(chain: Chain) -> None:
    chain.failures["ADD second"] = PluginNotRun("second", "it is not executable", 5)
    with pytest.raises(PluginError, match="CNI plugin second: it is not executable") as raised:
        chain.runtime.add(chain.call(), TARGET)
    assert not isinstance(raised.value, PluginNotRun)
    assert chain.calls == ["ADD first net0"]
    with pytest.raises(PluginNotRun):
        chain.runtime.add(chain.call(types=("second", "first")), TARGET)


@pytest.mark.parametrize(
    ("version", "types", "args", "fault", "message"),
    [
        ("1.0.0", ("first", "third"), (), PluginNotRun, "CNI plugin third: not found"),
        ("1.0.0", (), (), NetConfError, "network data: no plugins"),
        ("1.2.0", ("first",), (), NetConfError, "network data: 'cniVersion'"),
        ("x", ("first",), (), NetConfError, "network data: 'cniVersion'"),
        ("1.0.0", ("first",), (("K", "x;K8S_POD_NAMESPACE=victim"),), CallRefused, "unusable CNI_ARGS pair"),
    ],
)
def test_a_call_that_cannot_succeed_is_refused_before_anything_is_built(
    chain: Chain, version: str, types: tuple[str, ...], args: Any, fault: type[Exception], message: str
) -> None:
    with pytest.raises(fault, match=message):
        chain.runtime.add(chain.call(version, types)._replace(args=args), TARGET)
    assert chain.calls == []


@pytest.mark.parametrize("version", ["0.4.0", "1.0.0", "1.1.0"])
def test_delete_runs_the_chain_in_reverse_with_the_final_result_in_the_lists_version(
    chain: Chain, version: str
) -> None:
    added = {"cniVersion": version, "ips": [], "vendor": "kept"}
    chain.runtime.delete(chain.call(version), TARGET, added)
    assert chain.calls == ["DEL second net0", "DEL first net0"]
    assert [chain.given[name].conf["prevResult"] for name in ("first", "second")] == [added, added]
    assert chain.given["second"].conf["runtimeConfig"] == {"mac": MAC}
    chain.runtime.delete(chain.call("0.4.0"), TARGET, RESULT)
    expected = {"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "10.1.0.5/24"}]}
    assert chain.given["first"].conf["prevResult"] == expected


@pytest.mark.parametrize(
    ("version", "added"),
    [
        *((old, {"cniVersion": old}) for old in ("0.1.0", "0.2.0", "0.3.0", "0.3.1")),
        *(("1.0.0", unreadable) for unreadable in (None, {"cniVersion": "1.0.0", "ips": 5}, {"cniVersion": "newer"})),
    ],
)
def test_delete_works_without_a_result_before_0_4_0_or_if_it_cannot_be_read(
    chain: Chain, version: str, added: Json | None
) -> None:
    chain.runtime.delete(chain.call(version), Target("sandbox1", "", "net0"), added)
    assert chain.calls == ["DEL second net0", "DEL first net0"]
    assert "prevResult" not in chain.given["first"].conf
    assert chain.given["first"].env["CNI_NETNS"] == ""


def test_delete_stops_at_the_first_failure(chain: Chain) -> None:
    chain.fail("DEL second")
    with pytest.raises(PluginError, match="CNI plugin second: no"):
        chain.runtime.delete(chain.call(), TARGET, RESULT)
    assert chain.calls == ["DEL second net0"]


def test_release_asks_all_plugins_or_some_of_them_though_some_fail(chain: Chain) -> None:
    chain.fail("DEL second")
    (failed,) = chain.runtime.release(chain.call(), TARGET, RESULT)
    assert (failed.position, str(failed.error), failed.lease) == (1, "CNI plugin second: no [code 104]", "")
    assert chain.calls == ["DEL second net0", "DEL first net0"]
    assert len(chain.runtime.release(chain.call(), TARGET, RESULT, (1, 7))) == 1
    assert chain.calls[2:] == ["DEL second net0"]


@pytest.mark.parametrize(
    ("ipam", "code", "lease", "ran"),
    [
        ("second", 0, "", True),
        ("second", 999, "by the IPAM plugin second", True),
        ("second", 7, "by the IPAM plugin second", False),
        ("third", 0, "by the IPAM plugin third", False),
    ],
)
def test_release_has_the_ipam_plugin_of_a_failed_one_give_the_address_back(
    chain: Chain, ipam: str, code: int, lease: str, ran: bool
) -> None:
    chain.fail("DEL first")
    if code:
        chain.fail("DEL second", code)
    call = chain.call(types=("first",))
    call = call._replace(netconf=NetConf({**call.netconf.json, "plugins": [{"type": "first", "ipam": {"type": ipam}}]}))
    (failed,) = chain.runtime.release(call, TARGET, RESULT)
    assert (failed.lease, failed.ipam_ran) == (lease, ran)
    assert chain.calls == ["DEL first net0", "DEL second net0"][: 1 + (ipam == "second")]


def test_release_without_a_namespace_runs_ipam_which_some_plugins_then_leave_out(chain: Chain) -> None:
    call = chain.call(types=("first",))
    ipam = {"type": "first", "ipam": {"type": "second"}}
    call = call._replace(netconf=NetConf({**call.netconf.json, "plugins": [ipam]}))
    chain.fail("DEL second")
    assert chain.runtime.release(call, TARGET._replace(netns=""), RESULT) == ()
    assert chain.calls == ["DEL first net0", "DEL second net0"]


def test_check_runs_the_chain_in_order_with_the_final_result(chain: Chain) -> None:
    chain.answers["first"] = b"rubbish, which does not matter"
    chain.runtime.check(chain.call(), TARGET, RESULT)
    assert chain.calls == ["CHECK first net0", "CHECK second net0"]
    assert chain.given["first"].conf["prevResult"] == RESULT


def test_check_before_0_4_0_is_an_error_even_if_disabled(chain: Chain) -> None:
    with pytest.raises(NetConfError, match=r"network data: CNI version 0\.3\.1 has no CHECK"):
        chain.runtime.check(chain.call("0.3.1", disableCheck=True), TARGET, {"cniVersion": "0.3.1"})


def test_no_plugin_is_run_for_a_command_that_is_disabled_or_that_its_version_does_not_have(chain: Chain) -> None:
    chain.runtime.check(chain.call(disableCheck=True), TARGET, RESULT)
    chain.runtime.gc(chain.call("1.1.0", disableGC=True), [])
    chain.runtime.gc(chain.call("1.0.0"), [])
    chain.runtime.status(chain.call("1.0.0"))
    assert chain.calls == []


def test_status_asks_each_plugin_and_reports_the_first_that_is_not_ready(chain: Chain) -> None:
    chain.runtime.status(chain.call("1.1.0"))
    assert chain.calls == ["STATUS first", "STATUS second"]
    sent = {"type": "second", "capabilities": {"mac": True}, "name": "data", "cniVersion": "1.1.0"}
    assert chain.given["second"].conf == sent
    none = dict.fromkeys(("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS"), "")
    search = {"PATH": "/usr/bin:/bin", "CNI_PATH": f"{chain.path}:/nowhere"}
    assert chain.given["first"].env == {**none, **search, "CNI_COMMAND": "STATUS"}
    chain.fail("STATUS first", 50, "not ready")
    with pytest.raises(PluginError, match="not ready") as raised:
        chain.runtime.status(chain.call("1.1.0"))
    assert raised.value.code == 50


def test_gc_names_the_attachments_that_stay(chain: Chain) -> None:
    chain.runtime.gc(chain.call("1.1.0"), [TARGET])
    assert chain.calls == ["GC first", "GC second"]
    sent = {"type": "second", "capabilities": {"mac": True}, "name": "data", "cniVersion": "1.1.0"}
    staying = [{"containerID": "sandbox1", "ifname": "net0"}]
    named = {"cni.dev/valid-attachments": staying, "cni.dev/attachments": staying}
    assert chain.given["second"].conf == {**sent, **named}


def test_gc_asks_all_plugins_though_some_fail(chain: Chain) -> None:
    chain.fail("GC first", 7, "one")
    with pytest.raises(PluginError, match="CNI plugin first: one") as raised:
        chain.runtime.gc(chain.call("1.1.0"), [])
    assert (raised.value.code, chain.calls) == (7, ["GC first", "GC second"])
    chain.fail("GC second", 7, "two")
    with pytest.raises(CniError, match=r"CNI plugin first: one.*; CNI plugin second: two"):
        chain.runtime.gc(chain.call("1.1.0"), [])


def test_the_error_output_of_a_successful_plugin_and_what_it_left_behind_are_passed_on(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain.stderr = b"careful\n"
    monkeypatch.setattr(plugin, "run", lambda *run, **how: chain.run(*run, **how)._replace(abandoned_child=True))
    chain.runtime.delete(chain.call(types=("first",)), TARGET, None)
    assert chain.said[0] == ("first", "careful")
    assert "left a process behind" in chain.said[1][1]


def test_a_plugin_that_takes_long_is_reported_while_it_is_at_work(chain: Chain) -> None:
    chain.slow = {"second"}
    added = chain.runtime.add(chain.call(), TARGET)
    chain.runtime.delete(chain.call(), TARGET, added)
    assert chain.late == ["ADD second after 10 s", "DEL second after 10 s"]
