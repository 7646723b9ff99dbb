"""Reports a plugin that takes long while it is still at work: its timeout may be minutes away."""

from __future__ import annotations

import logging
from collections.abc import Mapping

_log = logging.getLogger("podagent")


def report_slow(timeout_s: float, plugin: str, env: Mapping[str, str], seconds: float) -> None:
    """Logs that a plugin with this environment has been at work for so many seconds, and when it is killed."""
    command, ifname = env["CNI_COMMAND"], env["CNI_IFNAME"]
    args = dict(pair.partition("=")[::2] for pair in env["CNI_ARGS"].split(";"))
    namespace, pod = args.get("K8S_POD_NAMESPACE", ""), args.get("K8S_POD_NAME", "")
    fields = {"POD": pod, "POD_NAMESPACE": namespace, "IFNAME": ifname, "CNI_COMMAND": command}
    what = f"{command} of {ifname} for pod {namespace}/{pod}"
    message = "CNI plugin %s has been at work for %.0f s on %s; it is killed after %.0f s"
    _log.warning(message, plugin, seconds, what, timeout_s, extra=fields)
