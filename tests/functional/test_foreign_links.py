"""A link of the expected name that the pod made: never adopted, never deleted, never moved to the host."""

from __future__ import annotations

import subprocess

import pytest

from functional.bed import Bed
from functional.expectations import ifname, records, wait_for_event
from functional.outcomes import delete_link, plugged
from functional.ways import BOTH_WAYS
from lab.links import links_of
from lab.networks import Network
from lab.node import Pod

pytestmark = [pytest.mark.root, pytest.mark.attack]


def make_link(pod: Pod, name: str) -> None:
    """Whoever is in the pod makes a link, with an alias that host-device would take for its name on the host."""
    inside = ["nsenter", "-t", str(pod.pid), "-n", "ip", "link"]
    subprocess.run([*inside, "add", name, "type", "veth", "peer", "name", "peer0"], check=True)
    subprocess.run([*inside, "set", name, "alias", "evil0"], check=True)


def assert_left_alone(bed: Bed, network: Network) -> None:
    pod = bed.node.pod()
    make_link(pod, ifname(network))
    before = plugged(pod)
    pod.annotate([network.name])
    wait_for_event(bed.api, pod, "NetworkAttachFailed", ifname(network), "exists in the pod already")
    assert records(bed.agent) == []
    barrier = bed.networks.bridge()
    pod.annotate([barrier.name])
    pod.wait_for_link(ifname(barrier))
    assert plugged(pod)[ifname(network)] == before[ifname(network)]
    assert "evil0" not in links_of()

    delete_link(pod, ifname(network))
    pod.annotate([])
    bed.settles({pod: []})


@pytest.mark.promise(
    "Interfaces: the pod has an interface of the expected name that the agent did not make",
    "it is not adopted and not deleted; the attach fails with an Event",
)
@BOTH_WAYS
def test_a_link_that_the_pod_made_is_left_alone(bed: Bed) -> None:
    assert_left_alone(bed, bed.networks.bridge())


def test_a_link_that_the_pod_made_is_not_moved_to_the_host(bed: Bed) -> None:
    assert_left_alone(bed, bed.networks.custom("host-device", {"device": "nowhere0"}))
