"""What tenants and the API server write is a checked value or an error of its reader, whatever it is."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest

from podagent.cni.invocation import attachment_stdin, attachment_variables
from podagent.decide.desired import Desired
from podagent.decide.dialects import kaloom
from podagent.decide.dialects.kaloom_names import interface_name
from podagent.errors import ApiError, DefinitionError
from podagent.foreign import Json
from podagent.kube.answers import decode_object
from podagent.kube.definitionwatch import DEFINITIONS
from podagent.kube.feed import Listing, parse_event
from podagent.kube.podlist import pods_of
from podagent.kube.pods import MIRROR_ANNOTATION
from podagent.model import DefinitionRef, Pod, Target
from podagent.netconf import NetConf
from podagent.resolve.args import pod_args
from podagent.resolve.definition import to_netconf
from podagent.resolve.policy import DefinitionPolicy
from podagent.resolve.rules import Rules
from podagent.validate import is_dns1123_subdomain, is_interface_name, is_mac
from unit.factory import UID, pod, sandbox
from unit.fuzz.hostile import assert_plain, bounded, fuzzed, hostile, members
from unit.kube.kube_script import ScriptedApi

ANNOTATION = [
    {"name": "red", "ifMac": "02:AB:00:00:00:01", "namespace": "default", "upperLayers": ["green"]},
    {"name": "green", "isPrimary": False, "podagentSkip": True, "namespace": "shop"},
]
CHAIN = [
    {"type": "bridge", "bridge": "br-blue", "capabilities": {"mac": True}, "mtu": 1500, "isGateway": False,
     "ipam": {"type": "host-local", "subnet": "10.66.0.0/24", "routes": [{"dst": "0.0.0.0/0"}], "dataDir": ""}},
    {"type": "tuning", "sysctl": {"net.ipv4.conf.all.arp_notify": "1"}, "promisc": True, "delegate": {"type": "vlan"}},
]  # fmt: skip
PLUGIN = {**CHAIN[0], "name": "blue", "cniVersion": "0.4.0", "vlan": 7}
CONFLIST = {"cniVersion": "1.0.0", "name": "blue", "disableCheck": True, "plugins": CHAIN}
POD = {
    "metadata": {"namespace": "shop", "name": "web", "uid": UID, "resourceVersion": "7",
                 "annotations": {"networks": '[{"name": "red"}]', MIRROR_ANNOTATION: "b1946ac9"}},
    "spec": {"hostNetwork": False},
    "status": {"phase": "Running", "podIP": "10.0.0.1", "containerStatuses": [{"containerID": "docker://1"}],
               "initContainerStatuses": [{"containerID": "docker://2"}]},
}  # fmt: skip
EVENT = {"type": "MODIFIED", "object": POD}
STATUS = {"type": "ERROR", "object": {"code": 410, "message": "m", "reason": "r", "details": {"retryAfterSeconds": 3}}}
LIST = {"kind": "PodList", "metadata": {"resourceVersion": "7", "continue": ""}, "items": [POD]}

TENANTS = DefinitionRef("networks.kaloom.com/v1", "tenant", "blue")
ADMINS = TENANTS._replace(namespace="infra")
ALLOWED = {
    "bridge",
    "macvlan",
    "ipvlan",
    "vlan",
    "ptp",
    "tuning",
    "sbr",
    "bandwidth",
    "static",
    "host-local",
    "whereabouts",
}
REFUSED = {"kactus", "multus", "multus-cni", "multus-shim", "multus-daemon", "genie", "danm", "of-the-node"}
# By these, plugins act on the host.
HOST_OPTIONS = {
    *("datadir", "resolvconf", "daemonsocketpath", "kubeconfig", "kubernetes", "cnidir", "logfile", "log_file"),
    *("configuration_path", "socket_file", "etcd_host", "forceaddress", "isgateway", "isdefaultgateway", "ipmasq"),
    *("pcibusid", "kernelpath", "hwaddr", "deviceid", "prevresult", "runtimeconfig"),
}
ODD = sorted(ALLOWED | REFUSED | {"dataDir", "ISGATEWAY", "eth0", "re\u017folvConf"})


def text_of(content: bytes) -> str:
    """As the API server hands it over: any characters, lone surrogates too."""
    return content.decode(errors="surrogateescape")


@fuzzed(hostile(ANNOTATION))
def test_an_annotation_yields_checked_strings_only_and_every_fault_is_reported_and_held(content: bytes) -> None:
    text = text_of(content)
    with bounded():
        desired = kaloom.read(text, "shop", ("default",))
    for each in desired.attachments:
        assert is_dns1123_subdomain(each.network)
        assert each.ifname == interface_name(each.network)
        assert each.definition.namespace in ("", "shop", "default")
        assert each.mac is None or (is_mac(each.mac) and each.mac == each.mac.lower())
        assert all(map(is_interface_name, each.upper_layers))
        arguments = (*pod_args(pod(), sandbox()), *each.args)
        variables = attachment_variables("ADD", Target("c1", "/ns", each.ifname), arguments, (), each.network)
        assert [tuple(pair.split("=")) for pair in variables["CNI_ARGS"].split(";")] == list(arguments)
    ifnames = [each.ifname for each in desired.attachments]
    assert len({*ifnames} | desired.held) == len(ifnames) + len(desired.held)
    for problem in desired.problems:
        assert_plain(problem)
        assert problem.isascii()
    assert_nothing_is_lost(text, desired)


def assert_nothing_is_lost(text: str, desired: Desired) -> None:
    """Whatever an entry means, its network is attached, or held: never taken for unwanted."""
    try:
        entries = json.loads(text) if text.strip() else []
    except (ValueError, RecursionError):
        entries = None
    if not isinstance(entries, list):
        assert desired.hold_all
        assert desired.problems
    elif not desired.hold_all:
        kept = desired.held.union(each.ifname for each in desired.attachments)
        assert {interface_name(entry["name"]) for entry in entries} == kept


class NoLinks:
    """The host has only links of others."""

    def owns(self, namespace: str, link: str) -> bool:
        return False

    def make_bridge(self, namespace: str, bridge: str) -> bool:
        return bridge == "br-blue"

    def grant(self, namespace: str, link: str) -> None:
        raise AssertionError(link)


POLICY = DefinitionPolicy(Rules(frozenset({"infra"})), lambda: {"of-the-node"}, NoLinks(), tuple)


@fuzzed(hostile(PLUGIN, CONFLIST, odd=ODD))
def test_a_definition_runs_what_the_policy_allows_at_every_level_or_is_refused(content: bytes) -> None:
    definition = {"spec": {"plugin": "bridge", "config": text_of(content)}}
    for reference in (ADMINS, TENANTS):
        try:
            with bounded():
                netconf = POLICY.permitted(to_netconf(definition, reference), reference)
        except DefinitionError as error:
            assert_plain(error, str(reference))
            continue
        for conf in configurations(netconf):
            assert_harmless(conf, ALLOWED if reference is TENANTS else None)


def configurations(netconf: NetConf) -> list[Json]:
    """As the plugins read them."""
    written = [attachment_stdin(netconf, plugin, None, {"mac": "02:00:00:00:00:01"}) for plugin in netconf.plugins]
    return [json.loads(each, parse_constant=pytest.fail) for each in written]


def assert_harmless(conf: Json, allowed: set[str] | None) -> None:
    assert {*conf} >= {"name", "type"}
    assert "/" not in conf["name"]
    assert conf["name"].startswith("tenant.") or allowed is None
    own = conf.pop("runtimeConfig", None)
    assert own in (None, {"mac": "02:00:00:00:00:01"})
    if allowed is not None and conf.get("linkInContainer") is not True:
        links = [value for key, value in conf.items() if key.casefold() in ("bridge", "master", "device")]
        assert {*map(str, filter(None, links))} <= {"br-blue"}
    for key, value in members(conf):
        if key == "type" and isinstance(value, str):
            assert value not in REFUSED
            assert allowed is None or value in allowed
        if allowed is not None:
            assert key not in HOST_OPTIONS or value in (None, False, "")


@fuzzed(hostile(ANNOTATION, PLUGIN))
def test_a_definition_of_any_form_is_an_object_with_a_configuration_or_is_refused(content: bytes) -> None:
    with suppress(ValueError, RecursionError):
        value = json.loads(content)
        for definition in (
            {"spec": value},
            {"spec": {"plugin": value, "config": "{}"}},
            {"spec": {"plugin": "bridge", "config": value}},
        ):
            with suppress(DefinitionError), bounded():
                to_netconf(definition, TENANTS)


@fuzzed(hostile(EVENT, STATUS, {"type": "BOOKMARK", "object": POD}))
def test_a_line_of_a_watch_is_an_event_or_an_error(content: bytes) -> None:
    try:
        with bounded():
            event = parse_event(content, pods_of("n"))
    except ApiError as error:
        assert_plain(error, "/api/v1/pods")
    else:
        assert isinstance(event.kind, str)
        assert event.item is None or is_pod(event.item)


@fuzzed(hostile({"type": "MODIFIED", "object": {"kind": "Network", "metadata": {"namespace": "a", "name": "b"}}}))
def test_an_event_of_a_definition_names_it_or_is_an_error(content: bytes) -> None:
    with suppress(ApiError), bounded():
        seen = parse_event(content, DEFINITIONS).item
        assert seen is None or all(isinstance(text, str) for text in (*seen.reference, seen.version))


@fuzzed(hostile(LIST))
def test_a_page_of_a_list_has_pods_with_names_or_is_an_error(content: bytes) -> None:
    try:
        with bounded():
            api = ScriptedApi(decode_object(content, "GET /api/v1/pods", 200))
            found = Listing(api, pods_of("n"), 9, lambda: None)
            pods = list(found)
    except ApiError as error:
        assert_plain(error)
    else:
        assert found.version
        assert all(is_pod(each) and all(each.key) for each in pods)


def is_pod(pod: Pod) -> bool:
    texts = (*pod.key, pod.object_uid, pod.phase, *pod.annotations.values(), pod.incarnation)
    return {*map(type, (pod.host_network, pod.static))} == {bool} and all(isinstance(text, str) for text in texts)
