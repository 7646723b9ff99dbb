"""What tests of the whole agent look at: its records on disk, its log, the Events of a pod."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from lab.agent import Agent
from lab.apiserver import ApiServer
from lab.networks import Network
from lab.node import Pod
from lab.plugins import Call
from lab.waiting import eventually

Json = dict[str, Any]


def ifname(network: Network | str) -> str:
    """The interface that attaches a network, after the rule that users know."""
    name = network if isinstance(network, str) else network.name
    return "net" + hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()[:12]


def ifnames(*networks: Network | str) -> set[str]:
    """The interfaces of a pod that has these networks, and nothing else."""
    return {"lo", *map(ifname, networks)}


def records(agent: Agent) -> list[Json]:
    """What the agent has on disk about its attachments, undamaged."""
    found = []
    for path in (agent.state_dir / "attachments").glob("*.json"):
        try:
            found.append(json.loads(path.read_text())["record"])
        except FileNotFoundError:  # noqa: PERF203 - gone since the directory was listed
            continue
    return found


def wait_for_attached(agent: Agent, *networks: Network) -> None:
    """Waits until the agent has recorded exactly these networks, all of them as attached."""
    wanted = sorted((network.name, "ATTACHED") for network in networks)

    def exactly() -> bool:
        found = sorted((record["attachment"]["network"], record["phase"]) for record in records(agent))
        assert found == wanted, f"{found}"
        return True

    eventually(exactly, 15, f"records of {wanted}")


def messages(api: ApiServer, pod: Pod, reason: str = "") -> list[str]:
    """The texts of the Events about a pod, of one reason if given."""
    found = api.events(pod.namespace, pod.name)
    mine = (event for event in found if event["involvedObject"]["uid"] == pod.object_uid)
    return [event["message"] for event in mine if reason in ("", event["reason"])]


def wait_for_event(api: ApiServer, pod: Pod, reason: str, *words: str, timeout: float = 15.0) -> str:
    """Waits for an Event of that reason with all these words in its text; returns the text."""

    def fitting() -> str:
        posted = messages(api, pod, reason)
        fits = [text for text in posted if all(word in text for word in words)]
        assert fits, f"{posted}"
        return fits[0]

    return eventually(fitting, timeout, f"an Event {reason} on {pod} with {words}")


def wait_for_line(agent: Agent, *words: str, timeout: float = 15.0) -> str:
    """Waits for one line of the log with all these words; returns it."""

    def fitting() -> list[str]:
        return [line for line in agent.log().splitlines() if all(word in line for word in words)]

    return eventually(fitting, timeout, f"a line with {words} in the log")[0]


def order(calls: list[Call]) -> list[str]:
    """The interfaces of these runs of plugins, in the order of the runs."""
    return [call.env["CNI_IFNAME"] for call in calls]
