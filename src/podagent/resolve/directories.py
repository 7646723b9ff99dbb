"""Where the node has its CNI configuration and its CNI plugins."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from podagent.model import CniDirectories

CONF_DIRECTORY, BIN_DIRECTORY = "/etc/cni/net.d", "/opt/cni/bin"


class NodeDirectories:
    """The directories that the settings name, else those of the container runtime, else those of Kubernetes."""

    def __init__(
        self, configured: CniDirectories, of_runtime: Callable[[], CniDirectories | None] = lambda: None
    ) -> None:
        """
        Args:
            configured: by the settings; empty for those of the runtime.
            of_runtime: those of the runtime, as far as it tells; None while it does not answer.
        """
        self._configured = configured
        self._of_runtime = of_runtime

    def conf(self) -> Sequence[str]:
        """The directories of CNI configuration, in lookup order."""
        return self._configured.conf or self._told.conf or (CONF_DIRECTORY,)

    def bin(self) -> tuple[str, ...]:
        """The directories of CNI plugins, in lookup order: after the runtime's also where networks' own may be."""
        return self._configured.bin or tuple(dict.fromkeys((*self._told.bin, BIN_DIRECTORY)))

    def conf_is_certain(self) -> bool:
        """Whether `conf` cannot change once the runtime answers."""
        return bool(self._configured.conf) or self._of_runtime() is not None

    @property
    def _told(self) -> CniDirectories:
        return self._of_runtime() or CniDirectories()
