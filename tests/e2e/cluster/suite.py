"""Running the suite on several clusters, each on a machine apart."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from e2e.cluster.apart import MachineApart
from e2e.cluster.layout import PROJECT

_LOOK_SECONDS = 0.2
_NO_CASES = 5  # pytest's exit code when the user's choice left none


@dataclass(frozen=True)
class Part:
    """Cases that are played on one cluster: those that pytest's ``-m CHOICE`` chooses."""

    plugin: str
    choice: str

    @property
    def name(self) -> str:
        return "-".join([self.plugin, *self.choice.split()])


class Suite:
    """pytest on a cluster of its own."""

    def __init__(self, part: Part, arguments: Sequence[str], *, in_background: bool) -> None:
        """Starts it; `in_background`: what it prints goes to a file."""
        self.part = part
        # func_only: the first case has the cluster come up.
        limits = ["-o", "timeout=400", "-o", "timeout_func_only=true", "--durations=10"]
        chosen = [f"--system-plugin={part.plugin}", "-m", part.choice]
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
        self._machine.interrupt()

    def end(self) -> None:
        """Waits until it has ended, and prints what it has not printed yet."""
        self._machine.remove()
        if self.log:
            print(f"\n{self.part.name}\n{self.log.read_text(errors='replace')}", end="", flush=True)


def run(plugins: Sequence[str], arguments: Sequence[str], jobs: int, say: Callable[[str], None]) -> bool:
    """Whether all passed. Side by side, the first part before the user's eyes; with one job, one after the other.

    When this is interrupted they are ended, and have ended.
    """
    waiting = [Part(plugins[0], "once"), *(Part(plugin, "not once") for plugin in plugins)]
    suites: list[Suite] = []
    try:
        while waiting or any(suite.exit_code is None for suite in suites):
            if waiting and (jobs > 1 or all(suite.exit_code is not None for suite in suites)):
                suites.append(Suite(waiting.pop(), arguments, in_background=bool(suites) and jobs > 1))
                say(f"{suites[-1].part.name} begins, and is written to {suites[-1].log or 'the terminal'}")
            playing = [suite for suite in suites if suite.exit_code is None]
            time.sleep(_LOOK_SECONDS)
            for suite in playing:
                if suite.exit_code is not None:
                    say(suite.outcome)
    finally:
        for suite in suites:
            suite.interrupt()
        for suite in suites:
            suite.end()
    codes = {suite.exit_code for suite in suites}
    return 0 in codes and codes <= {0, _NO_CASES}


@contextlib.contextmanager
def _output(log: Path | None) -> Iterator[IO[bytes] | None]:
    """None is the terminal."""
    if log is None:
        yield None
        return
    log.parent.mkdir(exist_ok=True)
    with log.open("wb") as file:
        yield file
