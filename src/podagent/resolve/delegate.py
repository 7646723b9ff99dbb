"""The agent's own way: read the network definition, run the delegate plugin (or chain). No meta-plugin needed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

from podagent.errors import DefinitionError
from podagent.model import Attachment, Invocation, Json, Pod, Record, Sandbox, Via
from podagent.resolve.args import mac_args, pod_args
from podagent.resolve.definition import definition_namespaces, to_netconf


class Definitions(Protocol):
    """Reads network definitions from the API server."""

    def kaloom(self, namespace: str, name: str) -> Json | None:
        """The networks.kaloom.com object, None when there is none. Raises ApiError."""


class DelegateNetworks:
    """Attaches by running the plugin that the network's definition names."""

    def __init__(self, definitions: Definitions, bin_dir: str, global_namespaces: Collection[str]) -> None:
        self._definitions = definitions
        self._bin_dir = bin_dir
        self._global_namespaces = global_namespaces

    def prepare(self, pod: Pod, attachment: Attachment, sandbox: Sandbox) -> tuple[Via, Invocation]:
        """How the delegate is called for this attachment.

        Raises:
            DefinitionError: the definition is missing or malformed.
            ApiError: it could not be read.
        """
        reference, definition = self._find(pod, attachment)
        netconf = to_netconf(definition, reference)
        capabilities: dict[str, Any] = {}
        args = (*pod_args(pod, sandbox), *mac_args(attachment.mac))
        if attachment.mac:
            capabilities["mac"] = attachment.mac
        if attachment.ips:
            capabilities["ips"] = list(attachment.ips)
        return Via.DELEGATE, Invocation(netconf, (self._bin_dir,), args, capabilities, reference)

    def current_netconf(self, record: Record) -> Json | None:
        """What the definition that was used says today; None if it is gone. Raises DefinitionError, ApiError."""
        reference = record.invocation.definition
        definition = self._definitions.kaloom(*reference.split("/", 1))
        return None if definition is None else to_netconf(definition, reference)

    def _find(self, pod: Pod, attachment: Attachment) -> tuple[str, Json]:
        namespaces = definition_namespaces(attachment.namespace, pod.key.namespace, self._global_namespaces)
        for namespace in namespaces:
            definition = self._definitions.kaloom(namespace, attachment.network)
            if definition is not None:
                return f"{namespace}/{attachment.network}", definition
        raise DefinitionError(
            f"network {attachment.network} is not defined: no networks.kaloom.com object of that name in namespace "
            + " or ".join(namespaces)
        )
