"""A real containerd makes the CNI calls of the start and end of pods, of kactus; the agent works between them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from functional.bed import Bed
from functional.expectations import ifname, order, wait_for_line
from lab.containerd import VERSIONS, Cni, PrivateContainerd, is_there

pytestmark = pytest.mark.root


@pytest.fixture(params=VERSIONS)
def bed(request: pytest.FixtureRequest, workdir: Path) -> Iterator[Bed]:
    """Its pods have eth0 and what they want from the start by the kactus of the node."""
    if not is_there(request.param):
        pytest.skip(f"containerd {request.param} is not there: run scripts/setup.sh runtimes")
    cni = Cni(workdir / "net.d", workdir / "bin")
    with PrivateContainerd(request.param, cni=cni) as containerd:
        bed = Bed(containerd, "kactus")
        assert bed.kactus
        cni.bin_dir.symlink_to(bed.plugins.path)
        shutil.copy(bed.kactus.conf_dir / "05-kactus.conf", cni.conf_dir)
        with bed.lent():
            yield bed
        bed.close()


@pytest.mark.promise(
    "Container runtime: kactus attaches the networks of a pod at its start, for the runtime",
    "the agent adopts them; what it attaches itself goes with the sandbox too",
)
def test_what_containerd_had_kactus_make_is_adopted_and_goes_with_what_the_agent_added(bed: Bed) -> None:
    assert bed.kactus
    data, red, late = (bed.networks.bridge() for _ in range(3))
    bed.plugins.record("bridge")
    pod = bed.node.pod(networks=[data.name, red.name], start=False)
    pod.eth0_by_kactus = True
    pod.start_sandbox()
    made = pod.links()
    assert set(made) == {"lo", "eth0", ifname(data), ifname(red)}, "they are there before the first container"
    pod.start_containers()
    pod.report_running()
    for network in (data, red):
        wait_for_line(bed.agent, "adopted", ifname(network), pod.name)
    assert order(bed.plugins.calls()) == ["eth0", ifname(data), ifname(red)]
    assert pod.links() == made

    pod.annotate([data.name, late.name])
    bed.settles({pod: [data, late]})
    known = {f"K8S_POD_NAME={pod.name}", f"K8S_POD_INFRA_CONTAINER_ID={pod.sandbox_id}"}
    assert all(known <= set(call.args) for call in bed.plugins.calls()), "the runtime's calls and the agent's are alike"

    pod.delete()
    bed.settles({})
    assert bed.kactus.attachments() == set()
