"""ADD: attaches all networks of a pod at its start, or one network later; rolls back if a part fails."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from podagent.cni import result as results
from podagent.cni.delegatefile import ADDING, is_whole
from podagent.decide.dialects.kaloom_names import attachment, interface_name
from podagent.errors import CallRefused, CniError, HostUnavailable, MacRefused, PluginNotRun
from podagent.foreign import Json, lenient
from podagent.kactus import devices
from podagent.kactus.call import Call
from podagent.kactus.config import Config
from podagent.kactus.delegates import Delegates, ifname_of
from podagent.kactus.failure import INTERNAL, INVALID_CONFIG, INVALID_ENVIRONMENT, TRY_AGAIN_LATER, Failure
from podagent.kactus.links import Look, require_foreign
from podagent.kactus.log import log
from podagent.kactus.networks import Wanted, delegate_for, read_wanted
from podagent.kactus.pods import Cluster
from podagent.kactus.policy import definition_policy, mac_rule
from podagent.kactus.state import IFNAME, MAC, NAMESPACE, UID, SavedDelegates, identity, pod_uid
from podagent.model import Attachment
from podagent.netconf import parse


class _Planned(NamedTuple):
    """A delegate that the pod needs, its interface and the requested MAC address."""

    delegate: Json
    ifname: str
    mac: str | None


class Attaching:
    """One ADD. The caller holds the container's lock through `saved`."""

    def __init__(
        self, call: Call, config: Config, saved: SavedDelegates, delegates: Delegates, cluster: Cluster, look: Look
    ) -> None:
        self._call = call
        self._config = config
        self._saved = saved
        self._delegates = delegates
        self._cluster = cluster
        self._look = look
        self._policy = definition_policy(call, config)
        self._recorded: list[Json] = []  # by this call
        self._begun: list[Json] = []  # of these, the ones that a plugin was run for
        self._host: dict[str, frozenset[str]] = {}  # by delegate that moves devices: MAC addresses before its ADD

    def run(self) -> Json:
        """Attaches, and returns the result in the requested version. If it raises, it has rolled back."""
        require_foreign(self._call.netns)
        network = self._call.arg("K8S_POD_NETWORK")
        planned = [self._dynamic(network)] if network else self._at_start()
        links = self._look(self._call.netns)
        missing = [each for each in planned if not self._is_attached(each, links)]
        try:
            if missing:
                self._attach(missing)
            return results.convert(self._result(planned[0]), self._call.cni_version, _last_type(planned[0].delegate))
        except Exception:  # a bug, too, must not leave a partial attach
            self._roll_back()
            raise

    def _dynamic(self, network: str) -> _Planned:
        mac = self._call.arg("K8S_POD_IFMAC").lower() or None
        kept, ifname = self._saved.find(network), interface_name(network)
        if kept is not None and is_whole(kept) and ifname in self._look(self._call.netns):
            return _Planned(kept, ifname, mac)  # already attached by us: that needs no definition
        return self._plan(attachment(network, self._call.arg("K8S_POD_NETWORK_NAMESPACE"), mac))

    def _at_start(self) -> list[_Planned]:
        wanted = self._wanted()
        default = _Planned({**self._config.master, **self._uid()}, self._call.ifname, None)
        if wanted.primary is not None:
            primary = self._plan(wanted.primary)
            default = _Planned({**primary.delegate, "masterPlugin": True}, self._call.ifname, primary.mac)
        return [default, *map(self._plan, wanted.others)]

    def _wanted(self) -> Wanted:
        namespace, name = self._call.arg("K8S_POD_NAMESPACE"), self._call.arg("K8S_POD_NAME")
        if not namespace and not name:
            return Wanted(None, ())  # not a Kubernetes pod
        if not namespace or not name:
            raise Failure(INVALID_ENVIRONMENT, "CNI_ARGS: K8S_POD_NAMESPACE and K8S_POD_NAME belong together")
        annotation = self._cluster.annotation(namespace, name)
        return read_wanted(annotation, namespace, self._config.global_namespaces)

    def _plan(self, network: Attachment) -> _Planned:
        namespace, read = self._call.arg("K8S_POD_NAMESPACE"), self._cluster.definition
        found = delegate_for(network, namespace, read, self._config.global_namespaces, policy=self._policy)
        delegate = {**found, **self._uid()}
        return _Planned(delegate, ifname_of(delegate, self._call.ifname), network.mac)

    def _uid(self) -> Json:
        uids = (self._call.arg("K8S_POD_UID"), *map(pod_uid, self._saved.delegates))
        uid = next(filter(None, uids), "")
        return {UID: uid} if uid else {}

    def _is_attached(self, planned: _Planned, links: Collection[str]) -> bool:
        """Whether an earlier call has attached it. Raises Failure if the interface is somebody else's."""
        if planned.ifname not in links:
            return False
        kept = self._saved.find(identity(planned.delegate))
        if kept is None:
            what = f"interface {planned.ifname} already exists in the pod and is not owned by kactus: left alone"
            raise Failure(INTERNAL, what)
        return is_whole(kept)

    def _attach(self, missing: Sequence[_Planned]) -> None:
        for each in missing:
            self._delegates.require_addable(*each)
        for each in missing:
            self._remove_partial(each)
        entries = [self._entry(each) for each in missing]
        # Before the first ADD: DEL must find them even if this process is killed. All at once, and later all results:
        # the file is written twice, however many networks there are.
        self._saved.put(*({**entry, ADDING: True} for entry in entries))
        self._recorded = entries
        try:
            for each, entry in zip(missing, entries, strict=True):
                entry["prevResult"] = self._add(each)
        finally:  # SIGTERM, too, keeps the results
            self._saved.put(*(each for each in entries if "prevResult" in each))

    def _remove_partial(self, planned: _Planned) -> None:
        kept = self._saved.find(identity(planned.delegate))
        if kept is not None:  # its ADD was interrupted, or its interface has vanished since
            self._delegates.delete(kept, planned.ifname, self._call.netns, lambda: planned.delegate)

    def _entry(self, planned: _Planned) -> Json:
        own = {IFNAME: planned.ifname, NAMESPACE: self._call.arg("K8S_POD_NAMESPACE")}
        if planned.mac is not None:
            self._require_allowed(planned.mac, planned.delegate)
            own[MAC] = planned.mac
        return {**planned.delegate, **own}

    def _add(self, planned: _Planned) -> Json:
        self._begun.append(planned.delegate)
        if self._delegates.moves_links(planned.delegate):
            self._host[identity(planned.delegate)] = devices.host_macs()
        try:
            result = self._delegates.add(*planned)
        except (CallRefused, PluginNotRun):
            self._begun.pop()  # nothing was created: DEL would fail for the same reason every time
            raise
        log("info", f"{self._call.container_id[:12]}: attached {planned.ifname} ({_name(planned.delegate)})")
        return result

    def _require_allowed(self, mac: str, delegate: Json) -> None:
        netconf = parse(delegate, f"network {identity(delegate)}")
        try:
            rule = mac_rule(self._config)
            rule.require_allowed(mac, self._call.container_id, self._call.arg("K8S_POD_NAMESPACE"), netconf)
        except MacRefused as fault:
            raise Failure(INVALID_CONFIG, str(fault)) from None
        except HostUnavailable as fault:
            raise Failure(TRY_AGAIN_LATER, str(fault)) from None

    def _roll_back(self) -> None:
        begun = {identity(delegate) for delegate in self._begun}
        try:
            gone = [each for each in reversed(self._recorded) if identity(each) not in begun or self._undone(each)]
            self._saved.drop(*gone)
        except CniError as fault:
            log("error", f"{self._call.container_id[:12]}: rolling back: {fault}")

    def _undone(self, entry: Json) -> bool:
        try:
            netns = self._netns_to_undo(entry)
            if netns:
                self._delegates.delete(entry, entry[IFNAME], netns, lambda: None)
            elif failed := self._delegates.release(entry, entry[IFNAME], "", lambda: None, ()):
                raise failed[0].error
        except CniError as fault:
            log("error", f"{self._call.container_id[:12]}: rolling back {_name(entry)}: {fault}")
            return False
        return True

    def _netns_to_undo(self, entry: Json) -> str:
        """The namespace, "" if the link of the name there is not what a failed ADD has moved in."""
        before = self._host.get(identity(entry))
        if before is None or "prevResult" in entry or devices.may_be_moved(self._call.netns, entry[IFNAME], before):
            return self._call.netns
        return ""

    def _result(self, planned: _Planned) -> Json:
        previous = lenient(self._saved.find(identity(planned.delegate)), "prevResult", dict)
        # An entry of Kaloom's kactus has no result.
        return previous or {
            "cniVersion": "1.0.0",
            "interfaces": [{"name": planned.ifname, "sandbox": self._call.netns}],
        }


def _name(delegate: Json) -> str:
    return identity(delegate) or "default"


def _last_type(delegate: Json) -> str:
    """The type of the plugin that returns the delegate's result."""
    return str(delegate.get("plugins", [delegate])[-1]["type"])
