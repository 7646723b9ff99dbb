"""`PrivateDaemon`: a daemon of our own, with all of its files below one directory. Nothing of it is left behind."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab import processes, programs, runc
from lab.mounts import unmount_below
from lab.waiting import eventually

_START_SECONDS = 60.0
_STOP_SECONDS = 20.0


class PrivateDaemon(ABC):
    """Runs from `start()` to `stop()`; can be ended and started again between them.

    Attributes:
        state_dir: holds all of its files, its log among them.
    """

    name: str
    kept: Sequence[str] = ()
    """Directories of its data. Where `state_dir` stays at the end, these go all the same."""

    mode = 0o700
    """Of `state_dir`."""

    def __init__(self, state_dir: Path | str | None = None) -> None:
        """`state_dir`: short enough for unix sockets; None makes one under /tmp, and removes it at the end."""
        self._owned = state_dir is None
        self.state_dir = Path(state_dir or tempfile.mkdtemp(prefix="podagent-lab-"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._process.pid

    def start(self) -> None:
        """Starts it and waits until it answers. AssertionError with the end of its log when it does not."""
        if self._process and self._process.poll() is None:
            return
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self.state_dir.chmod(self.mode)
        self._spawn()

    def stop(self) -> None:
        """Ends it, whichever process has started it, and all that runs in its containers."""
        self._end_daemon()
        # One that the process which started it did not live to stop; then what it has started.
        self._end_mentioning(self._sign(), signal.SIGTERM)
        self._end_mentioning(f"{self.state_dir}/", signal.SIGKILL)
        unmount_below(self.state_dir)
        for name in () if self._owned else self.kept:
            shutil.rmtree(self.state_dir / name, ignore_errors=True)
        if self._owned:
            shutil.rmtree(self.state_dir, ignore_errors=True)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It lives, and does nothing, for a while."""
        processes.end([self.pid], signal.SIGSTOP)
        try:
            yield
        finally:
            processes.end([self.pid], signal.SIGCONT)

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """The program with its arguments; writes the configuration that they name."""

    @abstractmethod
    def _sign(self) -> str:
        """What its command line has, and no other's."""

    @abstractmethod
    def _responds(self) -> bool:
        """Whether it answers."""

    def _spawn(self) -> None:
        command = self._command()
        with (self.state_dir / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={"PATH": self._search_path()},
                start_new_session=True,
            )  # fmt: skip
        try:
            eventually(self._answers, _START_SECONDS, f"{self.name} to answer")
        except AssertionError as error:
            raise AssertionError(f"{error}; {self._end_of_log()}") from None

    def _search_path(self) -> str:
        return programs.search_path()

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"{self.name} ended; {self._end_of_log()}")
        return self._responds()

    def _end_of_log(self) -> str:
        return f"its log ends with:\n{(self.state_dir / 'log').read_text(errors='replace')[-2000:]}"

    def _end_daemon(self, number: signal.Signals = signal.SIGTERM) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _runc(self) -> Path | None:
        """A program that stands for runc where root may not raise limits; None: runc itself will do."""
        if runc.may_raise_limits():
            return None
        path = self.state_dir / "runc-without-limits"
        runc.write_without_limits(path, sys.executable, programs.find("runc", "runc"))
        return path

    def _end_mentioning(self, text: str, number: signal.Signals) -> None:
        left = processes.mentioning(text)
        if number == signal.SIGKILL:
            left += [child for pid in left for child in processes.descendants(pid)]
        processes.end(left, number)
        processes.wait_gone_or(left, _STOP_SECONDS)
