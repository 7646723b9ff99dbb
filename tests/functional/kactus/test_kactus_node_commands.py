"""CHECK, GC, STATUS and VERSION, and the log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from functional.expectations import ifname
from functional.kactus.sandboxes import Sandbox, SandboxFactory
from lab.kactus import Answer, Kactus
from lab.networks import Network, Networks
from lab.plugins import PluginDir

pytestmark = pytest.mark.root


@pytest.fixture
def red(networks: Networks) -> Network:
    return networks.bridge()


@pytest.fixture
def pod(sandbox: SandboxFactory, red: Network) -> Sandbox:
    """A pod with the default interface and one network."""
    running: Sandbox = sandbox([{"name": red.name}])
    assert running.start().ok
    return running


# --- CHECK ------------------------------------------------------------------------------------------------------------


def test_check_finds_nothing_wrong_with_what_is_as_it_was_attached(pod: Sandbox) -> None:
    assert pod.check() == Answer(0, {})
    assert pod.end().ok


def test_check_sees_an_interface_that_has_gone(pod: Sandbox, red: Network) -> None:
    pod.ip("link", "del", ifname(red))
    answer = pod.check()
    assert not answer.ok
    assert ifname(red) in answer.message
    assert pod.end().ok


def test_check_sees_an_address_that_has_gone(pod: Sandbox, red: Network) -> None:
    pod.ip("addr", "flush", "dev", ifname(red))
    answer = pod.check()
    assert not answer.ok
    assert ifname(red) in answer.message
    assert pod.end().ok


def test_check_of_what_was_never_attached_fails(pod: Sandbox, sandbox: SandboxFactory) -> None:
    assert not sandbox().check().ok
    assert not pod.check(args="IgnoreUnknown=1;K8S_POD_NETWORK=nowhere").ok
    assert pod.end().ok


# --- GC ---------------------------------------------------------------------------------------------------------------


def collect(kactus: Kactus, *staying: Sandbox) -> Answer:
    listed: Any = [{"containerID": pod.id, "ifname": "eth0"} for pod in staying]
    conf = kactus.conf(cniVersion="1.1.0", **{"cni.dev/valid-attachments": listed})
    return kactus.call("GC", ifname="", conf=conf)


def test_gc_gives_back_what_belongs_to_containers_that_are_not_listed(
    pod: Sandbox, sandbox: SandboxFactory, red: Network, master: Network, kactus: Kactus
) -> None:
    gone = sandbox([{"name": red.name}])
    assert gone.start().ok
    before = pod.links()
    gone.destroy()
    assert collect(kactus, pod).ok
    assert gone.leases(red, master) == []
    assert gone.saved is None
    assert (pod.links(), pod.leases(red, master)) == (before, sorted(["eth0", ifname(red)]))
    assert pod.saved_names() == ["default", red.name]
    assert collect(kactus).ok
    assert red.leases() + master.leases() == []
    assert kactus.files() == []


def test_gc_tries_every_container_and_keeps_what_failed(
    pod: Sandbox, sandbox: SandboxFactory, networks: Networks, red: Network, plugins: PluginDir, kactus: Kactus
) -> None:
    flaky = networks.custom("flaky", {})
    plugins.print("flaky", text='{"cniVersion": "0.4.0"}')
    stuck = sandbox([{"name": flaky.name}])
    assert stuck.start().ok
    plugins.fail("flaky", "DEL", msg="the switch is away")
    answer = collect(kactus)
    assert not answer.ok
    assert "the switch is away" in answer.message
    assert (pod.saved, stuck.saved_names()) == (None, [flaky.name])
    plugins.print("flaky", text="")
    assert collect(kactus).ok
    assert kactus.files() == []


def test_gc_without_a_list_of_what_stays_touches_nothing(pod: Sandbox, kactus: Kactus) -> None:
    saved = pod.saved
    for conf in (kactus.conf(cniVersion="1.1.0"), kactus.conf(cniVersion="1.0.0", **{"cni.dev/valid-attachments": []})):
        assert not kactus.call("GC", ifname="", conf=conf).ok
    assert pod.saved == saved
    assert pod.end().ok


# --- STATUS and VERSION -----------------------------------------------------------------------------------------------


def test_status_is_that_of_the_master_delegate(kactus: Kactus, plugins: PluginDir) -> None:
    conf = kactus.conf(cniVersion="1.1.0", delegates=[{"type": "cluster-plugin", "masterPlugin": True}])
    plugins.print("cluster-plugin", "STATUS", text="")
    assert kactus.call("STATUS", ifname="", conf=conf).ok
    plugins.fail("cluster-plugin", "STATUS", code=50, msg="no controller yet")
    answer = kactus.call("STATUS", ifname="", conf=conf)
    assert answer.code == 50
    assert "no controller yet" in answer.message
    plugins.restore("cluster-plugin")
    assert kactus.call("STATUS", ifname="", conf=conf).code == 50


def test_version_needs_no_configuration(kactus: Kactus) -> None:
    answer = kactus.call("VERSION", conf="")
    assert answer.ok
    assert answer.printed["supportedVersions"] == ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]


# --- the log ----------------------------------------------------------------------------------------------------------


def test_the_log_goes_where_the_environment_says_and_tells_what_was_done(
    sandbox: SandboxFactory, kactus: Kactus, red: Network, workdir: Path
) -> None:
    log = workdir / "kactus.log"
    logging = {"FILE": str(log), "LEVEL": "2", "PREFIX": "node-7"}  # the numbers are those of Kaloom's
    kactus.environ = {f"_CNI_LOGGING_{key}": value for key, value in logging.items()}
    pod = sandbox([{"name": red.name}])
    assert pod.start().ok
    assert not pod.attach("nowhere").ok
    assert pod.end().ok
    lines = log.read_text().splitlines()
    assert all("node-7" in line and "kactus[" in line for line in lines)
    for words in (f"attached {ifname(red)}", f"detached {ifname(red)}", "network nowhere is not defined"):
        assert any(words in line for line in lines), words
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_log_that_cannot_be_written_fails_nothing(sandbox: SandboxFactory, kactus: Kactus, workdir: Path) -> None:
    for file in (workdir, workdir / "missing" / "log", "relative"):
        kactus.environ = {"_CNI_LOGGING_FILE": str(file), "_CNI_LOGGING_LEVEL": "debug"}
        pod = sandbox()
        assert pod.start().ok
        assert pod.end().ok


def test_without_a_log_nothing_is_said_but_the_result(pod: Sandbox) -> None:
    answer = pod.attach("nowhere")
    assert answer.stderr == ""
    assert pod.end() == Answer(0, {})
