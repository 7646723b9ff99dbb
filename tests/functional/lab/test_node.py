"""The parts of a node do what the verdicts of other tests rely on: nothing is tested if a gate holds nothing up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from functional.bed import Bed
from functional.expectations import ifname
from functional.ways import RUNTIMES
from lab import processes
from lab.containerd import PrivateContainerd
from lab.dockerd import PrivateDockerd
from lab.kactus import Kactus
from lab.links import links_of
from lab.podruntime import PodMetadata

pytestmark = pytest.mark.root


@pytest.mark.parametrize(("plugin", "point"), [("bridge", "before"), ("bridge", "after"), ("host-local", "after")])
def test_a_gate_holds_a_plugin_up_at_one_point(bed: Bed, plugin: str, point: str) -> None:
    data, pod = bed.networks.bridge("data"), bed.node.pod()
    gate = bed.plugins.gate(plugin, point)
    bridge = Kactus(bed.plugins.path / "bridge", bed.plugins.path, Path())
    call = pod.sandbox_id, pod.netns, ifname(data)
    adding = bridge.start("ADD", *call, conf=data.config)
    gate.wait_reached()
    done = (ifname(data) in pod.links(), len(data.leases()))
    assert done == {"before": (False, 0), "after": (True, 1)}[point]
    assert adding.running
    gate.open()
    assert adding.answer().ok
    assert bridge.call("DEL", *call, conf=data.config).ok


@pytest.mark.parametrize("kind", RUNTIMES.values(), ids=RUNTIMES)
def test_a_runtime_of_its_own_leaves_nothing_behind(kind: Callable[[], PrivateDockerd | PrivateContainerd]) -> None:
    with kind() as private:
        pid = private.inspect(private.run_sandbox(PodMetadata("web", "shop", "uid"))).pid
        processes.end([private.pid])
        processes.wait_gone([private.pid])
        assert processes.is_alive(pid)
    assert not processes.is_alive(pid)
    assert processes.mentioning(f"{private.state_dir}/") == []
    assert str(private.state_dir) not in Path("/proc/self/mountinfo").read_text()
    assert not private.state_dir.exists()
    assert not isinstance(private, PrivateContainerd) or private.bridge not in links_of()
