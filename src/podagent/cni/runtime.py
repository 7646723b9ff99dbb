"""The CNI runtime: ADD, DEL, CHECK, STATUS and GC of plugin chains (CNI SPEC, sections 3 and 4).

It is stateless. The caller keeps the result of ADD and passes it to DEL and CHECK: there is no result cache on disk,
since containerd and CRI-O delete all cached attachments of a sandbox in the shared directory, including foreign ones.
The caller also retries, rolls back, and serialises the operations of a container.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

from podagent import versions
from podagent.cni import invocation, leases, plugin, reply, result
from podagent.errors import CniError, NetConfError, PluginError, PluginNotRun
from podagent.foreign import Json, excerpt
from podagent.model import Invocation, Target, Unreleased
from podagent.netconf import NetConf

_PREVIOUS_RESULT_SINCE = "0.4.0"  # on DEL; CHECK exists since then
_STATUS_AND_GC_SINCE = "1.1.0"
_REFUSALS = (1, 2, 4, 6, 7)  # of the call itself, by the specification (section 5 "Error")


class CniRuntime:
    """Runs plugins. Thread-safe.

    Args:
        timeout_s: time limit per plugin run, in seconds.
        environ: the caller's environment; only ``PATH``, ``CNI_*`` and ``_CNI_LOGGING_*`` reach a plugin.
        on_stderr: called with (plugin type, text) if a successful plugin wrote to its standard error.
        on_slow: called with (plugin type, its environment, seconds) when a plugin has been at work for so long.
    """

    def __init__(
        self,
        timeout_s: float,
        environ: Mapping[str, str],
        on_stderr: Callable[[str, str], None],
        on_slow: Callable[[str, Mapping[str, str], float], None] = lambda *_: None,
    ) -> None:
        self._timeout_s = timeout_s
        self._environ = invocation.inherited(environ)
        self._on_stderr = on_stderr
        self._on_slow = on_slow

    def add(self, call: Invocation, target: Target) -> Json:
        """Runs ADD for the whole list, in order: each plugin gets the result of the previous one as ``prevResult``.

        It does not roll back: after a failure the caller must run DEL.

        Returns:
            The result of the last plugin, with its ``cniVersion``.

        Raises:
            NetConfError: the list's version is unknown; nothing was run.
            CallRefused: an argument is invalid; nothing was run.
            PluginNotRun: a plugin is missing; nothing was run.
            PluginError: a plugin failed.
        """
        conf_version, env, found = self._prepared(call, target)
        latest: Json | None = None
        for conf, executable in found:
            stdin = invocation.attachment_stdin(call.netconf, conf, latest, call.capability_args)
            try:
                ended = self._run(conf["type"], executable, env, stdin)
            except PluginNotRun as fault:
                if latest is None:
                    raise
                raise PluginError(fault.plugin, fault.message, fault.code, fault.details) from None
            latest = reply.add_result(conf["type"], ended.stdout, conf_version)
        if latest is None:
            raise NetConfError(f"network {call.netconf.name}: no plugins")
        return latest

    def require_addable(self, call: Invocation, target: Target) -> None:
        """Raises the errors with which `add` would refuse to run anything: NetConfError, CallRefused, PluginNotRun."""
        self._prepared(call, target)

    def delete(self, call: Invocation, target: Target, added: Json | None) -> None:
        """Runs DEL for the whole list, in reverse order: each plugin gets the final result of ADD (from 0.4.0 on).

        Args:
            added: the result of `add`; None if it did not end or is unknown.

        Raises:
            PluginError: a plugin failed or is missing; plugins before it in the list were not run.
        """
        previous = _previous_for_delete(call.netconf, added)
        env = self._attachment_env("DEL", call, target)
        for conf in reversed(call.netconf.plugins):
            stdin = invocation.attachment_stdin(call.netconf, conf, previous, call.capability_args)
            self._require(conf["type"], call.path, env, stdin)

    def release(
        self, call: Invocation, target: Target, added: Json | None, positions: Collection[int] = ()
    ) -> tuple[Unreleased, ...]:
        """Runs DEL like `delete`, but goes on after a failure: each plugin holds resources of its own.

        The IPAM plugin gets its DEL directly if its caller failed, and after each DEL without a namespace.

        Args:
            added: as for `delete`.
            positions: of the plugins to run, in the list; empty for all.

        Returns:
            The plugins that failed.

        Raises:
            CallRefused: an argument is invalid; nothing was run.
        """
        previous = _previous_for_delete(call.netconf, added)
        env = self._attachment_env("DEL", call, target)
        failed = []
        plugins = [*enumerate(call.netconf.plugins)]
        # None of them: nothing that was not run may count as released.
        chosen = [each for each in plugins if each[0] in positions] or plugins
        for position, conf in reversed(chosen):
            stdin = invocation.attachment_stdin(call.netconf, conf, previous, call.capability_args)
            try:
                self._require(conf["type"], call.path, env, stdin)
            except PluginError as fault:
                lease, ran = self._release_address(call, conf, target, env, stdin)
                failed.append(Unreleased(position, fault, lease, ran))
            else:
                if not target.netns:  # some plugins, as host-device, then end before IPAM's DEL
                    self._release_address(call, conf, target, env, stdin)
        return tuple(failed)

    def check(self, call: Invocation, target: Target, added: Json | None) -> None:
        """Runs CHECK for the whole list, in order.

        Does nothing if ``disableCheck`` is set.

        Raises:
            NetConfError: the list's version has no CHECK (before 0.4.0).
            PluginError: a plugin found a difference, failed or is missing; or `added` is malformed.
        """
        netconf = call.netconf
        if not netconf.at_least(_PREVIOUS_RESULT_SINCE):
            raise NetConfError(f"network {netconf.name}: CNI version {netconf.version} has no CHECK")
        if netconf.has_flag("disableCheck"):
            return
        previous = None if added is None else _in_version_of(netconf, added)
        env = self._attachment_env("CHECK", call, target)
        for conf in netconf.plugins:
            stdin = invocation.attachment_stdin(netconf, conf, previous, call.capability_args)
            self._require(conf["type"], call.path, env, stdin)

    def check_ipam(self, call: Invocation, target: Target) -> bool:
        """Runs CHECK of the IPAM plugins alone, which need no result.

        Returns:
            Whether there is one, and each has assigned an address to the attachment.
        """
        if not call.netconf.at_least(_PREVIOUS_RESULT_SINCE):
            return False
        env = self._attachment_env("CHECK", call, target)
        assigning = [conf for conf in call.netconf.plugins if (conf.get("ipam") or {}).get("type")]
        try:
            for conf in assigning:
                stdin = invocation.attachment_stdin(call.netconf, conf, None, call.capability_args)
                self._require(conf["ipam"]["type"], call.path, env, stdin)
        except PluginError:
            return False
        return bool(assigning)

    def status(self, call: Invocation) -> None:
        """Runs STATUS for every plugin. Does nothing before version 1.1.0.

        Raises:
            PluginError: from the first plugin that is not ready (code 50 or 51), failed or is missing.
        """
        if not call.netconf.at_least(_STATUS_AND_GC_SINCE):
            return
        env = self._node_env("STATUS", call)
        for conf in call.netconf.plugins:
            self._require(conf["type"], call.path, env, invocation.status_stdin(call.netconf, conf))

    def gc(self, call: Invocation, valid: Iterable[Target]) -> None:
        """Runs GC for every plugin: they release everything of this network except for `valid`.

        Does nothing before version 1.1.0 or if ``disableGC`` is set. The caller must first run DEL for attachments that
        it knows to be stale.

        Raises:
            CniError: some plugins failed; the others were run all the same.
        """
        if call.netconf.has_flag("disableGC") or not call.netconf.at_least(_STATUS_AND_GC_SINCE):
            return
        env = self._node_env("GC", call)
        staying = tuple(valid)
        faults: list[PluginError] = []
        for conf in call.netconf.plugins:
            try:
                self._require(conf["type"], call.path, env, invocation.gc_stdin(call.netconf, conf, staying))
            except PluginError as fault:  # noqa: PERF203 - each plugin holds its own resources
                faults.append(fault)
        _raise_all(faults)

    def _release_address(
        self, call: Invocation, conf: Json, target: Target, env: Mapping[str, str], stdin: bytes
    ) -> tuple[str, bool]:
        """Where an address may stay reserved, "" if none does; and whether IPAM could be run."""
        ipam = conf.get("ipam") or {}
        if not ipam.get("type"):
            return "", True
        try:
            self._require(ipam["type"], call.path, env, stdin)
        except PluginError as fault:
            runs = not isinstance(fault, PluginNotRun) and fault.code not in _REFUSALS
            return leases.reserved(ipam, call.netconf.name, target), runs
        return "", True

    def _prepared(self, call: Invocation, target: Target) -> tuple[str, dict[str, str], list[tuple[Json, str]]]:
        """The version, the environment, and the plugins with their executables for ADD."""
        version, env = _known_version(call.netconf), self._attachment_env("ADD", call, target)
        return version, env, [(conf, plugin.find(conf["type"], call.path)) for conf in call.netconf.plugins]

    def _attachment_env(self, command: str, call: Invocation, target: Target) -> dict[str, str]:
        variables = invocation.attachment_variables(command, target, call.args, call.path, call.netconf.name)
        return {**self._environ, **variables}

    def _node_env(self, command: str, call: Invocation) -> dict[str, str]:
        return {**self._environ, **invocation.node_variables(command, call.path, call.netconf.name)}

    def _require(self, plugin_type: str, path: Sequence[str], env: Mapping[str, str], stdin: bytes) -> None:
        self._run(plugin_type, plugin.find(plugin_type, path), env, stdin)

    def _run(self, plugin_type: str, executable: str, env: Mapping[str, str], stdin: bytes) -> reply.Ended:
        try:
            slow = partial(self._on_slow, plugin_type, env, plugin.SLOW_AFTER_S)
            ended = plugin.run(executable, env, stdin, self._timeout_s, plugin_type, on_slow=slow)
        except OSError as fault:
            raise PluginError(plugin_type, f"was killed, because it could not be attended: {fault.strerror}") from None
        reply.require_success(plugin_type, ended)
        if ended.stderr.strip():
            self._on_stderr(plugin_type, excerpt(ended.stderr))
        if ended.abandoned_child:
            self._on_stderr(plugin_type, "left a process behind that held its output; its process group was killed")
        return ended


def _known_version(netconf: NetConf) -> str:
    """The list's version if its results are supported; checked before a plugin creates anything."""
    if netconf.version not in versions.KNOWN:
        known = ", ".join(versions.KNOWN)
        raise NetConfError(f"network {netconf.name}: 'cniVersion' {netconf.version[:40]!r} is not one of {known}")
    return netconf.version


def _in_version_of(netconf: NetConf, added: Json) -> Json:
    """Converts the kept result to the list's version: that may have changed, or a plugin printed another one."""
    last = str(netconf.plugins[-1]["type"])
    return result.convert(result.checked(added, netconf.version, last), netconf.version, last)


def _previous_for_delete(netconf: NetConf, added: Json | None) -> Json | None:
    if added is None or not netconf.at_least(_PREVIOUS_RESULT_SINCE):
        return None
    try:
        return _in_version_of(netconf, added)
    except PluginError:
        # An unreadable result must not block DEL: plugins must handle DEL without it.
        return None


def _raise_all(faults: Sequence[PluginError]) -> None:
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise CniError("; ".join(map(str, faults)))
