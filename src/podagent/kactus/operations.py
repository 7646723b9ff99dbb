"""The CNI commands, one function each. They hold the container's lock; other modules do the work."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from podagent import versions
from podagent.cni.delegatefile import ADDING
from podagent.errors import CniError
from podagent.foreign import Json
from podagent.kactus.call import Call
from podagent.kactus.config import read_config
from podagent.kactus.delegates import Delegates, called_by_itself, ifname_of
from podagent.kactus.failure import INCOMPATIBLE_VERSION, INTERNAL, INVALID_CONFIG, NOT_AVAILABLE, Failure
from podagent.kactus.links import Look, link_names, require_foreign
from podagent.kactus.state import IFNAME, SavedDelegates, containers, identity
from podagent.model import Target

_DEFAULT_IFNAME = "eth0"
_STATUS_AND_GC_SINCE = "1.1.0"
_CHECK_SINCE = "0.4.0"


def add(call: Call, look: Look = link_names) -> Json:
    """ADD: attaches all networks of a pod at its start, or the named one."""
    from podagent.kactus.attaching import Attaching  # noqa: PLC0415 - not needed for DEL
    from podagent.kactus.pods import Cluster  # noqa: PLC0415

    config, delegates = read_config(call.conf), Delegates(call)
    with SavedDelegates(config.cni_dir, call.container_id) as saved:
        return Attaching(call, config, saved, delegates, Cluster(config.kubeconfig), look).run()


def delete(call: Call, look: Look = link_names) -> None:
    """DEL: detaches all networks of the container, or the named one."""
    from podagent.kactus.detaching import Detaching  # noqa: PLC0415

    config = read_config(call.conf)
    if called_by_itself(call.container_id):
        return  # its ADD was rejected: nothing is attached
    delegates = Delegates(call)
    with SavedDelegates(config.cni_dir, call.container_id) as saved:
        Detaching(call, config, saved, delegates, look).run()


def check(call: Call, look: Look = link_names) -> None:
    """CHECK: verifies that the interfaces exist, and have every delegate check its own."""
    _require_version(call, _CHECK_SINCE)
    config = read_config(call.conf)
    require_foreign(call.netns)
    network = call.arg("K8S_POD_NETWORK")
    with SavedDelegates(config.cni_dir, call.container_id) as saved:
        kept = [each for each in saved.delegates if not network or identity(each) == network]
        if not kept:
            raise Failure(INTERNAL, f"{network or 'the container'} is not attached")
        links = look(call.netns)
        for delegate in kept:
            ifname = ifname_of(delegate, call.ifname)
            if ADDING in delegate:
                raise Failure(INTERNAL, f"interface {ifname}: the call that attached it was interrupted")
            if ifname not in links:
                raise Failure(INTERNAL, f"interface {ifname} is not in the pod")
            Delegates(call).check(delegate, ifname)


def collect(call: Call) -> None:
    """GC: detaches all networks of containers that the runtime no longer lists."""
    from podagent.kactus.detaching import Detaching  # noqa: PLC0415

    _require_version(call, _STATUS_AND_GC_SINCE)
    config = read_config(call.conf)
    valid = _valid_attachments(call.conf)
    alive = {target.container_id for target in valid}
    faults: list[CniError] = []
    for container_id in containers(config.cni_dir):
        if container_id in alive:
            continue
        one = call._replace(container_id=container_id, netns="", ifname=_DEFAULT_IFNAME, args=())
        try:
            with SavedDelegates(config.cni_dir, container_id) as saved:
                master = next((each for each in saved.delegates if not identity(each)), {})
                named = one._replace(ifname=str(master.get(IFNAME) or _DEFAULT_IFNAME))
                Detaching(named, config, saved, Delegates(named), link_names).run()
        except CniError as fault:
            faults.append(fault)
    try:
        Delegates(call).collect(config.master, valid)
    except CniError as fault:
        faults.append(fault)
    if faults:
        raise Failure(INTERNAL, "; ".join(map(str, faults)))


def status(call: Call) -> None:
    """STATUS: reports whether ADD could succeed now, according to the master delegate (codes 50, 51)."""
    _require_version(call, _STATUS_AND_GC_SINCE)
    config = read_config(call.conf)
    try:
        Delegates(call).status(config.master)
    except CniError as fault:
        code = fault.code if fault.code in (NOT_AVAILABLE, NOT_AVAILABLE + 1) else NOT_AVAILABLE
        raise Failure(code, str(fault)) from None


def _require_version(call: Call, since: str) -> None:
    if not versions.at_least(call.cni_version, since):
        raise Failure(INCOMPATIBLE_VERSION, f"CNI version {call.cni_version} has no {call.command}")


def _valid_attachments(conf: Json) -> list[Target]:
    listed = conf.get("cni.dev/valid-attachments", conf.get("cni.dev/attachments"))
    if not isinstance(listed, list):
        raise Failure(INVALID_CONFIG, "GC: the configuration has no cni.dev/valid-attachments")
    try:
        return [Target(str(each["containerID"]), "", str(each["ifname"])) for each in listed]
    except (TypeError, KeyError):
        raise Failure(INVALID_CONFIG, "GC: cni.dev/valid-attachments is malformed") from None


OPERATIONS: Mapping[str, Callable[[Call], Json | None]] = {
    "ADD": add,
    "DEL": delete,
    "CHECK": check,
    "GC": collect,
    "STATUS": status,
}
