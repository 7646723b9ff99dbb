"""Finding processes in /proc, and ending them: only ever by PID."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lab.waiting import eventually


def descendants(pid: int) -> list[int]:
    """The children of `pid`, their children and so on, parents first."""
    children: dict[int, list[int]] = {}
    for each in all_pids():
        children.setdefault(parent_of(each), []).append(each)
    found, open_ends = [], [pid]
    while open_ends:
        below = children.get(open_ends.pop(0), [])
        found += below
        open_ends += below
    return found


def mentioning(text: str) -> list[int]:
    """Processes with `text` (such as a unique path) in their command line."""
    wanted = os.fsencode(text)
    return [pid for pid in all_pids() if pid != os.getpid() and wanted in _read(pid, "cmdline")]


def parent_of(pid: int) -> int:
    """The parent's PID; 0 when there is none (any more)."""
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if len(fields) > 1 else 0


def name_of(pid: int) -> str:
    """The name of its executable, cut to 15 characters; "" when it has ended."""
    return _read(pid, "comm").decode(errors="replace").strip()


def open_files(pid: int | str = "self") -> list[str]:
    """What the descriptors of a process lead to; each pipe and socket has a number of its own."""
    found = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile, as that of this listing is
            found.append(str(descriptor.readlink()))
    return [target for target in found if not target.startswith("/proc/")]


def namespaces_held(pid: int) -> list[str]:
    """The network namespaces that it has open, as `net:[inode]`."""
    return [target for target in open_files(pid) if target.startswith("net:[")]


def is_alive(pid: int) -> bool:
    """Whether it runs: a zombie does not."""
    return _read(pid, "stat").rpartition(b")")[2].split()[:1] not in ([], [b"Z"], [b"X"])


def memory_kib(pid: int) -> int:
    """Resident set size in KiB."""
    fields = dict(line.split(b":", 1) for line in _read(pid, "status").splitlines() if b":" in line)
    return int(fields[b"VmRSS"].split()[0])


def cpu_seconds(pid: int) -> float:
    """User and system time used so far."""
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def end(pids: Iterable[int], number: signal.Signals = signal.SIGKILL) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def end_tree(process: subprocess.Popen[Any]) -> None:
    """SIGKILL to a child of ours and to everything it started, at one moment, as a power cut would."""
    # Stopped first, so that it cannot start another one between the look and the kill.
    process.send_signal(signal.SIGSTOP)
    below = descendants(process.pid)
    end(below, signal.SIGSTOP)
    below += [pid for pid in descendants(process.pid) if pid not in below]
    end([process.pid, *below])
    process.communicate()
    wait_gone(below)


def wait_gone(pids: list[int], timeout: float = 10.0) -> None:
    eventually(lambda: not any(map(is_alive, pids)), timeout, f"processes {pids} to end")


def wait_gone_or(pids: list[int], timeout: float) -> bool:
    """Whether all ended within `timeout` seconds."""
    try:
        wait_gone(pids, timeout)
    except AssertionError:
        return False
    return True


def all_pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
