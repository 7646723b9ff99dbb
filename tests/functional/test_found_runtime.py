"""How the agent detects the container runtime of its node, and what that costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from functional.bed import Bed
from functional.expectations import wait_for_event
from functional.ways import BOTH_RUNTIMES
from lab.dockerd import PrivateDockerd
from lab.node import Node
from lab.podruntime import PodRuntime
from lab.waiting import eventually

pytestmark = [pytest.mark.root, BOTH_RUNTIMES]

ROOT = Path(__file__).parents[2]
# Runs the words behind "--" where /run has only these links: each path is followed by what it leads to.
IN_RUN = """
mount -t tmpfs run /run
while [ "$1" != -- ]; do mkdir -p "${1%/*}"; ln -s "$2" "$1"; shift 2; done
shift; exec "$@"
"""
FOUND = {
    "docker": "Docker at unix:///var/run/docker.sock (docker-endpoint)",
    "containerd": "CRI at unix:///run/containerd/containerd.sock (its usual place)",
}
CLIENT = {"docker": "docker", "containerd": "h2"}
"""The library by which the agent talks to it."""
LOOKUP_MS, GAINED_MIB = 5.0, 0.5
"""An idle machine takes half of that time (`python -m benchmarks.runtimes`); one at work, a fifth more than that."""


def usual_places(runtime: PodRuntime) -> list[str]:
    """Docker has a containerd inside, which serves no CRI."""
    if isinstance(runtime, PrivateDockerd):
        inside = runtime.state_dir / "exec" / "containerd" / "containerd.sock"
        docker = ["/run/docker.sock", str(runtime.socket), "/run/docker.pid", str(runtime.state_dir / "pid")]
        return ["/run/containerd/containerd.sock", str(inside), *docker]
    return ["/run/containerd/containerd.sock", runtime.endpoint.removeprefix("unix://")]


def test_the_runtime_in_its_usual_place_is_found_and_the_library_of_no_other_is_loaded(
    own_bed: Callable[..., Bed], pod_runtime: PodRuntime, on: str
) -> None:
    there = ["unshare", "--mount", "sh", "-ec", IN_RUN, "sh", *usual_places(pod_runtime), "--"]
    agent = {"command": [*there, sys.executable, "-m", "podagent"], "env": {"PYTHONPROFILEIMPORTTIME": "1"}}
    bed = own_bed(docker_endpoint="", cri_endpoint="", **agent)
    network, pod = bed.networks.bridge(), bed.node.pod(start=False)
    pod.host_network = True  # what the runtime mounts for other pods does not show here
    pod.start()
    pod.annotate([network.name])
    wait_for_event(bed.api, pod, "NetworkAttachFailed", network.name, "host")
    eventually(lambda: bed.agent.notifications.status.endswith(f"; container runtime: {FOUND[on]}"))
    assert f"container runtime: {FOUND[on]}" in bed.agent.log()
    lines = (line for line in bed.agent.log().splitlines() if line.startswith("import time:"))
    loaded = {line.rpartition("|")[2].strip() for line in lines}
    assert loaded & {"podagent.runtimes.search", *CLIENT.values()} == {"podagent.runtimes.search", CLIENT[on]}


def test_a_lookup_takes_little_of_the_processor_and_a_thousand_take_no_memory(
    node: Node, pod_runtime: PodRuntime
) -> None:
    pod, named = node.pod(), pod_runtime.of_agent()
    endpoints = (named.get(f"{kind}_endpoint", "") for kind in ("cri", "docker"))
    command = [sys.executable, "-m", "benchmarks.lookups", *endpoints, pod.namespace, pod.name, pod.uid]
    environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    done = subprocess.run(command, env=environ, check=True, capture_output=True, text=True, timeout=60)
    took, few, many = json.loads(done.stdout)
    print(f"{took:.2f} ms for a lookup; {few:.1f} MiB after some, {many:.1f} MiB after a thousand more")
    assert took <= LOOKUP_MS
    assert many - few < GAINED_MIB
