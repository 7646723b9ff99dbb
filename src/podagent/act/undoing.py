"""Undoes one attachment: DEL, then the link by its index, then the record. It does not decide when.

A link is what its index says: a workload may rename it, put another one under its name, or move it to a namespace of
its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import count

from podagent.act.ownership import may_be_the_hosts, may_move_to_host, name_of
from podagent.act.ports import Cni, HostEnds, Namespaces, Netns, Records
from podagent.decide.endings import error_of, may_end, remains
from podagent.errors import InterfaceLeft, NetnsGone, NetnsUnavailable
from podagent.model import Invocation, Link, Phase, Record, Unreleased, Via, host_interfaces


class Undoing:
    """One operation at a time per pod; different pods in parallel."""

    def __init__(
        self,
        namespaces: Namespaces,
        ends: HostEnds,
        cni: Cni,
        records: Records,
        await_orphans: Callable[[str, str, float], object],
        boot_id: str,
        plugin_timeout_s: float = 120.0,
    ) -> None:
        """
        Args:
            ends: the host's ends of links.
            await_orphans: called with container ID, interface name and `plugin_timeout_s`; waits for plugin processes
                that a previous process of the agent left running on that attachment.
            boot_id: ID of the current boot.
            plugin_timeout_s: time limit per plugin run, in seconds.
        """
        self._namespaces = namespaces
        self._ends = ends
        self._cni = cni
        self._records = records
        self._await_orphans = await_orphans
        self._boot_id = boot_id
        self._plugin_timeout_s = plugin_timeout_s

    def undo(self, record: Record, call: Invocation | None = None, moved: Collection[str] | None = None) -> str:
        """Runs DEL and removes the record. If it raises, the record stays as DETACHING.

        The first DEL halts at the first plugin that fails. A later one, or one without sandbox, asks the others too;
        then only those that failed are retried.

        Args:
            record: the attachment.
            call: replaces the recorded invocation.
            moved: MAC addresses of the devices that ADD may have moved from the host, None if that is unknown.

        Returns:
            What went otherwise than usual, "" if nothing did.

        Raises:
            PodagentError: DEL failed, or the interface still exists.
        """
        if record.phase is not Phase.ATTACHED:
            # Only these phases can stem from a process that was killed while a plugin was running.
            self._await_orphans(record.sandbox_id, record.attachment.ifname, self._plugin_timeout_s)
        if record.phase is not Phase.DETACHING:
            # Whatever became of the disk, the interface and its address can be released.
            self._records.keep(record._replace(phase=Phase.DETACHING))
        remark = self._delete(record, call, moved)
        self._records.remove(record)
        return remark

    def runs(self, record: Record) -> bool:
        """Whether the sandbox of a record runs. Raises NetnsUnavailable."""
        return record.boot_id == self._boot_id and self._namespaces.runs(record.netns)

    def is_there(self, record: Record, links: Mapping[str, Link]) -> bool:
        """Whether the attachment's link is among those of its namespace, or was moved to another one."""
        return bool(name_of(record, links)) or self._has_end(record)

    def _delete(self, record: Record, call: Invocation | None, moved: Collection[str] | None) -> str:
        with self._reopened(record) as netns:
            path = self._path_for_plugins(record, netns, moved)
            if path and record.phase is not Phase.DETACHING and self.runs(record):
                self._cni.delete(call or record.invocation, record.target(path), record.result)
            elif failed := self._release(record, call, path):
                return self._end_or_raise(record, netns, failed, remember=call is None)
            return self._remove_link_left(record, netns) if path or record.ifindex else ""

    @contextmanager
    def _reopened(self, record: Record) -> Iterator[Netns | None]:
        """The namespace of the attachment, None if it is gone, or if it must not be touched."""
        with ExitStack() as stack:
            netns = None
            # Some were recorded by a version that adopted without proof.
            if record.boot_id == self._boot_id and not (record.adopted and may_move_to_host(record)):
                with suppress(NetnsGone):
                    netns = stack.enter_context(self._namespaces.reenter(record.netns, record.sandbox_id))
            yield netns

    def _path_for_plugins(self, record: Record, netns: Netns | None, moved: Collection[str] | None) -> str:
        """The namespace for plugins that find the link by its name. "" if they must not find another one's link."""
        if netns is None:
            return ""
        links, usual = netns.links(), record.attachment.ifname
        if not record.ifindex:
            foreign = moved is not None and usual in links and links[usual].mac not in moved
            return "" if foreign else netns.path
        name = name_of(record, links)
        if name == usual:
            return netns.path
        if may_be_the_hosts(record):
            if not name:
                return ""  # whatever goes by its name, as another name of a link too, is not it
            self._give_name_back(record, netns, name, links)
        elif usual in links:
            return ""
        elif name:
            with suppress(NetnsUnavailable):  # then it is removed by its index
                netns.rename(name, usual)
        return netns.path

    def _give_name_back(self, record: Record, netns: Netns, name: str, links: Mapping[str, Link]) -> None:
        """Has the plugin find a device of the host by its name, and nothing else. Raises InterfaceLeft."""
        usual, runs = record.attachment.ifname, self.runs(record)
        if usual in links and not runs:
            netns.rename(usual, next(free for number in count() if (free := f"was-{number}") not in links))
        try:
            netns.rename(name, usual)
        except NetnsUnavailable as error:
            what = f"its link is now {name}, and cannot be named {usual} again: {error}"
            raise InterfaceLeft(f"{what}; rename or remove the link of that name") from None

    def _release(self, record: Record, call: Invocation | None, path: str) -> Sequence[Unreleased]:
        positions = record.left if call is None else ()
        return self._cni.release(call or record.invocation, record.target(path), record.result, positions)

    def _end_or_raise(
        self, record: Record, netns: Netns | None, failed: Sequence[Unreleased], *, remember: bool
    ) -> str:
        attached = record.result is not None or bool(record.ifindex) or record.adopted
        failures = max(record.failures, int(record.phase is Phase.DETACHING))
        if self._is_rid_of_link(record, netns) and may_end(
            failed, attached=attached, failures=failures, alone=bool(record.left)
        ):
            return remains(failed, attached=attached)
        if remember:
            left = tuple(each.position for each in failed)
            self._records.keep(record._replace(phase=Phase.DETACHING, left=left, failures=failures + 1))
        raise error_of(failed)

    def _is_rid_of_link(self, record: Record, netns: Netns | None) -> bool:
        """Whether certainly no link is left. That of a sandbox that has ended is removed, as its namespace would be."""
        if record.via is not Via.DELEGATE or (record.result is not None and not record.ifindex):
            return False  # only the system plugin can tell; nothing shows (vhost-user and the like)
        if netns and record.ifindex and not self.runs(record) and not may_move_to_host(record):
            with suppress(NetnsUnavailable):  # a physical device returns to the host with the namespace
                netns.remove(record.ifindex)
            return True
        links = netns.links() if netns and netns.intact() else {}
        return record.attachment.ifname not in links if not record.ifindex else not self.is_there(record, links)

    def _remove_link_left(self, record: Record, netns: Netns | None) -> str:
        """Removes a link that DEL has left. Raises InterfaceLeft if that must not be done."""
        if netns is None or not netns.intact():
            return ""
        links, usual = netns.links(), record.attachment.ifname
        name = name_of(record, links) if record.ifindex else usual if usual in links else ""
        if name and not record.ifindex and not may_move_to_host(record) and not self.runs(record):
            return ""  # it ends with the namespace, whatever it is
        if name and (not record.ifindex or may_be_the_hosts(record)):
            raise InterfaceLeft(f"DEL reported success, but {name} is still there")
        if name:
            netns.remove(links[name].ifindex)
        if self._has_end(record):  # a workload that hides its link may have made another one with its index
            self._ends.remove(record.peer)
            return "DEL left the link, which is in another network namespace: it was removed with its end on the host"
        return f"DEL left the link, named {name} now: it was removed by its index" if name else ""

    def _has_end(self, record: Record) -> bool:
        """Whether the host has the other end of the link, which the pod's namespace may lack."""
        return bool(record.peer) and self._ends.is_there(record.peer, host_interfaces(record.result))
