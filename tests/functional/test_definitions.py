"""Network definitions are followed: what an attach asks the API server for, and what a change of one brings about."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from functional.bed import Bed
from functional.expectations import ifname, wait_for_line
from functional.ways import BOTH_WAYS
from lab.networks import Network, definition
from lab.node import Pod

pytestmark = pytest.mark.root

LISTS = "/v1/networks?"  # in the URL of lists and watches, not in that of a reading


def readings(bed: Bed, since: float = 0.0) -> list[str]:
    """The definitions that were read, in order."""
    return [each.name for each in bed.api.requests.all("get", "networks", since)]


def define(bed: Bed, network: Network) -> None:
    bed.api.create(definition(network.name, network.namespace, "bridge", network.config))


def change(bed: Bed, network: Network, **config: object) -> None:
    spec = {"config": json.dumps(network.config | config)}
    bed.api.patch("networks", network.namespace, network.name, {"spec": spec})


def fail_for_long(bed: Bed, *networks: Network) -> Pod:
    """A pod wants them, and they have failed so often that the next try is seconds away."""
    pod = bed.node.pod(networks=[network.name for network in networks])
    for network in networks:
        wait_for_line(bed.agent, network.name, f"pod default/{pod.name} still failing after 4 tries", timeout=40)
    return pod


@pytest.fixture(params=[False, True], ids=["prompt", "late"])
def late(bed: Bed, request: pytest.FixtureRequest) -> Iterator[None]:
    """The watch of definitions reports changes as ever, or not at all."""
    if request.param:
        bed.api.go_silent(new_connections=False, part=LISTS)
    yield
    bed.api.drop_connections()


@pytest.fixture
def refused(bed: Bed, request: pytest.FixtureRequest) -> Iterator[int]:
    """Definitions may be read only, or their resource is not served yet."""
    status: int = request.param
    bed.api.fail_next(10_000, status, LISTS)
    bed.api.drop_connections()
    wait_for_line(bed.agent, "network definitions are not followed")
    yield status
    bed.api.stop_failing()
    bed.api.drop_connections()
    wait_for_line(bed.agent, "network definitions are followed", timeout=40)


def test_pods_that_start_and_sandboxes_that_are_replaced_read_each_definition_once(bed: Bed) -> None:
    networks = [bed.networks.bridge(), bed.networks.bridge()]
    pods = [bed.node.pod(networks=[network.name for network in networks], start=False) for _ in range(6)]
    for pod in pods:
        wait_for_line(bed.agent, f"pod default/{pod.name}")
    since = time.monotonic()
    pods[0].start()
    bed.settles({pods[0]: networks})
    for pod in pods[1:]:
        pod.start()
    bed.settles(dict.fromkeys(pods, networks))
    pods[0].replace_sandbox()
    bed.settles(dict.fromkeys(pods, networks))
    assert sorted(readings(bed, since)) == sorted(network.name for network in networks)


@pytest.mark.promise(
    "Definitions: a definition is made or changed immediately before the annotation that needs it",
    "the new one is used, even if the watch of definitions has fallen silent",
)
def test_an_annotation_gets_the_definition_as_it_was_when_it_was_written(bed: Bed, late: None) -> None:
    bed.plugins.record("bridge")
    known = bed.networks.bridge()
    pods = bed.node.many(10)
    for number, pod in enumerate(pods):
        new = bed.networks.bridge()
        change(bed, known, mtu=1400 + number)
        pod.annotate([known.name, new.name])
        for network in (known, new):
            pod.wait_for_link(ifname(network))
    calls = {call.env["CNI_CONTAINERID"]: call for call in bed.plugins.calls("ADD") if "mtu" in call.config}
    assert [calls[pod.sandbox_id].config["mtu"] for pod in pods] == [1400 + number for number in range(10)]


@pytest.mark.promise(
    "Definitions: a network has failed for long, and its definition is created or corrected",
    "it is attached within a second; others wait for their next try",
)
@BOTH_WAYS
def test_a_late_or_corrected_definition_is_used_within_a_second(bed: Bed) -> None:
    missing, wrong, other = (bed.networks.bridge() for _ in range(3))
    for network in (missing, other):
        bed.networks.undefine(network)
    change(bed, wrong, ipam={"type": "host-lokal"})
    pod = fail_for_long(bed, missing, wrong, other)
    since = time.monotonic()
    define(bed, missing)
    change(bed, wrong)
    for network in (missing, wrong):
        pod.wait_for_link(ifname(network), 3)
    print(f"attached {time.monotonic() - since:.2f} s after its definition")
    assert other.name not in readings(bed, since)


@pytest.mark.parametrize("refused", [403, 404], indirect=True, ids=["the role does not allow it", "there is no CRD"])
def test_definitions_that_cannot_be_followed_are_read_as_they_are_needed(bed: Bed, refused: int) -> None:
    first, second = (bed.networks.bridge() for _ in range(2))
    pods = bed.node.many(3, networks=[first.name])
    bed.settles(dict.fromkeys(pods, (first,)))
    change(bed, second, mtu=1400)
    pods[0].annotate([first.name, second.name])
    pods[0].wait_for_link(ifname(second))
    assert len(readings(bed)) >= 4
    assert bed.agent.log().count("network definitions are not followed") == 1
    assert f": {refused} " in wait_for_line(bed.agent, "network definitions are not followed")
