"""`Remote`: the `Node` of a machine, called from outside."""

from __future__ import annotations

import contextlib
import pickle
import subprocess
from collections.abc import Callable
from functools import partial
from typing import Any

from packages.bed.machine import LAB_PATH, Machine

_PROGRAM = "from packages.bed.node import main; main()"


class Remote:
    """Has the methods of `Node`. The machine must be on."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._process = self._started()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return partial(self._call, name)

    def bring_back(self, *given: object) -> None:
        """In another process: the first one ended with the machine."""
        self._end()
        self._process = self._started()
        self._call("bring_back", *given)

    def close(self) -> None:
        """What it has made is removed."""
        self._call("clear")
        self._end()

    def _started(self) -> subprocess.Popen[bytes]:
        environment = [f"PYTHONPATH={LAB_PATH}", "PYTHONDONTWRITEBYTECODE=1"]
        return self._machine.start(["env", *environment, "python3", "-c", _PROGRAM, self._machine.name])

    def _call(self, method: str, /, *given: object, **options: object) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        pickle.dump((method, given, options), self._process.stdin)
        self._process.stdin.flush()
        value, failure = pickle.load(self._process.stdout)
        assert not failure, failure
        return value

    def _end(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate(timeout=20)
