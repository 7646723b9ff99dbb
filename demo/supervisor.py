"""Starts the play, and cleans up when it has ended, was interrupted or has failed."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time

from demo import host
from lab.programs import RUNTIMES, installed_runtime

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Supervisor:
    """Runs the play in a session of its own, so that a Ctrl-C reaches only this process."""

    def __init__(self) -> None:
        self._play: subprocess.Popen[bytes] | None = None
        self._received: list[int] = []
        self._cleaning = False
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)

    def perform(self, mode: str, runtime: str) -> int:
        """Plays, cleans up, and returns the exit code."""
        begun = time.monotonic()
        with host.occupied(runtime):
            code = 1 if self._received else self._run_play(mode, runtime)
            self._cleaning = True
            if self._received:
                _say(f"\nended by {signal.Signals(self._received[0]).name}: cleaning up ...")
        # Python gives up its handlers before it ends: a late signal would kill it and take the exit code along.
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        if self._received:
            _say("nothing is left behind")
            return 128 + self._received[0]
        _say(f"   {'✔' if not code else '·'} nothing is left behind on this machine; it took "
             f"{time.monotonic() - begun:.0f} s in all")  # fmt: skip
        return code

    def _run_play(self, mode: str, runtime: str) -> int:
        command = [sys.executable, "-m", "demo.play", "--mode", mode, "--runtime", runtime]
        self._play = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        if self._received:
            self._end_play()
        code = self._play.wait()
        # What it ran at the end may still be at it.
        self._end_play()
        return code

    def _end_play(self) -> None:
        if self._play:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._play.pid, signal.SIGKILL)

    def _on_signal(self, number: int, _: object) -> None:
        if self._cleaning:
            _say("cleaning up, a moment please ...")
            return
        self._received.append(number)
        self._end_play()


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # whoever read it may be gone
        print(text, flush=True)


def main() -> int:
    """Returns the exit code: 0 all as promised, 1 not, 2 cannot be played, 128 + signal when interrupted."""
    parser = argparse.ArgumentParser("demo", description="Plays the example of README.md on real containers.")
    parser.add_argument("--mode", choices=("delegate", "system"), default="delegate", help="attach-via of the agent")
    parser.add_argument("--runtime", choices=tuple(RUNTIMES), help="default: the one that is installed")
    arguments = parser.parse_args()
    os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"  # plain `su` leaves them out
    try:
        return Supervisor().perform(arguments.mode, arguments.runtime or installed_runtime())
    except host.NotHere as error:
        _say(f"The demo was not played: {error}")
        return 2
