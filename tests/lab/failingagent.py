"""Makes system calls of an agent's process fail, or kills it there.

`Remote` gives orders, by way of files, to `InAgent` within it.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from lab.failing import Calls, Visit

_stat, _write = os.stat, os.write
_KILLED = 1 << 16  # no errno


class InAgent:
    """The other side of `Remote`: reads the orders, and writes each site that it sees for the first time."""

    def __init__(self, directory: str) -> None:
        self._orders, self._sites = f"{directory}/orders", f"{directory}/sites"
        self._lock = threading.Lock()
        self._read_at = -1
        self._number = ""
        self._calls = Calls()
        self._visit, self._calls.visit = self._calls.visit, self._ordered  # type: ignore[method-assign]
        self._calls.install()

    def _ordered(self, site: str) -> None:
        with self._calls.ignored():
            self._obey()
            known = site in self._calls.seen
        try:
            self._visit(site)
        except OSError as error:
            self._note("failed", site)
            if error.errno == _KILLED:
                os.kill(os.getpid(), signal.SIGKILL)
            raise
        if not known:
            self._note("seen", site)

    def _obey(self) -> None:
        with suppress(FileNotFoundError), self._lock:  # no thread may go on before another has read the orders
            changed = _stat(self._orders).st_mtime_ns
            if changed != self._read_at:
                self._read_at = changed
                self._number, once, always = json.loads(Path(self._orders).read_text())
                self._calls.fail({Visit(site): number for site, number in once.items()})
                for sites, number in always.items():
                    self._calls.fail_always(sites, number)

    def _note(self, what: str, site: str) -> None:
        with self._calls.ignored():
            fd = os.open(self._sites, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                _write(fd, f"{self._number}\t{what}\t{site}\n".encode())
            finally:
                os.close(fd)


class Remote:
    """Makes the calls of an agent fail."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._number = 0
        self.clear()

    @property
    def env(self) -> dict[str, str]:
        """For the agent."""
        shim = Path(__file__).with_name("agentshim")
        paths = [shim, shim.parents[1], shim.parents[2] / "src"]
        return {"PYTHONPATH": ":".join(map(str, paths)), "FAILING_CALLS": str(self._directory)}

    def clear(self) -> None:
        """Nothing fails from now on."""
        self._order({}, {})

    def fail(self, once: Mapping[str, int]) -> None:
        """The next visit of each of these sites fails with that errno."""
        self._order(once, {})

    def fail_always(self, sites: str, number: int) -> None:
        """Every site with these words fails."""
        self._order({}, {sites: number})

    def kill_before(self, site: str) -> None:
        """The agent is killed at the next visit of that site; with "" it is not."""
        self.fail({site: _KILLED} if site else {})

    def seen(self) -> list[str]:
        """The sites since the last order."""
        return self._noted("seen")

    def failed(self) -> list[str]:
        """The sites that failed since the last order."""
        return self._noted("failed")

    def _order(self, *order: Mapping[str, int]) -> None:
        self._number += 1
        new = self._directory / "new"
        new.write_text(json.dumps([str(self._number), *order]))
        new.rename(self._directory / "orders")

    def _noted(self, what: str) -> list[str]:
        path = self._directory / "sites"
        lines = path.read_text().splitlines() if path.exists() else []
        noted = (line.split("\t") for line in lines)
        return [site for number, kind, site in noted if (number, kind) == (str(self._number), what)]
