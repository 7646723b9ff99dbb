"""DEL and GC, from saved state only: without API server, definition, pod or network namespace."""

from __future__ import annotations

from podagent.errors import CniError
from podagent.foreign import Json
from podagent.kactus.call import Call
from podagent.kactus.config import Config
from podagent.kactus.delegates import Delegates, ifname_of
from podagent.kactus.failure import INTERNAL, Failure
from podagent.kactus.links import is_there, pinned, require_foreign
from podagent.kactus.log import log
from podagent.kactus.state import DEFINITION, IFNAME, SavedDelegates, identity


class Detaching:
    """One DEL. The caller holds the container's lock through `saved`."""

    def __init__(self, call: Call, config: Config, saved: SavedDelegates, delegates: Delegates) -> None:
        self._call = call
        self._config = config
        self._saved = saved
        self._delegates = delegates

    def run(self) -> None:
        """Detaches one network, or everything. Raises Failure naming all failed delegates, which stay saved."""
        network = self._call.arg("K8S_POD_NETWORK")
        kept = [each for each in self._saved.delegates if not network or identity(each) == network]
        if not network and all(map(identity, kept)):
            kept.insert(0, self._config.master)  # its DEL is idempotent, and the saved state may have been lost
        # The default interface goes last, whatever its position in a file of Kaloom's kactus.
        kept.sort(key=lambda delegate: bool(identity(delegate)))
        outcomes = [(delegate, self._detach(delegate)) for delegate in reversed(kept)]
        # In a single write: a full disk then cannot block the last ones.
        self._saved.drop(*(delegate for delegate, fault in outcomes if fault is None))
        faults = [fault for _, fault in outcomes if fault is not None]
        if faults:
            raise Failure(faults[0].code if len(faults) == 1 else INTERNAL, "; ".join(map(str, faults)))

    def _detach(self, delegate: Json) -> CniError | None:
        ifname = str(delegate.get(IFNAME) or ifname_of(delegate, self._call.ifname))
        try:
            self._delegates.delete(delegate, ifname, self._netns(), lambda: self._today(delegate))
        except CniError as fault:
            log("error", f"{self._call.container_id[:12]}: detaching {ifname}: {fault}")
            return fault
        log("info", f"{self._call.container_id[:12]}: detached {ifname} ({identity(delegate) or 'default'})")
        return None

    def _today(self, delegate: Json) -> Json | None:
        if not identity(delegate) and DEFINITION not in delegate:
            return self._config.master
        from podagent.kactus.networks import delegate_today  # noqa: PLC0415 - DEL rarely needs it
        from podagent.kactus.pods import Cluster  # noqa: PLC0415
        from podagent.kactus.policy import definition_policy  # noqa: PLC0415

        read = Cluster(self._config.kubeconfig, pauses_s=()).definition
        return delegate_today(delegate, read, policy=definition_policy(self._call, self._config))

    def _netns(self) -> str:
        """The namespace, also if only the agent keeps it; "" if it is gone: plugins then only release addresses."""
        given = self._call.netns
        netns = given if given and is_there(given) else pinned(self._call.container_id)
        if netns:
            require_foreign(netns)
        return netns
