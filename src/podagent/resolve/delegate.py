"""Delegate mode: reads the network definition and calls its plugin (or chain). Needs no meta-plugin."""

from __future__ import annotations

from collections.abc import Callable, Collection

from podagent.foreign import Json
from podagent.model import Attachment, DefinitionRef, Invocation, Pod, Record, Sandbox
from podagent.netconf import NetConf
from podagent.resolve.args import delegate_args
from podagent.resolve.definition import to_netconf
from podagent.resolve.lookup import find
from podagent.resolve.macs import MacRule
from podagent.resolve.policy import DefinitionPolicy

ReadSince = Callable[[DefinitionRef, float], "Json | None"]
"""Reads a definition, None if it does not exist, in a form no older than that time (monotonic). Raises ApiError."""
_CURRENT_ENOUGH = 0.0


class DelegateNetworks:
    """Attaches by calling the plugin of the network's definition."""

    def __init__(
        self,
        read: ReadSince,
        bin_dirs: Callable[[], tuple[str, ...]],
        global_namespaces: Collection[str],
        policy: DefinitionPolicy,
        macs: MacRule,
    ) -> None:
        """
        Args:
            read: reads a definition.
            bin_dirs: the node's CNI plugin directories, in lookup order.
            global_namespaces: namespaces whose definitions the pods of every namespace may use.
            policy: decides whether a definition may be used.
            macs: decides whether a requested MAC address may be used.
        """
        self._read = read
        self._bin_dirs = bin_dirs
        self._global_namespaces = global_namespaces
        self._policy = policy
        self._macs = macs

    def call(self, pod: Pod, attachment: Attachment, sandbox: Sandbox) -> Invocation:
        """The delegate call for this attachment.

        Raises:
            DefinitionError: the definition is missing, malformed or refused.
            MacRefused: the requested MAC address may not be used.
            ApiError: it could not be read.
        """

        def read(reference: DefinitionRef) -> Json | None:
            return self._read(reference, pod.asked_at)

        reference, definition = find(attachment.definition, pod.key.namespace, self._global_namespaces, read)
        args = (*delegate_args(pod, sandbox), *attachment.args)
        netconf = self._policy.permitted(to_netconf(definition, reference), reference)
        self._macs.require_allowed(attachment.mac, pod.key, pod.key.namespace, netconf)
        return Invocation(netconf, self._bin_dirs(), args, attachment.capabilities, reference)

    def netconf_today(self, record: Record) -> NetConf | None:
        """The current form of the definition that was used, None if it is gone. Raises DefinitionError, ApiError."""
        reference = record.invocation.definition
        definition = self._read(reference, _CURRENT_ENOUGH) if reference else None
        if reference is None or definition is None:
            return None
        return self._policy.permitted(to_netconf(definition, reference), reference)
