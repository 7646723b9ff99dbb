"""ADD: attaches all networks of a pod at its start, or one network later; rolls back if a part fails."""

from __future__ import annotations

from podagent.cni import result as results
from podagent.decide.dialects.kaloom_names import attachment, interface_name
from podagent.errors import CallRefused, CniError, MacRefused, PluginNotRun
from podagent.foreign import Json
from podagent.kactus.call import Call
from podagent.kactus.config import Config
from podagent.kactus.delegates import Delegates, ifname_of
from podagent.kactus.failure import INTERNAL, INVALID_CONFIG, INVALID_ENVIRONMENT, Failure
from podagent.kactus.links import Look, require_foreign
from podagent.kactus.log import log
from podagent.kactus.networks import Wanted, delegate_for, read_wanted
from podagent.kactus.pods import Cluster
from podagent.kactus.policy import definition_policy, mac_rule
from podagent.kactus.state import ADDING, IFNAME, MAC, NAMESPACE, SavedDelegates, identity
from podagent.model import Attachment
from podagent.netconf import parse
from podagent.resolve.lookup import Read


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
        self._done: list[Json] = []

    def run(self) -> Json:
        """Attaches, and returns the result in the requested version. If it raises, it has rolled back."""
        require_foreign(self._call.netns)
        network = self._call.arg("K8S_POD_NETWORK")
        planned = [self._dynamic(network)] if network else self._at_start()
        try:
            first, *_ = [self._attach(delegate, mac) for delegate, mac in planned]
            return results.convert(first, self._call.cni_version, _last_type(planned[0][0]))
        except Exception:  # a bug, too, must not leave a partial attach
            self._roll_back()
            raise

    def _dynamic(self, network: str) -> tuple[Json, str | None]:
        mac = self._call.arg("K8S_POD_IFMAC").lower() or None
        kept = self._saved.find(network)
        if kept is not None and ADDING not in kept and interface_name(network) in self._look(self._call.netns):
            return kept, mac  # already attached by us: that needs no definition
        wanted = attachment(network, self._call.arg("K8S_POD_NETWORK_NAMESPACE"), mac)
        return self._delegate(wanted, self._cluster.definition), mac

    def _at_start(self) -> list[tuple[Json, str | None]]:
        wanted = self._wanted()
        default: tuple[Json, str | None] = (self._config.master, None)
        if wanted.primary is not None:
            primary = self._delegate(wanted.primary, self._cluster.definition)
            default = ({**primary, "masterPlugin": True}, wanted.primary.mac)
        others = [(self._delegate(network, self._cluster.definition), network.mac) for network in wanted.others]
        return [default, *others]

    def _wanted(self) -> Wanted:
        namespace, name = self._call.arg("K8S_POD_NAMESPACE"), self._call.arg("K8S_POD_NAME")
        if not namespace and not name:
            return Wanted(None, ())  # not a Kubernetes pod
        if not namespace or not name:
            raise Failure(INVALID_ENVIRONMENT, "CNI_ARGS: K8S_POD_NAMESPACE and K8S_POD_NAME belong together")
        annotation = self._cluster.annotation(namespace, name)
        return read_wanted(annotation, namespace, self._config.global_namespaces)

    def _delegate(self, network: Attachment, read: Read) -> Json:
        pod_namespace = self._call.arg("K8S_POD_NAMESPACE")
        return delegate_for(network, pod_namespace, read, self._config.global_namespaces, policy=self._policy)

    def _attach(self, delegate: Json, mac: str | None) -> Json:
        ifname = ifname_of(delegate, self._call.ifname)
        kept = self._saved.find(identity(delegate))
        if ifname in self._look(self._call.netns):
            if kept is None:
                raise Failure(
                    INTERNAL, f"interface {ifname} already exists in the pod and is not owned by kactus: left alone"
                )
            if ADDING not in kept:
                return self._result_of(kept, ifname)
        if kept is not None:  # partial after an interrupted call, or its interface has vanished since
            self._delegates.delete(kept, ifname, self._call.netns, lambda: delegate)
        return self._add(delegate, ifname, mac)

    def _add(self, delegate: Json, ifname: str, mac: str | None) -> Json:
        own = {IFNAME: ifname, NAMESPACE: self._call.arg("K8S_POD_NAMESPACE")}
        if mac is not None:
            self._require_allowed(mac, delegate)
            own[MAC] = mac
        # Before ADD: DEL must find it even if this process is killed.
        self._saved.put({**delegate, **own, ADDING: True})
        self._done.append(delegate)
        try:
            result = self._delegates.add(delegate, ifname, mac)
        except (CallRefused, PluginNotRun):
            self._saved.drop(delegate)  # nothing was created: DEL would fail for the same reason every time
            raise
        self._saved.put({**delegate, **own, "prevResult": result})
        log("info", f"{self._call.container_id[:12]}: attached {ifname} ({identity(delegate) or 'default'})")
        return result

    def _require_allowed(self, mac: str, delegate: Json) -> None:
        netconf = parse(delegate, f"network {identity(delegate)}")
        try:
            rule = mac_rule(self._config)
            rule.require_allowed(mac, self._call.container_id, self._call.arg("K8S_POD_NAMESPACE"), netconf)
        except MacRefused as fault:
            raise Failure(INVALID_CONFIG, str(fault)) from None

    def _roll_back(self) -> None:
        for delegate in reversed(self._done):
            kept = self._saved.find(identity(delegate))
            if kept is None:
                continue
            try:
                self._delegates.delete(kept, ifname_of(kept, self._call.ifname), self._call.netns, lambda: None)
                self._saved.drop(delegate)
            except CniError as fault:
                log("error", f"{self._call.container_id[:12]}: rolling back {identity(delegate) or 'default'}: {fault}")

    def _result_of(self, kept: Json, ifname: str) -> Json:
        previous = kept.get("prevResult")
        if isinstance(previous, dict):
            return previous
        # An entry of Kaloom's kactus, which stores no result.
        return {"cniVersion": "1.0.0", "interfaces": [{"name": ifname, "sandbox": self._call.netns}]}


def _last_type(delegate: Json) -> str:
    """The type of the plugin that returns the delegate's result."""
    return str(delegate.get("plugins", [delegate])[-1]["type"])
