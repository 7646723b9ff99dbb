"""CHECK and GC with real plugins, and the log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from functional.expectations import ifname
from functional.kactus.sandboxes import Sandbox, SandboxFactory
from lab.kactus import Answer, Kactus
from lab.networks import Network, Networks

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


def test_check_sees_an_address_or_an_interface_that_has_gone(pod: Sandbox, red: Network) -> None:
    assert pod.check() == Answer(0, {})
    for change in (["addr", "flush", "dev", ifname(red)], ["link", "del", ifname(red)]):
        pod.ip(*change)
        answer = pod.check()
        assert not answer.ok
        assert ifname(red) in answer.message


def collect(kactus: Kactus, *staying: Sandbox) -> Answer:
    listed: Any = [{"containerID": pod.id, "ifname": "eth0"} for pod in staying]
    conf = kactus.conf(cniVersion="1.1.0", **{"cni.dev/valid-attachments": listed})
    return kactus.call("GC", ifname="", conf=conf)


def test_gc_gives_back_the_attachments_of_containers_that_are_not_listed(
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
    pod.destroy()
    assert collect(kactus).ok
    assert red.leases() + master.leases() == []
    assert kactus.files() == []


def test_the_log_goes_where_the_environment_says_and_nowhere_without(
    sandbox: SandboxFactory, kactus: Kactus, red: Network, workdir: Path
) -> None:
    pod = sandbox([{"name": red.name}])
    assert pod.attach("nowhere").stderr == ""
    log = workdir / "kactus.log"
    logging = {"FILE": str(log), "LEVEL": "2", "PREFIX": "node-7"}  # the numbers are those of Kaloom's
    kactus.environ = {f"_CNI_LOGGING_{key}": value for key, value in logging.items()}
    assert pod.start().ok
    assert not pod.attach("nowhere").ok
    assert pod.end().ok
    lines = log.read_text().splitlines()
    assert all("node-7" in line and "kactus[" in line for line in lines)
    for words in (f"attached {ifname(red)}", f"detached {ifname(red)}", "network nowhere is not defined"):
        assert any(words in line for line in lines), words
    assert log.stat().st_mode & 0o777 == 0o600
