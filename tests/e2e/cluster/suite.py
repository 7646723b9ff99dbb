"""Running the suite on several clusters, each on a machine apart."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

from e2e.cluster.apart import MachineApart
from e2e.cluster.layout import PROJECT

_LOOK_SECONDS = 0.2
_NO_CASES = 5  # pytest's exit code when the user's choice left none


class Suite:
    """pytest on a cluster of its own, from its start to `end`."""

    def __init__(self, kind: str, choice: str, arguments: Sequence[str], *, in_background: bool) -> None:
        """`choice`: the cases, as of pytest's ``-m``. `in_background`: what it prints goes to a file."""
        self.name = "-".join([kind, *choice.split()])
        # func_only: the first case has the cluster come up.
        limits = ["-o", "timeout=400", "-o", "timeout_func_only=true", "--durations=10"]
        chosen = [f"--node-kind={kind}", "-m", choice]
        command = [sys.executable, "-m", "pytest", "tests/e2e", *limits, *chosen, *arguments]
        self.log = PROJECT / "build" / f"e2e-{self.name}.log" if in_background else None
        if self.log:
            self.log.parent.mkdir(exist_ok=True)
            self.log.unlink(missing_ok=True)
        self._began = time.monotonic()
        self._machine = MachineApart(self.name, command, self.log)

    @property
    def exit_code(self) -> int | None:
        """None while it plays."""
        return self._machine.exit_code

    @property
    def outcome(self) -> str:
        """In words, once it has ended."""
        how = {0: "passed", _NO_CASES: "had no such case"}.get(self.exit_code or 0, "failed")
        return f"{self.name} {how} after {time.monotonic() - self._began:.0f} s"

    def interrupt(self) -> None:
        self._machine.interrupt()

    def end(self) -> None:
        """Waits until it has ended, and prints what it has not printed yet."""
        self._machine.remove()
        if self.log:
            print(f"\n{self.name}\n{self.log.read_text(errors='replace')}", end="", flush=True)


def run(kinds: Sequence[str], arguments: Sequence[str], jobs: int, say: Callable[[str], None]) -> bool:
    """Whether all passed. `jobs` at a time, the first part before the user's eyes.

    When this is interrupted they are ended, and have ended.
    """
    waiting = [*((kind, "not once") for kind in kinds), (kinds[0], "once")]
    playing: list[Suite] = []
    ended: list[Suite] = []
    try:
        while waiting or playing:
            if waiting and len(playing) < max(jobs, 1):
                suite = Suite(*waiting.pop(0), arguments, in_background=jobs > 1 and bool(playing or ended))
                playing.append(suite)
                say(f"{suite.name} begins" + (f", and is written to {suite.log}" if suite.log else ""))
            time.sleep(_LOOK_SECONDS)
            for suite in [each for each in playing if each.exit_code is not None]:
                say(suite.outcome)
                playing.remove(suite)
                ended.append(suite)
    finally:
        for suite in playing:
            suite.interrupt()
        for suite in (*ended, *playing):
            suite.end()
    codes = {suite.exit_code for suite in ended}
    return 0 in codes and codes <= {0, _NO_CASES}
