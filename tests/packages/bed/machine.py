"""`Machine`: a Debian that boots its own systemd in namespaces of its own, and of which nothing is left at the end.

It has a disk, which survives its reboots, a cgroup tree and a network of its own: only lo, nothing else is in reach.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sysconfig
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab import processes
from lab.apart import Apart, remove_cgroup
from lab.mounts import mounts_below
from lab.waiting import eventually
from packages.bed import disk

Json = dict[str, Any]

TESTS = Path(__file__).resolve().parents[2]
# Where a machine sees the code of the tests and the libraries that these use.
_SHARED = {TESTS: "/lab/tests", Path(sysconfig.get_path("purelib")): "/lab/libraries"}
LAB_PATH = "/lab/tests:/lab/libraries"
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8",
    "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": "", "DEBIAN_FRONTEND": "noninteractive",
}  # fmt: skip
_BOOT_SECONDS = 60.0
_OFF_SECONDS = 120.0


class Machine:
    """Off until `boot()`.

    Attributes:
        name: its host name.
        directory: all of it that is on the host's disk.
    """

    def __init__(self, name: str, root: Path, directory: Path) -> None:
        """
        Args:
            root: the root file system of an image; never changed, so that machines may share it.
            directory: what the machine writes is kept in one below it.
        """
        self.name = name
        self._lower = root
        self.directory = Path(tempfile.mkdtemp(prefix=f"podagent-machine-{name}-", dir=directory))
        self._cgroup = _unified_hierarchy() / self.directory.name
        self._apart: Apart | None = None
        for part in ("upper", "work", "root"):
            (self.directory / part).mkdir()
        disk.lay_out(self.directory / "upper", name)

    def boot(self) -> None:
        """Returns when everything that starts at boot has started. AssertionError if some of it failed."""
        (self.directory / "boot_id").write_text(f"{uuid.uuid4()}\n")
        # For what enters the machine: that is not for its systemd to end.
        (self._cgroup / "lab").mkdir(parents=True)
        shared = [f"{source}:{target}" for source, target in _SHARED.items()]
        command = [str(Path(__file__).with_name("boot.sh")), str(self._lower), str(self.directory), *shared]
        namespaces = ["net", "uts", "ipc", "cgroup"]
        self._apart = Apart(command, namespaces, self.directory / "boot.log", self._cgroup)
        eventually(self._answers, _BOOT_SECONDS, f"systemd of {self.name} to answer")
        state = self.run("systemctl is-system-running --wait", check=False, timeout=_BOOT_SECONDS).strip()
        failed = "systemctl --failed --no-legend; journalctl -p4"
        assert state == "running", f"{self.name} is {state}:\n{self.run(failed)}"

    def reboot(self) -> None:
        """As an operator does it: everything is stopped in order, and the same disk boots again."""
        processes.end(self._entered())
        self.run("systemctl reboot", check=False)
        eventually(self._is_shut_down, _OFF_SECONDS, f"{self.name} to shut down")
        self.cut_power()
        self.boot()

    def cut_power(self) -> None:
        """Everything in it ends at one moment."""
        apart, self._apart = self._apart, None
        if apart:
            apart.kill()
            processes.end(self._entered())
            remove_cgroup(self._cgroup)

    def close(self) -> None:
        """Ends it and removes all of it. AssertionError if something is left."""
        self.cut_power()
        shutil.rmtree(self.directory)
        assert not mounts_below(self.directory)
        assert not processes.mentioning(f"{self.directory}/")

    def run(
        self, command: str | Sequence[str], *, check: bool = True, timeout: float = 120.0, given: bytes = b""
    ) -> str:
        """Runs a command (a string: of the shell) and returns what it printed, errors included; `given` is its input.

        AssertionError if it fails, unless `check` is False.
        """
        words = ["sh", "-c", command] if isinstance(command, str) else command
        ended = subprocess.run(
            self._entering(words), input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=_ENVIRONMENT,
            timeout=timeout, check=False,
        )  # fmt: skip
        printed = ended.stdout.decode(errors="replace")
        assert ended.returncode == 0 or not check, f"{command} on {self.name}: code {ended.returncode}\n{printed}"
        return printed

    def succeeds(self, command: str) -> bool:
        """Whether the command ends with code 0."""
        return self.run(f"({command}) >&2 && echo yes", check=False).endswith("yes\n")

    def start(self, words: Sequence[str]) -> subprocess.Popen[bytes]:
        """Starts a program to talk with; it ends with the machine."""
        pipe = subprocess.PIPE
        return subprocess.Popen(self._entering(words), stdin=pipe, stdout=pipe, env=_ENVIRONMENT)

    def write(self, path: str, content: str | bytes, mode: int = 0o644) -> None:
        given = content.encode() if isinstance(content, str) else content
        # In one step: services read these while they are written.
        move = f'mkdir -p "${{1%/*}}" && cat >"$1.new" && chmod {mode:o} "$1.new" && mv "$1.new" "$1"'
        self.run(["sh", "-c", move, "write", path], given=given)

    def append(self, path: str, text: str) -> str:
        """Writes more to the end of a file; returns all of it."""
        self.write(path, self.read(path) + text)
        return self.read(path)

    def read(self, path: str) -> str:
        return self.run(["cat", path])

    def now(self) -> int:
        """The time, in microseconds, as the journal counts it; what has been logged is in the journal now."""
        return int(self.run("journalctl --sync && date +%s%6N"))

    def journal(self, *match: str, since: int = 0) -> list[Json]:
        """The entries of the journal that match (as of `journalctl`: "-u", "x", "POD=y") and are not older."""
        shown = self.run(["journalctl", "-q", "-o", "json", *match], check=False)
        entries = [json.loads(line) for line in shown.splitlines() if line.startswith("{")]
        # journalctl's own ways are too coarse (--since), or lose an entry beside a match (--after-cursor).
        return [entry for entry in entries if int(entry["__REALTIME_TIMESTAMP"]) >= since]

    def _entering(self, words: Sequence[str]) -> list[str]:
        assert self._apart, f"{self.name} is off"
        return self._apart.entering(words, self._cgroup / "lab")

    def _answers(self) -> bool:
        if not self._apart or self._apart.exit_code is not None:
            raise RuntimeError(f"{self.name} does not boot:\n{(self.directory / 'boot.log').read_text()}")
        return processes.name_of(self._apart.init) == "systemd" and self.succeeds("systemctl show -p Version")

    def _is_shut_down(self) -> bool:
        """Whether nothing runs any more but what would now have the hardware reset, after a pause of ten seconds."""
        if not self._apart or self._apart.exit_code is not None:
            return True
        init = self._apart.init
        running = {pid for group, _, _ in os.walk(self._cgroup) for pid in _pids(Path(group))}
        return processes.name_of(init) == "systemd-shutdow" and running <= {init, self._apart.pid}

    def _entered(self) -> list[int]:
        return _pids(self._cgroup / "lab")


def _pids(cgroup: Path) -> list[int]:
    try:
        return list(map(int, (cgroup / "cgroup.procs").read_text().split()))
    except OSError as error:
        # A shutdown removes groups without processes, also while one is read.
        if error.errno in (errno.ENOENT, errno.ENODEV):
            return []
        raise


def _unified_hierarchy() -> Path:
    """Where the host has its cgroups of version 2: alone, or beside those of version 1."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        about, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 ") and about.split()[3] == "/":
            return Path(about.split()[4])
    raise RuntimeError("no cgroup2 hierarchy is mounted: mount -t cgroup2 none DIRECTORY")
