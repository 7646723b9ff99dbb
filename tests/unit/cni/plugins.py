"""CNI plugins that run in memory, and the links that they make."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

from podagent.cni.reply import Ended
from podagent.foreign import Json

RESULT: Json = {"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "10.1.0.5/16"}]}


class Given(NamedTuple):
    """What a plugin was run with."""

    conf: Json
    env: Mapping[str, str]
    timeout: float

    @property
    def args(self) -> list[str]:
        return self.env["CNI_ARGS"].split(";")


class Plugins:
    """Every plugin there may be.

    Attributes:
        links: that ADD has made and DEL has not removed, which needs the namespace.
        calls: as ``COMMAND plugin interface``.
        given: to each plugin by its last call.
        answers: of ADD, by plugin, where it is not `RESULT`.
        failures: by ``COMMAND plugin``; an ADD that fails has made its link.
        stderr: of every plugin.
        slow: those that take long.
    """

    def __init__(self) -> None:
        self.links: set[str] = set()
        self.calls: list[str] = []
        self.given: dict[str, Given] = {}
        self.answers: dict[str, Json | bytes] = {}
        self.failures: dict[str, BaseException | Json] = {}
        self.stderr = b""
        self.slow: set[str] = set()

    def fail(self, call: str, code: int = 104, message: str = "no") -> None:
        self.failures[call] = {"code": code, "msg": message}

    def run(
        self, executable: str, env: Mapping[str, str], stdin: bytes, timeout: float, name: str,
        on_slow: Callable[[], None],
    ) -> Ended:  # fmt: skip
        """In the place of `podagent.cni.plugin.run`."""
        if name in self.slow:
            on_slow()
        command, ifname = env["CNI_COMMAND"], env["CNI_IFNAME"]
        failure = self.failures.get(f"{command} {name}")
        if isinstance(failure, BaseException):
            raise failure
        self.calls.append(f"{command} {name} {ifname}".rstrip())
        self.given[name] = Given(json.loads(stdin), env, timeout)
        if command == "ADD":
            self.links.add(ifname)
        elif command == "DEL" and failure is None and env["CNI_NETNS"]:
            self.links.discard(ifname)
        if failure is not None:
            return Ended(1, json.dumps(failure).encode(), b"")
        answer = self.answers.get(name, RESULT if command == "ADD" else b"")
        return Ended(0, answer if isinstance(answer, bytes) else json.dumps(answer).encode(), self.stderr)
