"""One daemon of the cluster: started, stopped, killed, and where its log is."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Mapping, Sequence

from e2e.cluster.layout import LOGS

_STOP_SECONDS = 20.0


class Daemon:
    """Ends with the machine apart, if not before."""

    def __init__(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.log_path = LOGS / f"{name}.log"
        self._argv = argv
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        LOGS.mkdir(parents=True, exist_ok=True)
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
            raise RuntimeError(f"{self.name} ended; its log ends with:\n{self.log_path.read_text()[-3000:]}")
