"""What it costs to pin a network namespace, and to let it go, beside the bare mount and unmount in the same run.

As root: `python -m benchmarks.pins`. The files are on a tmpfs, as those of the agent are on a node.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "src")]

from podagent.host.pins import Pin, Pins, bind, unbind

ROUNDS = 200
MOUNTS = 1000
Samples = dict[str, list[float]]


def timed(samples: Samples, name: str, act: Callable[[], object]) -> None:
    began = time.perf_counter()
    act()
    samples.setdefault(name, []).append((time.perf_counter() - began) * 1000)


def measure(directory: Path, pins: Pins, fd: int) -> Samples:
    """Milliseconds of each act, all of them in turn."""
    samples: Samples = {}
    bare, inode = directory / "bare", os.fstat(fd).st_ino
    bare.touch()
    for number in range(ROUNDS):
        pin = Pin(f"measured-{number}", inode)
        timed(samples, "pin", lambda: pins.pin(pin, fd))  # noqa: B023 - called at once
        timed(samples, "bare mount", lambda: bind(f"/proc/self/fd/{fd}", str(bare)))
        timed(samples, "unpin", lambda: pins.unpin(pin))  # noqa: B023
        timed(samples, "bare unmount", lambda: unbind(str(bare)))
    return samples


def starts(directory: Path, kept: list[Pin]) -> dict[str, float]:
    """Milliseconds of the first look of an agent at the pins, all of which have records, or none."""
    samples: Samples = {}
    timed(samples, "start, all with records", lambda: Pins(directory / "netns").keep_only(kept))
    timed(samples, "start, none with records", lambda: Pins(directory / "netns").keep_only([]))
    return {name: values[0] for name, values in samples.items()}


def run(directory: Path, fd: int) -> None:
    pins, inode = Pins(directory / "netns"), os.fstat(fd).st_ino
    kept = [Pin(f"{number:064x}", inode) for number in range(MOUNTS)]
    few = measure(directory, pins, fd)
    for pin in kept:
        pins.pin(pin, fd)
    many = measure(directory, pins, fd)
    print(f"| median of {ROUNDS}, ms | no other mount | {MOUNTS} others |\n|---|---:|---:|")
    for name in few:
        print(f"| {name} | {statistics.median(few[name]):.3f} | {statistics.median(many[name]):.3f} |")
    for name, took in starts(directory, kept).items():
        print(f"| {name} | | {took:.1f} |")


def main() -> None:
    spawn = ["unshare", "-n", "sleep", "600"]
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory, subprocess.Popen(spawn) as process:
        time.sleep(0.5)
        fd = os.open(f"/proc/{process.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        run(Path(directory), fd)
        process.kill()


if __name__ == "__main__":
    main()
