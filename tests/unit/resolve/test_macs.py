"""Which requested MAC addresses are free on a bridge or network of the node."""

from __future__ import annotations

import pytest

from podagent.errors import MacRefused
from podagent.foreign import Json
from podagent.netconf import NetConf
from podagent.resolve.macs import MacRule, Plugged

OURS, THEIRS, BRIDGES = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"
OTHER_RESULT: Json = {"interfaces": [
    {"name": "veth0", "mac": OURS}, {"name": "net0", "mac": THEIRS.upper(), "sandbox": "/proc/1/ns/net"}, 7
]}  # fmt: skip


def conf(name: str = "blue", bridge: str = "br-blue") -> NetConf:
    return NetConf({"cniVersion": "1.0.0", "name": name, "plugins": [{"type": "bridge", "bridge": bridge}]})


def refusal(mac: str | None, rule: str = "own-namespace", other: Plugged | None = None) -> str:
    """Of a request by pod a of namespace shop; "" if it is allowed. The bridge's own address is `BRIDGES`."""
    macs = {"br-blue": [BRIDGES]}
    plugged = [other] if other else []
    try:
        MacRule(rule, lambda: plugged, lambda link: macs.get(link, [])).require_allowed(mac, "a", "shop", conf())
    except MacRefused as fault:
        return str(fault)
    return ""


OTHER = Plugged("b", "elsewhere", conf(), THEIRS, None)


@pytest.mark.parametrize(
    "other",
    [
        OTHER,
        OTHER._replace(mac=None, result=OTHER_RESULT),
        OTHER._replace(netconf=conf("another name")),
        OTHER._replace(netconf=conf(bridge="another")),
        OTHER._replace(namespace=""),
    ],
    ids=["requested", "by chance", "on the bridge", "in the network", "of an unknown namespace"],
)
def test_the_address_of_a_pod_of_another_namespace_is_refused(other: Plugged) -> None:
    text = refusal(THEIRS, other=other)
    assert f"{THEIRS} is in use on network blue by a pod of another namespace" in text
    assert "allow-mac" in text
    assert refusal(OURS, other=other) == refusal(None, other=other) == ""
    assert refusal(THEIRS, "any", other) == ""


def test_the_address_of_the_pod_itself_of_its_namespace_or_of_another_segment_is_free() -> None:
    assert refusal(THEIRS, other=OTHER._replace(namespace="shop")) == ""
    assert refusal(THEIRS, other=OTHER._replace(pod="a")) == ""
    assert refusal(THEIRS, other=OTHER._replace(netconf=conf("another name", "another"))) == ""


def test_the_address_of_the_bridge_is_refused() -> None:
    assert "by link br-blue of the host" in refusal(BRIDGES)


def test_no_address_may_be_requested_at_all() -> None:
    assert "allow-mac is no" in refusal(OURS, "no")
    assert refusal(None, "no") == ""
