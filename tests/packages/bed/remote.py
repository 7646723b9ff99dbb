"""`Remote`: the `Node` of a machine, called from outside."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

from packages.bed.machine import LAB_PATH, Machine

_PROGRAM = "from packages.bed.node import main; main()"


class Remote:
    """Has the methods of `Node`. The machine must be on; it ends with it."""

    def __init__(self, machine: Machine) -> None:
        environment = [f"PYTHONPATH={LAB_PATH}", "PYTHONDONTWRITEBYTECODE=1"]
        self._process = machine.start(["env", *environment, "python3", "-c", _PROGRAM, machine.name])

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return partial(self._call, name)

    def close(self) -> None:
        """What it has made is removed, unless the machine has gone down with it."""
        with contextlib.suppress(BrokenPipeError, EOFError):
            self._call("clear")
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate(timeout=20)

    def _call(self, method: str, /, *given: object, **options: object) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        pickle.dump((method, given, options), self._process.stdin)
        self._process.stdin.flush()
        value, failure = pickle.load(self._process.stdout)
        assert not failure, failure
        return value
