"""Which pod is which: names come again, UIDs do not; and everything of a pod goes when the pod goes."""

from __future__ import annotations

import pytest

from functional.bed import Bed
from functional.expectations import ifname, records
from functional.outcomes import plugged

pytestmark = pytest.mark.root


def test_two_pods_of_one_name_in_two_namespaces_are_never_crossed(bed: Bed) -> None:
    common = bed.networks.bridge("common")
    of_red, of_blue = bed.networks.bridge("own", "red"), bed.networks.bridge("own", "blue")
    red, blue = bed.node.pod("web", "red"), bed.node.pod("web", "blue")
    red.annotate(["own", "common"])
    blue.annotate(["common", "own"])
    bed.settles({red: [of_red, common], blue: [of_blue, common]})

    staying = plugged(blue)
    red.annotate(["own"])
    bed.settles({red: [of_red], blue: [of_blue, common]})
    red.delete()
    bed.settles({blue: [of_blue, common]})
    assert plugged(blue) == staying


@pytest.mark.parametrize("away", [False, True], ids=["agent at work", "agent away"])
def test_a_pod_made_again_under_its_name_has_its_own_attachments(bed: Bed, away: bool) -> None:
    both, only_old, only_new = (bed.networks.bridge() for _ in range(3))
    gone, lingering = old = [bed.node.pod(name, networks=[both.name, only_old.name]) for name in ("gone", "lingering")]
    bed.settles({pod: [both, only_old] for pod in old})
    if away:
        bed.agent.stop()
    gone.delete()
    bed.api.delete("pods", lingering.namespace, lingering.name)  # its containers still run
    new = [bed.node.pod(pod.name, networks=[both.name, only_new.name]) for pod in old]
    if away:
        bed.agent.start()
    bed.settles({lingering: []} | {pod: [both, only_new] for pod in new})
    assert {record["pod"]["uid"] for record in records(bed.agent)} == {pod.uid for pod in new}


def test_a_static_pod_keeps_its_networks_until_it_ends_itself_whatever_its_mirror_object_does(bed: Bed) -> None:
    network, barrier = made = [bed.networks.bridge(), bed.networks.bridge()]
    pod, beside = bed.node.pod(static=True, networks=[network.name]), bed.node.pod()
    bed.settles({pod: [network], beside: []})
    attached = plugged(pod)[ifname(network)]

    mirror = bed.api.delete("pods", pod.namespace, pod.name)
    beside.annotate([barrier.name])
    bed.settles({pod: [network], beside: [barrier]})
    del mirror["metadata"]["uid"], mirror["metadata"]["resourceVersion"]
    pod.object_uid = bed.api.create(mirror)["metadata"]["uid"]
    pod.report_running()
    pod.annotate([network.name, barrier.name])
    bed.settles({pod: made, beside: [barrier]})
    assert plugged(pod)[ifname(network)] == attached

    pod.annotate([network.name])
    bed.settles({pod: [network], beside: [barrier]})
    pod.delete()
    bed.settles({beside: [barrier]})
