"""What a tenant who may create network definitions tries with them: the node and the other tenants stay as they are."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from functional.bed import Bed
from functional.expectations import Json, ifname, wait_for_event
from functional.outcomes import plugged
from functional.ways import BOTH_WAYS
from lab.links import links_of
from lab.networks import Network
from lab.node import Pod

pytestmark = [pytest.mark.root, pytest.mark.attack, BOTH_WAYS]


@pytest.fixture
def own(bed: Bed) -> Network:
    """A network of the tenant's own, as it should be: it is served beside every hostile one."""
    return bed.networks.bridge(namespace="tenant")


@pytest.fixture
def pod(bed: Bed, own: Network) -> Iterator[Pod]:
    made = bed.node.pod(namespace="tenant", networks=[own.name])
    yield made
    bed.settles({made: [own]})


def assert_refused(bed: Bed, pod: Pod, own: Network, plugin: str, config: Json, *words: str) -> None:
    """The definition is refused with an Event that names the rule and the setting, and nothing else happens."""
    hostile = bed.networks.custom(plugin, config, namespace="tenant")
    pod.annotate([own.name, hostile.name])
    wait_for_event(bed.api, pod, "NetworkAttachFailed", f"network tenant/{hostile.name}", *words)
    assert list(plugged(pod)) == [ifname(own)]
    pod.annotate([own.name])


@pytest.fixture
def evil_kubeconfig(bed: Bed) -> Path:
    """It runs a command as whoever uses it."""
    path = bed.workdir / "evil-kubeconfig"
    run = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/sh", "args": ["-c", f"touch {path}.ran"]}
    user = {"name": "u", "user": {"exec": {**run, "interactiveMode": "Never"}}}
    context = {"name": "c", "context": {"cluster": "k", "user": "u"}}
    cluster = {"name": "k", "cluster": {"server": bed.api.url}}
    config = {"kind": "Config", "clusters": [cluster], "users": [user], "contexts": [context], "current-context": "c"}
    path.write_text(json.dumps(config))
    return path


@pytest.mark.promise(
    "Definitions: a tenant's definition names a meta-plugin or a kubeconfig with a command",
    "it is refused; no command runs on the host",
)
def test_no_command_of_the_tenants_runs_on_the_host(bed: Bed, pod: Pod, own: Network, evil_kubeconfig: Path) -> None:
    bed.plugins.alias("multus", Path("/bin/true"))
    mine = {"kubeconfig": str(evil_kubeconfig), "delegates": [{"type": "bridge", "masterPlugin": True}]}
    for meta in ("kactus", "multus"):
        assert_refused(bed, pod, own, meta, mine, meta, "no network definition may run it")
        assert_refused(
            bed, pod, own, "bridge", {"ipam": {"type": meta, **mine}}, meta, "no network definition may run it"
        )
        assert_refused(bed, pod, own, "bridge", {"plugins": [{"type": "bridge"}, {"type": meta, **mine}]}, meta)
    assert not Path(f"{evil_kubeconfig}.ran").exists()
    assert not bed.plugins.calls(plugin="multus")


@pytest.mark.promise(
    "Definitions: a tenant's definition names files of the host",
    "it is refused; no file is read or written",
)
def test_no_file_of_the_host_is_written_or_read(bed: Bed, pod: Pod, own: Network) -> None:
    outside = bed.workdir / "outside"
    pool = {"type": "host-local", "subnet": "198.51.100.0/24"}
    bridge = {"bridge": own.bridge}
    assert_refused(bed, pod, own, "bridge", {**bridge, "ipam": {**pool, "dataDir": str(outside)}}, "dataDir", "llowed")
    assert_refused(bed, pod, own, "bridge", {**bridge, "ipam": {**pool, "DataDir": str(outside)}}, "dataDir")
    assert_refused(bed, pod, own, "bridge", {**bridge, "ipam": {**pool, "resolvConf": "/etc/shadow"}}, "resolvConf")
    assert not outside.exists()


@pytest.mark.promise(
    "Definitions: a tenant's definition names interfaces of the host",
    "it is refused; the interfaces stay as they are",
)
def test_the_hosts_links_and_addresses_stay_its_own(bed: Bed, pod: Pod, own: Network) -> None:
    pool = {"ipam": {"type": "host-local", "subnet": "198.51.100.0/24"}}
    mgmt = bed.networks.bridge().bridge
    subprocess.run(["ip", "link", "add", mgmt, "type", "bridge"], check=True)
    subprocess.run(["ip", "addr", "add", "198.51.100.77/24", "dev", mgmt], check=True)
    before = links_of()[mgmt]
    assert_refused(bed, pod, own, "bridge", {"bridge": mgmt, **pool}, f"link {mgmt} of the host", "llowed")
    assert_refused(bed, pod, own, "bridge", {"bridge": mgmt, "isGateway": True, "forceAddress": True, **pool}, "ddress")
    assert_refused(bed, pod, own, "macvlan", {"master": mgmt, **pool}, f"link {mgmt} of the host")
    assert_refused(bed, pod, own, "ipvlan", pool, "default route")
    assert_refused(bed, pod, own, "host-device", {"device": mgmt}, "host-device", "llowed")
    assert links_of()[mgmt] == before


def test_a_tenant_neither_joins_anothers_bridge_nor_takes_addresses_of_its_pool(
    bed: Bed, pod: Pod, own: Network
) -> None:
    theirs = bed.networks.bridge(namespace="victim")
    victim = bed.node.pod(namespace="victim", networks=[theirs.name])
    victim.wait_for_link(ifname(theirs))
    assert_refused(bed, pod, own, "bridge", {"bridge": theirs.bridge}, f"link {theirs.bridge} of the host")

    pool = {"bridge": own.bridge, "name": theirs.config["name"], "ipam": theirs.config["ipam"]}
    namesake = bed.networks.custom("bridge", pool, namespace="tenant")
    pod.annotate([own.name, namesake.name])
    pod.wait_for_link(ifname(namesake))
    assert [lease.container_id for lease in theirs.leases()] == [victim.sandbox_id]
    pod.annotate([own.name])
    victim.annotate([])


@pytest.mark.promise(
    "Interfaces: a pod requests the MAC address of another tenant's pod or of the bridge",
    "the attach is refused with an Event",
)
def test_a_tenant_gets_neither_the_mac_address_of_another_nor_that_of_the_bridge(
    bed: Bed, pod: Pod, own: Network
) -> None:
    shared = bed.networks.bridge()
    victim = bed.node.pod(namespace="victim", networks=[shared.name])
    for taken in (victim.wait_for_link(ifname(shared)).mac, links_of()[shared.bridge].mac):
        pod.annotate([own.name, {"name": shared.name, "ifMac": taken}])
        wait_for_event(bed.api, pod, "NetworkAttachFailed", shared.name, f"{taken} is in use")
        assert list(plugged(pod)) == [ifname(own)]
        pod.annotate([own.name])
    victim.annotate([])
