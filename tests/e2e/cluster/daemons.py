"""One daemon of the cluster: started, stopped, killed, and where its log is."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Mapping

from e2e.cluster.layout import Layout

_STOP_SECONDS = 20.0


class Daemon:
    """A process in a session of its own, so that it outlives who started it and no terminal's signal reaches it."""

    def __init__(self, name: str, argv: list[str], layout: Layout, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._argv = argv
        self._env = {**os.environ, **layout.mark, **(env or {})}
        self.log_path = layout.logs / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                start_new_session=True,
            )  # fmt: skip

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when that is not heeded."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """SIGKILL."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def assert_running(self) -> None:
        """RuntimeError with the end of its log when it has ended."""
        if not self.running:
            raise RuntimeError(f"{self.name} ended; its log, {self.log_path}, ends with:\n{self.log()[-3000:]}")

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
