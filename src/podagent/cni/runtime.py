"""The CNI runtime: ADD, DEL, CHECK, STATUS and GC of plugin chains (CNI SPEC, sections 3 and 4).

It keeps nothing, in particular no result cache on disk: the caller keeps the result of ADD, and hands it to DEL and
CHECK (containerd and CRI-O delete every cached attachment of a sandbox they find in the shared directory, also foreign
ones). It neither retries nor rolls back, and does not serialise: never two operations for one container at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from podagent import versions
from podagent.cni import invocation, plugin, reply, result
from podagent.errors import CniError, NetConfError, PluginError, PluginNotRun
from podagent.foreign import Json, excerpt
from podagent.model import Invocation, Target
from podagent.netconf import NetConf

_PREVIOUS_RESULT_SINCE = "0.4.0"  # on DEL; CHECK exists since then
_STATUS_AND_GC_SINCE = "1.1.0"


class CniRuntime:
    """Runs plugins. Thread-safe: it holds settings only.

    Args:
        timeout_s: seconds that one plugin may take.
        environ: the caller's environment; only ``PATH``, ``CNI_*`` and ``_CNI_LOGGING_*`` reach a plugin.
        on_stderr: gets (plugin type, text) when a successful plugin printed something on its standard error.
    """

    def __init__(self, timeout_s: float, environ: Mapping[str, str], on_stderr: Callable[[str, str], None]) -> None:
        self._timeout_s = timeout_s
        self._environ = invocation.inherited(environ)
        self._on_stderr = on_stderr

    def add(self, call: Invocation, target: Target) -> Json:
        """ADD of the whole list, in order: each plugin gets the result of the one before.

        Nothing is undone when a plugin fails: a DEL has to follow.

        Returns:
            The last plugin's result as it printed it, with its ``cniVersion``.

        Raises:
            NetConfError: a version nobody knows; nothing was run.
            CallRefused: an argument is unusable; nothing was run.
            PluginNotRun: a plugin is missing; nothing was run.
            PluginError: a plugin failed.
        """
        conf_version = _known_version(call.netconf)
        env = self._attachment_env("ADD", call, target)
        found = [(conf, plugin.find(conf["type"], call.path)) for conf in call.netconf.plugins]
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

    def delete(self, call: Invocation, target: Target, added: Json | None) -> None:
        """DEL of the whole list: in reverse order, each plugin gets the final result of ADD (from 0.4.0 on).

        Args:
            added: what `add` returned; None when it never ended or is not known.

        Raises:
            PluginError: a plugin failed or is missing; those before it in the list were not asked.
        """
        previous = _previous_for_delete(call.netconf, added)
        env = self._attachment_env("DEL", call, target)
        for conf in reversed(call.netconf.plugins):
            stdin = invocation.attachment_stdin(call.netconf, conf, previous, call.capability_args)
            self._require(conf["type"], call.path, env, stdin)

    def check(self, call: Invocation, target: Target, added: Json | None) -> None:
        """CHECK of the whole list, in order: does the attachment still look as ADD left it?

        Returns without asking when the list says ``disableCheck``.

        Raises:
            NetConfError: the list's version has no CHECK (before 0.4.0).
            PluginError: a plugin found a difference, failed or is missing; `added` cannot be used.
        """
        netconf = call.netconf
        if not netconf.at_least(_PREVIOUS_RESULT_SINCE):
            raise NetConfError(f"network {netconf.name}: CNI version {netconf.version} has no CHECK")
        if netconf.says("disableCheck"):
            return
        previous = None if added is None else _in_version_of(netconf, added)
        env = self._attachment_env("CHECK", call, target)
        for conf in netconf.plugins:
            stdin = invocation.attachment_stdin(netconf, conf, previous, call.capability_args)
            self._require(conf["type"], call.path, env, stdin)

    def status(self, call: Invocation) -> None:
        """STATUS of every plugin: could an ADD be served now? Nothing is asked before version 1.1.0.

        Raises:
            PluginError: the first plugin that is not ready (code 50 or 51), failed or is missing.
        """
        if not call.netconf.at_least(_STATUS_AND_GC_SINCE):
            return
        env = self._node_env("STATUS", call)
        for conf in call.netconf.plugins:
            self._require(conf["type"], call.path, env, invocation.status_stdin(call.netconf, conf))

    def gc(self, call: Invocation, valid: Iterable[Target]) -> None:
        """GC of every plugin: they may drop all they hold for this network except for `valid`.

        Nothing is asked before version 1.1.0 or when the list says ``disableGC``. Attachments that the caller
        knows, and that are not valid any more, are its own to DEL.

        Raises:
            CniError: plugins failed; the others were asked all the same.
        """
        if call.netconf.says("disableGC") or not call.netconf.at_least(_STATUS_AND_GC_SINCE):
            return
        env = self._node_env("GC", call)
        staying = tuple(valid)
        faults: list[PluginError] = []
        for conf in call.netconf.plugins:
            try:
                self._require(conf["type"], call.path, env, invocation.gc_stdin(call.netconf, conf, staying))
            except PluginError as fault:  # noqa: PERF203 - each plugin holds something of its own
                faults.append(fault)
        _raise_all(faults)

    def _attachment_env(self, command: str, call: Invocation, target: Target) -> dict[str, str]:
        variables = invocation.attachment_variables(command, target, call.args, call.path, call.netconf.name)
        return {**self._environ, **variables}

    def _node_env(self, command: str, call: Invocation) -> dict[str, str]:
        return {**self._environ, **invocation.node_variables(command, call.path, call.netconf.name)}

    def _require(self, plugin_type: str, path: Sequence[str], env: Mapping[str, str], stdin: bytes) -> None:
        self._run(plugin_type, plugin.find(plugin_type, path), env, stdin)

    def _run(self, plugin_type: str, executable: str, env: Mapping[str, str], stdin: bytes) -> reply.Ended:
        ended = plugin.run(executable, env, stdin, self._timeout_s, plugin_type)
        reply.require_success(plugin_type, ended)
        if ended.stderr.strip():
            self._on_stderr(plugin_type, excerpt(ended.stderr))
        if ended.abandoned_child:
            self._on_stderr(plugin_type, "left a process behind that held its output; its process group was ended")
        return ended


def _known_version(netconf: NetConf) -> str:
    """The list's version if its results can be read: found out before a plugin builds something."""
    if netconf.version not in versions.KNOWN:
        known = ", ".join(versions.KNOWN)
        raise NetConfError(f"network {netconf.name}: 'cniVersion' {netconf.version[:40]!r} is not one of {known}")
    return netconf.version


def _in_version_of(netconf: NetConf, added: Json) -> Json:
    """The kept result in the list's version, which may have changed since (a plugin may print another one, too)."""
    last = str(netconf.plugins[-1]["type"])
    return result.convert(result.checked(added, netconf.version, last), netconf.version, last)


def _previous_for_delete(netconf: NetConf, added: Json | None) -> Json | None:
    if added is None or not netconf.at_least(_PREVIOUS_RESULT_SINCE):
        return None
    try:
        return _in_version_of(netconf, added)
    except PluginError:
        # What cannot be read must not keep an attachment from going: plugins have to manage without on DEL.
        return None


def _raise_all(faults: Sequence[PluginError]) -> None:
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise CniError("; ".join(map(str, faults)))
