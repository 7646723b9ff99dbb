"""How tests know that the agent is done, and what they look at then: interfaces, leases, records."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from functional.expectations import ifname, records
from lab.agent import Agent
from lab.files import paths_in
from lab.leases import Lease
from lab.links import Link, Links, links_of
from lab.networks import Network
from lab.node import Pod
from lab.pins import pins
from lab.waiting import eventually

Wanted = Mapping[Any, Collection[Network]]
"""Pods, of the stand-in or of the real node, and the networks attached to each."""


class Plugged(Protocol):
    """A pod of either node."""

    own: frozenset[str]

    def links(self) -> Links: ...


_SETTLED = re.compile(r"\d+ pods, \d+ attachments, 0 pods in progress; .+")


def plugged(pod: Plugged) -> dict[str, Link]:
    """The pod's interfaces without those that it has anyway."""
    return {name: link for name, link in pod.links().items() if name not in pod.own}


def settles(wanted: Wanted, networks: Iterable[Network], agent: Agent | None = None, timeout: float = 30.0) -> None:
    """Waits until each pod has one interface with one address in each of its networks, and nothing else exists.

    Looks at the pods, at the bridges' ports, at the leases and, with `agent`, at its records, those of its kactus, and
    the namespaces that it keeps.
    """
    known = list(networks)

    def exactly() -> bool:
        assert_exactly(wanted, known, agent)
        return True

    eventually(exactly, timeout, "exactly the wanted interfaces, leases and records")


def assert_exactly(wanted: Wanted, networks: Iterable[Network], agent: Agent | None = None) -> None:
    """What `settles` waits for, at this moment."""
    leases = {lease for pod, its in wanted.items() for lease in _leases_of(pod, its)}
    host_links = links_of().values()
    for network in networks:
        mine = {lease for lease in leases if lease.network == network.cni_name}
        assert set(network.leases()) == mine, f"leases of {network.name}"
        assert sum(link.master == network.bridge for link in host_links) == len(mine), f"ports of {network.bridge}"
    if agent:
        recorded = sorted((r["sandboxID"], r["attachment"]["ifname"], r["phase"]) for r in records(agent))
        assert recorded == sorted((lease.container_id, lease.ifname, "ATTACHED") for lease in leases)
        assert pins(agent.state_dir) <= {lease.container_id for lease in leases}, "namespaces kept"
    if agent and agent.kactus_dir:
        kept = {(pod.sandbox_id, network.name) for pod, its in wanted.items() for network in its}
        defaults = {(pod.sandbox_id, "") for pod in wanted if pod.eth0_by_kactus}
        assert kept_attachments(agent.kactus_dir) == kept | defaults, "kept by kactus"


def _leases_of(pod: Any, networks: Collection[Network]) -> Iterator[Lease]:
    """The leases that its interfaces show."""
    links = plugged(pod)
    assert set(links) == {ifname(network) for network in networks}, f"{pod} has {links}"
    for network in networks:
        name, link = ifname(network), links[ifname(network)]
        assert link.up, f"{name} of {pod} is down"
        assert len(link.addresses) == 1, f"{pod} has {link.addresses} in {network.name}"
        assert network.holds(link.addresses[0]), f"{pod} has {link.addresses} in {network.name}"
        yield Lease(network.cni_name, link.addresses[0].split("/")[0], pod.sandbox_id, name)


def kept_attachments(kactus_dir: Path) -> set[tuple[str, str]]:
    """(container, network) of everything that a kactus keeps there, "" for the default interface's network."""
    kept = set()
    for path in paths_in(kactus_dir):
        try:
            delegates = json.loads(path.read_text()) if path.is_file() else []
        except FileNotFoundError:  # gone since the directory was listed
            continue
        for delegate in delegates:
            kept.add((path.name, "" if delegate.get("masterPlugin") else delegate["networkName"]))
    return kept


def record_files(agent: Agent) -> list[Path]:
    return sorted((agent.state_dir / "attachments").glob("*.json"))


def delete_link(pod: Pod, name: str) -> None:
    """Somebody deletes an interface in the pod by hand."""
    subprocess.run(["nsenter", "-t", str(pod.pid), "-n", "ip", "link", "del", name], check=True)


def settle(agent: Agent, since: float, timeout: float = 20.0) -> None:
    """Waits until the agent reports, after `since` (`time.monotonic()`), that it is done with every pod.

    The agent must have been made with `PINGED`: it renews its status with every ping.
    """

    def settled() -> bool:
        return any(_SETTLED.fullmatch(status.value) for status in agent.notifications.all("STATUS", since))

    eventually(settled, timeout, "the agent to be done with all pods")


def restart(agent: Agent) -> None:
    """Starts the agent again and waits until it has looked at every pod."""
    since = time.monotonic()
    agent.start()
    settle(agent, since)


# The environment of a service that is watched: a ping and a status every half second.
WATCHDOG_SECONDS = 1.5
PINGED = {"WATCHDOG_USEC": str(int(WATCHDOG_SECONDS * 1e6))}
