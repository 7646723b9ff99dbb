"""Shows whether an interface that the agent did not make was made by an ADD for the same network.

A pod with CAP_NET_ADMIN can make a link of any name. Only root's files and the plugins' own checks prove anything.
"""

from __future__ import annotations

from collections.abc import Callable

from podagent.cni.delegatefile import DIRECTORY, is_whole, read_delegates
from podagent.cni.runtime import CniRuntime
from podagent.errors import CniError, NetConfError, StoreError
from podagent.foreign import Json, lenient
from podagent.model import Record, Via
from podagent.netconf import NetConf
from podagent.resolve.metaplugins import attaches_on_request
from podagent.validate import is_cni_name

_LARGEST_FILE = 16 << 20


class AttachmentEvidence:
    """Looks at kactus's record, or runs CHECK."""

    def __init__(self, cni: CniRuntime, node_conf: Callable[[], NetConf]) -> None:
        """`node_conf`: reads the node's own configuration; raises NetConfError."""
        self._cni = cni
        self._node_conf = node_conf

    def result_of(self, record: Record) -> Json | None:
        """The result of the ADD, {} if it is unknown; None if nothing proves that there was one.

        Raises StoreError if kactus's record cannot be read.
        """
        kept = self._kept_by_kactus(record.sandbox_id, record.attachment.network)
        if kept is not None:
            return lenient(kept, "prevResult", dict)
        return {} if self._passes_check(record) else None

    def has_attached(self, sandbox_id: str, network: str) -> bool:
        """Whether the node's kactus has attached the network. Raises StoreError if its record cannot be read."""
        return self._kept_by_kactus(sandbox_id, network) is not None

    def _kept_by_kactus(self, sandbox_id: str, network: str) -> Json | None:
        """The delegate that the node's kactus, ours or Kaloom's, has attached for this network."""
        try:
            conf = self._node_conf()
        except NetConfError:
            return None
        if not attaches_on_request(conf) or not is_cni_name(sandbox_id):
            return None
        directory = conf.plugins[0].get("cniDir") or DIRECTORY
        for delegate in _delegates(f"{directory}/{sandbox_id}"):
            if delegate.get("networkName") == network and is_whole(delegate):
                return delegate
        return None

    def _passes_check(self, record: Record) -> bool:
        try:
            if record.via is Via.DELEGATE:
                return self._cni.check_ipam(record.invocation, record.target(record.netns.path))
            self._cni.check(record.invocation, record.target(record.netns.path), None)
        except (CniError, NetConfError):
            return False
        return not record.invocation.netconf.has_flag("disableCheck")


def _delegates(path: str) -> list[Json]:
    try:
        return read_delegates(path, _LARGEST_FILE)
    except (FileNotFoundError, ValueError):
        return []
    except OSError as fault:
        raise StoreError(f"cannot read {path}, kactus's record: {fault.strerror}") from None
