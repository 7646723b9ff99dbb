"""Runs the exec plugins of kubeconfigs for the agent, and ends the one that runs when the agent stops."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from podagent.kubeconfig.choice import ExecPlugin
from podagent.kubeconfig.plugin import Printed, runner

LONGEST_END_S = 6.0
"""Upper bound in seconds for the end of a plugin after its time limit."""


class ExecPlugins:
    """`run` is a `plugin.Run`; one after the other."""

    def __init__(self, execute: Callable[..., Any], timeout_s: float) -> None:
        """
        Args:
            execute: `cni.plugin.run`.
            timeout_s: time limit of a plugin, in seconds.
        """
        self._stopped, self._stop = os.pipe()
        self._running = threading.Lock()  # only `close` waits for it: who asks meanwhile shares the credentials
        self._run = runner(partial(execute, stop=self._stopped), timeout_s)

    def run(self, plugin: ExecPlugin, environ: Mapping[str, str]) -> Printed:
        with self._running:
            return self._run(plugin, environ)

    def close(self) -> None:
        """Kills the plugin that runs, and waits for its end. Later ones are killed at once."""
        os.close(self._stop)
        if self._running.acquire(timeout=LONGEST_END_S):
            self._running.release()
