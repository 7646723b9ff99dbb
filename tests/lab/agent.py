"""The agent as a real process, with a service manager's notification socket that tests can read."""

from __future__ import annotations

import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import processes
from lab.pins import remove_pins
from lab.waiting import eventually

_SOURCE = Path(__file__).resolve().parents[2] / "src"
_READY_SECONDS = 30.0
_STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Notification:
    """One variable of a notification; `time` is `time.monotonic()`."""

    time: float
    key: str
    value: str


class Notifications(socketserver.UnixDatagramServer):
    """What a service sends to its manager (sd_notify), for as long as it is open."""

    max_packet_size = 65536

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), socketserver.BaseRequestHandler)
        self.path = path
        self._seen: list[Notification] = []
        threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True).start()

    def all(self, key: str = "", since: float = 0.0) -> list[Notification]:
        return [each for each in tuple(self._seen) if key in ("", each.key) and each.time >= since]

    @property
    def status(self) -> str:
        """The last STATUS."""
        seen = self.all("STATUS")
        return seen[-1].value if seen else ""

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self.path.unlink()

    def finish_request(self, request: Any, client_address: object) -> None:
        now = time.monotonic()
        pairs = (line.partition("=") for line in request[0].decode(errors="replace").splitlines())
        self._seen += [Notification(now, key, value) for key, _, value in pairs]


class Agent:
    """``podagent run``; can be started again on the same state after it was stopped or killed.

    Attributes:
        directory: holds its state, log, CNI configuration directory and notification socket.
        state_dir, inherit_dir, cni_conf_dir: as given to the agent.
        kactus_dir: where the kactus of its node keeps what it attached; None if the node has none.
        notifications: of every process started from here.
    """

    def __init__(
        self,
        directory: Path,
        *,
        kubeconfig: Path | str,
        docker_endpoint: str = "",
        cri_endpoint: str = "",
        cni_bin_path: Path | str,
        node: str = "lab-node",
        attach_via: str = "delegate",
        cni_conf_dir: Path | None = None,
        kactus_dir: Path | None = None,
        options: Mapping[str, str | int | float] | None = None,
        env: Mapping[str, str] | None = None,
        command: Sequence[str] = (sys.executable, "-m", "podagent"),
    ) -> None:
        """
        Args:
            options: further flags, without dashes: ``{"workers": 2, "resync-period": "1s"}``; they win.
            command: what starts it.
        """
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.state_dir = directory / "state"
        self.inherit_dir = directory / "configstore"
        self.cni_conf_dir = cni_conf_dir or directory / "net.d"
        self.cni_conf_dir.mkdir(parents=True, exist_ok=True)
        self.kactus_dir = kactus_dir
        self.options: dict[str, str | int | float] = {
            "kubeconfig": str(kubeconfig),
            "node": node,
            "cni-bin-path": str(cni_bin_path),
            "cni-conf-path": str(self.cni_conf_dir),
            "attach-via": attach_via,
            "state-dir": str(self.state_dir),
            "inherit-dir": str(self.inherit_dir),
            "log-level": "debug",
        }
        named = {"docker-endpoint": docker_endpoint, "cri-endpoint": cri_endpoint}
        self.options |= {name: endpoint for name, endpoint in named.items() if endpoint}
        self.options.update(options or {})
        self.env = dict(env or {})
        self._command = command
        self.notifications = Notifications(directory / "notify")
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0

    def __enter__(self) -> Agent:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the agent is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def ended_by_itself(self) -> bool:
        """Whether the process started last has ended, and nobody stopped or killed it from here."""
        return self._process is not None and self._process.poll() is not None

    def start(self, *, wait: bool = True) -> Agent:
        """Starts the process and, with `wait`, waits until it is ready."""
        if self.running:
            raise RuntimeError("the agent is running already")
        self._started = time.monotonic()
        with self._log_path.open("ab") as log:
            flags = [f"--{name}={value}" for name, value in self.options.items()]
            self._process = subprocess.Popen(
                [*self._command, "run", *flags], env=self._environment(), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, cwd="/", start_new_session=True,
            )  # fmt: skip
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout: float = _READY_SECONDS) -> float:
        """Waits for READY=1 of the process started last; returns the seconds it took from its start."""

        def ready() -> list[Notification]:
            if not self.running:
                raise RuntimeError(f"the agent ended; its log ends with:\n{self.log()[-4000:]}")
            return self.notifications.all("READY", self._started)

        return eventually(ready, timeout, "the agent to be ready")[0].time - self._started

    def stop(self, timeout: float = _STOP_SECONDS) -> int:
        """SIGTERM; returns the exit code. AssertionError when it does not end in time (it is killed then)."""
        process = self._take()
        process.terminate()
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            seen = self.log()[-4000:]
            raise AssertionError(f"the agent did not end within {timeout:g} s of SIGTERM:\n{seen}") from None

    def kill(self) -> None:
        """SIGKILL to the agent alone: the plugins it runs go on without it."""
        process = self._take()
        process.kill()
        process.wait()

    def kill_tree(self) -> None:
        processes.end_tree(self._take())

    def reload(self) -> None:
        processes.end([self.pid], signal.SIGHUP)

    def close(self) -> None:
        """Ends it if it runs. AssertionError when it did not end by itself on SIGTERM."""
        try:
            if self.running:
                self.stop()
        finally:
            self.notifications.close()
            remove_pins(self.state_dir)

    def rss_kib(self) -> int:
        return processes.memory_kib(self.pid)

    def cpu_seconds(self) -> float:
        return processes.cpu_seconds(self.pid)

    def log(self) -> str:
        """What was logged so far, by every process started from here, since it was last emptied."""
        return self._log_path.read_text(errors="replace") if self._log_path.exists() else ""

    def empty_log(self) -> None:
        os.truncate(self._log_path, 0)

    def wait_for_log(self, text: str, timeout: float = 15.0) -> None:
        eventually(lambda: text in self.log(), timeout, f"{text!r} to be logged")

    @property
    def _log_path(self) -> Path:
        return self.directory / "agent.log"

    def _take(self) -> subprocess.Popen[bytes]:
        process, self._process = self._process, None
        if process is None:
            raise RuntimeError("the agent is not running")
        return process

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
        base = {"PYTHONPATH": str(_SOURCE), "NOTIFY_SOCKET": str(self.notifications.path), "HOME": "/nonexistent"}
        return kept | base | self.env


AgentFactory = Callable[..., Agent]
