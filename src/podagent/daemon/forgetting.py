"""`podagent forget`: removes records of the agent, in a process of its own. Detaches nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from podagent.errors import SettingsError, StoreError
from podagent.foreign import Json
from podagent.model import Record, Target
from podagent.state.cluster import ClusterFile
from podagent.state.directory import LOCKS, StateDirectory
from podagent.state.store import Store

Reserved = Callable[[Json, str, Target], str]
"""Where an address may be reserved, in words, by an IPAM configuration, the network's name, and the attachment."""


def forget_cluster(state_dir: Path) -> str:
    """Forgets which cluster this node belongs to. Returns the outcome in words. Raises StoreError."""
    remembered = ClusterFile(state_dir)
    return f"{remembered.path}: {'removed' if remembered.forget() else 'there is no cluster to forget'}"


def forget_attachment(
    state_dir: Path, namespace: str, pod: str, network: str, reserved: Reserved, locks: Path = LOCKS
) -> str:
    """Removes the records of a network of a pod, of all pods that had this name.

    Args:
        network: name of the network, or of the interface.
        reserved: see `Reserved`.
        locks: see `StateDirectory`.

    Returns:
        A warning about what may be left, a line for each record.

    Raises:
        SettingsError: there is no such record; the text has those of the pod.
        StoreError: the agent runs, or the state directory is unusable.
    """
    store = _opened(state_dir, locks)
    try:
        store.load()
        of_pod = [record for record in store.all() if (record.pod.namespace, record.pod.name) == (namespace, pod)]
        found = [record for record in of_pod if network in (record.attachment.network, record.attachment.ifname)]
        if not found:
            names = ", ".join(sorted(record.attachment.network for record in of_pod)) or "none"
            what = f"no record of network {network} of pod {namespace}/{pod}"
            raise SettingsError(f"{what}; its networks on record: {names}")
        for record in found:
            store.remove(record)
        return "\n".join(_left(record, reserved) for record in found)
    finally:
        store.close()


def _opened(path: Path, locks: Path) -> Store:
    if not path.is_dir():
        raise StoreError(f"state directory {path} does not exist: there is nothing to forget")
    try:
        return Store(StateDirectory(path, locks))
    except StoreError as error:
        raise StoreError(f"{error}; while an agent runs, its memory has the records: systemctl stop podagent") from None


def _left(record: Record, reserved: Reserved) -> str:
    pod, name, call = record.pod, record.attachment.ifname, record.invocation
    ipams = [plugin["ipam"] for plugin in call.netconf.plugins if (plugin.get("ipam") or {}).get("type")]
    places = filter(None, (reserved(ipam, call.netconf.name, record.target("")) for ipam in ipams))
    left = [f"interface {name} may still be in sandbox {record.sandbox_id[:12]}"]
    left += [f"an address may stay reserved {place}" for place in places]
    return f"forgot {record.attachment.network} of pod {pod}. Nothing was detached: {'; '.join(left)}"
