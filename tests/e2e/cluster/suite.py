"""Running the suite, once for each of the node's CNI plugins, on machines apart."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from e2e.cluster.apart import MachineApart
from e2e.cluster.layout import MACHINES, PROJECT
from e2e.cluster.signals import undisturbed

_END_SECONDS = 120.0
_LOOK_SECONDS = 0.2
_NO_CASES = 5  # pytest's exit code when the user's choice left none


@dataclass(frozen=True)
class Part:
    """Cases that are played on one cluster: those that pytest's ``-m CHOICE`` chooses; "" is all."""

    plugin: str
    choice: str = ""

    @property
    def name(self) -> str:
        return "-".join([self.plugin, *self.choice.split()])


class Suite:
    """pytest on a cluster of its own."""

    def __init__(self, part: Part, arguments: Sequence[str], *, in_background: bool) -> None:
        """Starts it; `in_background`: what it prints goes to a file."""
        self.part = part
        # func_only: the first case has the cluster come up, the last one has it taken down.
        limits = ["-o", "timeout=400", "-o", "timeout_func_only=true", "--durations=10"]
        chosen = [f"--system-plugin={part.plugin}", *(["-m", part.choice] if part.choice else [])]
        command = [sys.executable, "-m", "pytest", "tests/e2e", *limits, *chosen, *arguments]
        self.log = PROJECT / "build" / f"e2e-{part.name}.log" if in_background else None
        self._began = time.monotonic()
        with _output(self.log) as output:
            self._machine = MachineApart(part.name, command, output)

    @property
    def exit_code(self) -> int | None:
        """None while it plays."""
        return self._machine.exit_code

    @property
    def outcome(self) -> str:
        """In words, once it has ended."""
        how = {0: "passed", _NO_CASES: "had no such case"}.get(self.exit_code or 0, "failed")
        return f"{self.part.name} {how} after {time.monotonic() - self._began:.0f} s"

    def interrupt(self) -> None:
        """Has it take its cluster down, if it has not ended."""
        self._machine.interrupt()

    def end(self) -> None:
        """Waits until it has done so, but not for ever; then nothing of it is left."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._machine.wait(_END_SECONDS)
        self._machine.remove()


def run(plugins: Sequence[str], arguments: Sequence[str], jobs: int, tell: Callable[[str], None]) -> bool:
    """Whether all passed. Side by side, the first part before the user's eyes; with one job, one after the other.

    When this is interrupted they are ended, and have ended.
    """
    shutil.rmtree(MACHINES, ignore_errors=True)  # of a run that was killed
    lanes = list(map(deque, _lanes(plugins, jobs)))
    suites: list[Suite] = []
    try:
        _play(lanes, lambda part: Suite(part, arguments, in_background=bool(suites) and jobs > 1), suites, tell)
    finally:
        with undisturbed():
            for suite in suites:
                suite.interrupt()
            for suite in suites:
                suite.end()
            shutil.rmtree(MACHINES, ignore_errors=True)
    for suite in suites:
        if suite.log:
            print(f"\n{suite.part.name}\n{suite.log.read_text(errors='replace')}", end="", flush=True)
    codes = {suite.exit_code for suite in suites}
    return 0 in codes and codes <= {0, _NO_CASES}


def _lanes(plugins: Sequence[str], jobs: int) -> list[list[Part]]:
    """What is played side by side; of a lane's parts, one after the other.

    Cases that take the whole machine are in one lane.
    """
    if jobs < 2:
        return [[Part(plugin) for plugin in plugins]]
    return [*([Part(plugin, "not load")] for plugin in plugins), [Part(plugin, "load") for plugin in plugins]]


def _play(
    lanes: list[deque[Part]], start: Callable[[Part], Suite], suites: list[Suite], tell: Callable[[str], None]
) -> None:
    """Starts the parts, each when the one before it in its lane has ended, until all have; `suites` takes them."""
    playing: list[Suite | None] = [None for _ in lanes]
    while any(lanes) or any(playing):
        for number, lane in enumerate(lanes):
            suite = playing[number]
            if suite and suite.exit_code is not None:
                tell(suite.outcome)
                playing[number] = None
            if lane and not playing[number]:
                playing[number] = suite = start(lane.popleft())
                suites.append(suite)
                tell(f"{suite.part.name} begins" + (f", and is written to {suite.log}" if suite.log else ""))
        time.sleep(_LOOK_SECONDS)


@contextlib.contextmanager
def _output(log: Path | None) -> Iterator[IO[bytes] | None]:
    """None is the terminal."""
    if log is None:
        yield None
        return
    log.parent.mkdir(exist_ok=True)
    with log.open("wb") as file:
        yield file
