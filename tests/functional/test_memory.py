"""The agent's memory beside a tenant that wastes it, and after."""

from __future__ import annotations

import json

import pytest

from functional.bed import Bed
from functional.expectations import ifname
from lab.waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.attack]

DEFINITIONS, ANNOTATIONS = 128, 200
MIB = 1024  # KiB


def rss_mib(bed: Bed) -> float:
    return bed.agent.rss_kib() / MIB


def fill_with_definitions(bed: Bed) -> None:
    """Half of the largest size that is accepted, half too large; each is wanted by one of 16 pods."""
    pods = bed.node.many(16, namespace="tenant")
    sizes = (60 << 10, 1 << 20)
    made = [bed.networks.bridge(namespace="tenant", note="x" * sizes[number % 2]) for number in range(DEFINITIONS)]
    for number, pod in enumerate(pods):
        pod.annotate([network.name for network in made[number::16]])
    for number, pod in enumerate(pods[::2]):
        pod.wait_for_link(ifname(made[2 * number]), 60)


def fill_with_annotations(bed: Bed) -> None:
    """Of pods that never start, on this node."""
    for number in range(ANNOTATIONS):
        text = json.dumps([{"name": f"n{each}"} for each in range(20_000)])
        metadata = {"name": f"waste-{number}", "namespace": "tenant", "annotations": {"networks": text}}
        spec = {"nodeName": bed.node.name, "containers": []}
        bed.api.create({"kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": "Pending"}})


@pytest.mark.promise(
    "Load: a tenant floods with huge definitions and annotations",
    "the agent's memory stays below twice what it was, and is given back",
)
def test_it_stays_bounded_and_returns(bed: Bed) -> None:
    data = bed.networks.bridge("data")
    quiet = bed.attached(data)
    before = rss_mib(bed)
    peaks = []
    for fill in (fill_with_definitions, fill_with_annotations):
        fill(bed)
        new = bed.node.pod(networks=["data"])
        new.wait_for_link(ifname(data))
        peaks.append(rss_mib(bed))
    for number in range(ANNOTATIONS):
        bed.api.delete("pods", "tenant", f"waste-{number}")
    for pod in bed.node.pods:
        pod.annotate(["data"] if pod is quiet else [])
    bed.settles({pod: [data] if pod is quiet else [] for pod in bed.node.pods}, 60)
    eventually(lambda: rss_mib(bed) < 1.25 * before, 40, "the memory to return")
    print(f"RSS in MiB: {before:.0f} before, {' and '.join(f'{each:.0f}' for each in peaks)}, {rss_mib(bed):.0f} after")
    assert max(peaks) < 2 * before
