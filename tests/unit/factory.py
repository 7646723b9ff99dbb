"""Values of the core's types for tests: valid as they are, and changed where a test needs it."""

from __future__ import annotations

import json
from typing import Any

from podagent.decide.dialects import kaloom_names
from podagent.host.claims import LinkClaims
from podagent.model import Attachment, Invocation, NetnsRef, Phase, Pod, PodKey, Record, Sandbox, Via
from podagent.netconf import NetConf
from podagent.resolve.macs import MacRule
from podagent.resolve.policy import DefinitionPolicy
from podagent.resolve.rules import Rules

TRUST_ALL = DefinitionPolicy(Rules(trusted=None), frozenset, LinkClaims("/nowhere"), tuple)
ANY_MAC = MacRule("any", tuple, lambda _: ())
UID = "0f0b5bd8-62a4-4d9e-b1a3-5d3b63e9a0de"


class Clock:
    """It stands still until a test sets it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def key(uid: str = UID) -> PodKey:
    return PodKey("default", "web", uid)


def annotation(*networks: str | dict[str, Any]) -> str:
    """The annotation's text; a network is a name or an entry."""
    return json.dumps([{"name": each} if isinstance(each, str) else each for each in networks])


def pod(networks: str | None = None, uid: str = UID, **changes: Any) -> Pod:
    """A running pod whose annotation has that text; `changes` are other fields of `Pod`."""
    annotations = {} if networks is None else {kaloom_names.ANNOTATION: networks}
    return Pod(key(uid), uid, annotations, "Running")._replace(**changes)


def attachment(network: str, **changes: Any) -> Attachment:
    """Changes are arguments of the dialect, or fields of `Attachment`."""
    asked = {name: changes.pop(name) for name in ("namespace", "mac", "upper_layers") if name in changes}
    return kaloom_names.attachment(network, **asked)._replace(**changes)


def sandbox(number: int = 7, **changes: Any) -> Sandbox:
    return Sandbox(f"sandbox-{number}", NetnsRef(f"/proc/{number}/ns/net", number, number))._replace(**changes)


def netconf(network: str) -> NetConf:
    return NetConf({"cniVersion": "1.0.0", "name": network, "plugins": [{"type": "bridge"}]})


def invocation(network: str, **changes: Any) -> Invocation:
    return Invocation(netconf(network), ("/opt/cni/bin",))._replace(**changes)


def record(network: str, uid: str = UID, **changes: Any) -> Record:
    """An ATTACHED record; `changes` are other fields of `Record`, or `ifname`."""
    made = Record(
        pod=key(uid),
        attachment=attachment(network, **({"ifname": changes.pop("ifname")} if "ifname" in changes else {})),
        phase=Phase.ATTACHED,
        via=Via.DELEGATE,
        sandbox_id="sandbox-7",
        netns=NetnsRef("/proc/7/ns/net", 7, 7),
        boot_id="boot-1",
        sequence=1,
        invocation=invocation(network),
        result={"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.2/24"}]},
        ifindex=2,
    )
    return made._replace(**changes)


def nest(depth: int) -> list[Any]:
    """Lists within lists."""
    nested: list[Any] = []
    for _ in range(depth):
        nested = [nested]
    return nested
