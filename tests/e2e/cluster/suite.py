"""Running the suite, once for each of the node's CNI plugins, each on a machine apart."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from cluster.apart import MachineApart
from cluster.layout import MACHINES, PROJECT
from cluster.signals import undisturbed

_END_SECONDS = 120.0


class Suite:
    """pytest on a cluster with one plugin."""

    def __init__(self, plugin: str, arguments: Sequence[str], *, in_background: bool) -> None:
        """Starts it; `in_background`: what it prints goes to a file, and is shown when it has ended."""
        self.plugin = plugin
        # func_only: the first case has the cluster come up, the last one has it taken down.
        limits = ["-o", "timeout=400", "-o", "timeout_func_only=true", "--durations=10"]
        command = [sys.executable, "-m", "pytest", "tests/e2e", *limits, f"--system-plugin={plugin}", *arguments]
        self.log = PROJECT / "build" / f"e2e-{plugin}.log" if in_background else None
        self._began = time.monotonic()
        with _output(self.log) as output:
            self._machine = MachineApart(plugin, command, output)

    def finish(self, tell: Callable[[str], None]) -> bool:
        """Waits for its end, returns whether it passed."""
        code = self._machine.wait()
        tell(f"suite with {self.plugin} as the node's CNI plugin: {time.monotonic() - self._began:.0f} s")
        if self.log:
            print(self.log.read_text(errors="replace"), end="", flush=True)
        return code == 0

    def interrupt(self) -> None:
        """Has it take its cluster down, if it has not ended."""
        self._machine.interrupt()

    def end(self) -> None:
        """Waits until it has done so, but not for ever; then nothing of it is left."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._machine.wait(_END_SECONDS)
        self._machine.remove()


def run(plugins: Sequence[str], arguments: Sequence[str], jobs: int, tell: Callable[[str], None]) -> bool:
    """Whether all passed: side by side, the first one before the user's eyes; with one job, one after the other.

    When this is interrupted they are ended, and have ended.
    """
    shutil.rmtree(MACHINES, ignore_errors=True)  # of a run that was killed
    lots = [plugins] if jobs > 1 else [[plugin] for plugin in plugins]
    try:
        passed = [_run_side_by_side(lot, arguments, tell) for lot in lots]
    finally:
        shutil.rmtree(MACHINES, ignore_errors=True)
    return all(passed)


def _run_side_by_side(plugins: Sequence[str], arguments: Sequence[str], tell: Callable[[str], None]) -> bool:
    suites: list[Suite] = []
    try:
        for plugin in plugins:
            suites.append(Suite(plugin, arguments, in_background=bool(suites)))
        for suite in suites[1:]:
            tell(f"with {suite.plugin}, at the same time: {suite.log}")
        passed = [suite.finish(tell) for suite in suites]
        return all(passed)
    finally:
        with undisturbed():
            for suite in suites:
                suite.interrupt()
            for suite in suites:
                suite.end()


@contextlib.contextmanager
def _output(log: Path | None) -> Iterator[IO[bytes] | None]:
    """None is the terminal."""
    if log is None:
        yield None
        return
    log.parent.mkdir(exist_ok=True)
    with log.open("wb") as file:
        yield file
