"""DEL and GC, from saved state only: without API server, definition, pod or network namespace."""

from __future__ import annotations

from typing import NamedTuple

from podagent.cni.delegatefile import ADDING, LEFT
from podagent.errors import CniError
from podagent.foreign import Json
from podagent.kactus.call import Call
from podagent.kactus.config import Config
from podagent.kactus.delegates import Delegates, ifname_of
from podagent.kactus.failure import INTERNAL, Failure
from podagent.kactus.links import Look, is_there, pinned, require_foreign
from podagent.kactus.log import log
from podagent.kactus.state import DEFINITION, FAILURES, IFNAME, SavedDelegates, identity


class _Failed(NamedTuple):
    """A delegate whose DEL failed, and the form in which it stays saved."""

    error: CniError
    kept: Json


class Detaching:
    """One DEL. The caller holds the container's lock through `saved`."""

    def __init__(self, call: Call, config: Config, saved: SavedDelegates, delegates: Delegates, look: Look) -> None:
        self._call = call
        self._config = config
        self._saved = saved
        self._delegates = delegates
        self._look = look

    def run(self) -> None:
        """Detaches one network, or everything. Raises Failure naming all failed delegates, which stay saved."""
        network = self._call.arg("K8S_POD_NETWORK")
        kept = [each for each in self._saved.delegates if not network or identity(each) == network]
        if not network and all(map(identity, kept)):
            # Its DEL is idempotent. Saved state may have been lost: whether its ADD succeeded is not known.
            kept.insert(0, {**self._config.master, ADDING: True})
        # The default interface goes last, whatever its position in a file of Kaloom's kactus.
        kept.sort(key=lambda delegate: bool(identity(delegate)))
        outcomes = [(delegate, self._detach(delegate)) for delegate in reversed(kept)]
        failed = [outcome for _, outcome in outcomes if outcome is not None]
        # In a single write: a full disk then cannot block the last ones.
        gone = [delegate for delegate, outcome in outcomes if outcome is None]
        self._saved.drop(*gone, changed=[each.kept for each in failed])
        if failed:
            code = failed[0].error.code if len(failed) == 1 else INTERNAL
            raise Failure(code, "; ".join(str(each.error) for each in failed))

    def _detach(self, delegate: Json) -> _Failed | None:
        ifname = str(delegate.get(IFNAME) or ifname_of(delegate, self._call.ifname))
        kept = delegate
        try:
            netns = self._netns()
            kept = {LEFT: [], **delegate, FAILURES: _failures(delegate) + 1}
            if LEFT in delegate or not netns:
                failed = self._release(delegate, ifname, netns)
            else:
                self._delegates.delete(delegate, ifname, netns, lambda: self._today(delegate))
                failed = None
        except CniError as fault:
            failed = _Failed(fault, kept)
        self._log_end(delegate, ifname, failed)
        return failed

    def _release(self, delegate: Json, ifname: str, netns: str) -> _Failed | None:
        """A DEL that failed before, or without a namespace: see `decide.endings`."""
        positions = delegate.get(LEFT) or []
        failed = self._delegates.release(delegate, ifname, netns, lambda: self._today(delegate), positions)
        if not failed:
            return None
        from podagent.decide.endings import error_of, may_end, remains  # noqa: PLC0415 - DEL seldom fails

        attached = ADDING not in delegate
        if (not netns or ifname not in self._look(netns)) and may_end(
            failed, attached=attached, failures=_failures(delegate), alone=bool(positions)
        ):
            log("error", f"{self._call.container_id[:12]}: {ifname}: {remains(failed, attached=attached)}")
            return None
        left = [each.position for each in failed]
        return _Failed(error_of(failed), {**delegate, LEFT: left, FAILURES: _failures(delegate) + 1})

    def _log_end(self, delegate: Json, ifname: str, failed: _Failed | None) -> None:
        container = self._call.container_id[:12]
        if failed is None:
            log("info", f"{container}: detached {ifname} ({identity(delegate) or 'default'})")
        else:
            log("error", f"{container}: detaching {ifname}: {failed.error}")

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
        netns = given if given and is_there(given) else ""
        if not netns and not self._call.arg("K8S_POD_NETWORK"):
            netns = pinned(self._call.container_id)  # else the agent made the call: without a namespace on purpose
        if netns:
            require_foreign(netns)
        return netns


def _failures(delegate: Json) -> int:
    failures = delegate.get(FAILURES)
    return failures if type(failures) is int else 0
