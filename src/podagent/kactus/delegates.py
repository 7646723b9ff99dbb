"""Runs one delegate: converts its saved configuration to the plugin's. Stateless."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress

from podagent.cni.delegatefile import ADDING
from podagent.cni.runtime import CniRuntime
from podagent.decide.dialects.kaloom_names import interface_name, mac_args
from podagent.errors import CallRefused, CniError, NetConfError
from podagent.foreign import Json
from podagent.kactus.call import Call
from podagent.kactus.failure import INVALID_CONFIG, Failure
from podagent.kactus.lock import MARK
from podagent.kactus.log import log
from podagent.kactus.state import OWN_PREFIX, identity, pod_uid
from podagent.model import Invocation, Target, Unreleased
from podagent.netconf import NetConf, parse

_PREVIOUS = "prevResult"
_DELEGATE_TIMEOUT_S = 120.0
_OF_DEFAULT_INTERFACE = ("IP", "MAC")
_DYNAMIC = ("K8S_POD_NETWORK", "K8S_POD_NETWORK_NAMESPACE", "K8S_POD_IFMAC", "IgnoreUnknown")

Today = Callable[[], "Json | None"]
"""Reads the current form of the delegate; None if it is unavailable."""


class Delegates:
    """Runs delegates for one call. Raises Failure if one of these delegates made the call."""

    def __init__(self, call: Call, environ: Mapping[str, str] = os.environ) -> None:
        self._call = call
        self._runtime = _runtime_for(call.container_id, environ)

    def require_addable(self, delegate: Json, ifname: str, mac: str | None) -> None:
        """Raises CallRefused or PluginNotRun if `add` would run nothing."""
        with _refusals():
            self._runtime.require_addable(self._call_of(delegate, mac), self._target(ifname, self._call.netns))

    def add(self, delegate: Json, ifname: str, mac: str | None) -> Json:
        """ADD; returns the delegate's result. Raises CniError; CallRefused or PluginNotRun only if nothing was run."""
        with _refusals():
            return self._runtime.add(self._call_of(delegate, mac), self._target(ifname, self._call.netns))

    def delete(self, delegate: Json, ifname: str, netns: str, today: Today) -> None:
        """DEL with the saved configuration; if that fails, with the current one (`today`). Raises CniError."""
        netconf = self._netconf(delegate)
        call, target = self._invocation(delegate, netconf, None), self._target(ifname, netns)
        try:
            self._runtime.delete(call, target, _result(delegate))
        except CniError:
            corrected = self._corrected(delegate, netconf, today)
            if corrected is None:
                raise
            self._runtime.delete(call._replace(netconf=corrected), target, None)

    def release(
        self, delegate: Json, ifname: str, netns: str, today: Today, positions: Collection[int]
    ) -> tuple[Unreleased, ...]:
        """As `delete`, but every plugin at these positions, by default each, gets its DEL. Returns those that failed.

        Raises CniError if none was run.
        """
        netconf = self._netconf(delegate)
        call, target = self._invocation(delegate, netconf, None), self._target(ifname, netns)
        failed = self._runtime.release(call, target, _result(delegate), positions)
        corrected = self._corrected(delegate, netconf, today) if failed else None
        if corrected is not None and not self._runtime.release(call._replace(netconf=corrected), target, None):
            return ()
        return failed

    def moves_links(self, delegate: Json) -> bool:
        """Whether ADD moves a device of the host. Raises CallRefused."""
        from podagent.resolve.reach import moves_links  # noqa: PLC0415 - DEL does not need it

        return moves_links(self._netconf(delegate))

    def check(self, delegate: Json, ifname: str) -> None:
        """CHECK, if the delegate's version supports it and its result is known. Raises CniError."""
        previous = _result(delegate)
        if previous is None:
            return
        try:
            call = self._call_of(delegate)
            self._runtime.check(call, self._target(ifname, self._call.netns), previous)
        except NetConfError:
            return  # a version without CHECK

    def status(self, delegate: Json) -> None:
        """STATUS. Raises CniError."""
        self._runtime.status(self._call_of(delegate))

    def collect(self, delegate: Json, valid: list[Target]) -> None:
        """GC. Raises CniError."""
        self._runtime.gc(self._call_of(delegate), valid)

    def _corrected(self, delegate: Json, netconf: NetConf, today: Today) -> NetConf | None:
        from podagent.resolve.corrected import instead_of  # noqa: PLC0415 - DEL seldom fails

        return instead_of(netconf, lambda: self._netconf_of(today()), attached=ADDING not in delegate)

    def _target(self, ifname: str, netns: str) -> Target:
        return Target(self._call.container_id, netns, ifname)

    def _call_of(self, delegate: Json, mac: str | None = None) -> Invocation:
        return self._invocation(delegate, self._netconf(delegate), mac)

    def _invocation(self, delegate: Json, netconf: NetConf, mac: str | None) -> Invocation:
        capabilities = None if identity(delegate) else self._call.conf.get("runtimeConfig")
        offered = dict(capabilities) if isinstance(capabilities, dict) else {}
        if mac:
            offered["mac"] = mac
        return Invocation(netconf, self._call.path, self._args(delegate, mac), offered)

    def _netconf(self, delegate: Json) -> NetConf:
        """Raises CallRefused."""
        named = {**_shown(delegate), "name": delegate.get("name") or identity(delegate) or self._call.conf["name"]}
        with _refusals():
            return parse(named, f"delegate {delegate.get('networkName') or delegate.get('type')}")

    def _netconf_of(self, delegate: Json | None) -> NetConf | None:
        try:
            return None if delegate is None else self._netconf(delegate)
        except CallRefused:
            return None  # the failure of DEL is the one to report

    def _args(self, delegate: Json, mac: str | None) -> tuple[tuple[str, str], ...]:
        one_of_many = identity(delegate) and not self._call.arg("K8S_POD_NETWORK")
        left_out = (*_DYNAMIC, *_OF_DEFAULT_INTERFACE) if one_of_many else _DYNAMIC
        uid = pod_uid(delegate)
        known = {**({"K8S_POD_UID": uid} if uid else {}), **dict(self._call.args)}
        kept = [(key, value) for key, value in known.items() if key not in left_out]
        return (("IgnoreUnknown", "1"), *kept, *mac_args(mac))


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except NetConfError as fault:
        raise CallRefused(str(fault), INVALID_CONFIG) from None


def _result(delegate: Json) -> Json | None:
    previous = delegate.get(_PREVIOUS)
    return previous if isinstance(previous, dict) else None


def _shown(delegate: Json) -> Json:
    """The configuration without our own keys."""
    return {key: value for key, value in delegate.items() if key != _PREVIOUS and not key.startswith(OWN_PREFIX)}


def ifname_of(delegate: Json, default: str) -> str:
    """The interface of a delegate: the default one for the master, else the network's hashed name."""
    network = identity(delegate)
    return interface_name(network) if network else default


def called_by_itself(container_id: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a delegate of the same container made this call, whose parent would wait for it forever."""
    return bool(container_id) and environ.get(MARK) == container_id


def _runtime_for(container_id: str, environ: Mapping[str, str]) -> CniRuntime:
    if called_by_itself(container_id, environ):
        raise Failure(INVALID_CONFIG, "kactus called itself: a delegate or a network definition refers to it")
    return CniRuntime(_DELEGATE_TIMEOUT_S, {**environ, MARK: container_id}, _pass_on)


def _pass_on(plugin: str, text: str) -> None:
    log("info", f"delegate {plugin} wrote to stderr: {text}")
    with suppress(OSError):
        os.write(2, f"CNI plugin {plugin}: {text}\n".encode())
