"""`Service`: the podagent of a machine, as systemd and its journal show it."""

from __future__ import annotations

import json
from typing import Any

from lab.waiting import eventually
from packages.bed.machine import Machine

Json = dict[str, Any]

UNIT = "podagent.service"
STATE = "/var/lib/podagent"
_DROP_INS = f"/run/systemd/system/{UNIT}.d"


class Service:
    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    # --- what is done with it -----------------------------------------------------------------------------------

    def systemctl(self, words: str, *, check: bool = True) -> str:
        return self.machine.run(f"systemctl {words} {UNIT}", check=check)

    def start(self) -> None:
        self.systemctl("start")

    def stop(self) -> None:
        self.systemctl("stop")

    def restart(self) -> None:
        self.systemctl("restart")

    def drop_in(self, name: str, content: str) -> None:
        """Settings of an operator for the unit, until the machine boots again."""
        self.machine.write(f"{_DROP_INS}/{name}.conf", content)
        self.machine.run("systemctl daemon-reload")

    def remove_drop_ins(self) -> None:
        self.machine.run(f"rm -rf {_DROP_INS} && systemctl daemon-reload")

    def signal(self, name: str) -> None:
        """To the agent's process alone."""
        self.systemctl(f"kill --kill-whom=main --signal={name}")

    # --- what there is ------------------------------------------------------------------------------------------

    def show(self, name: str) -> str:
        """A property of the unit."""
        return self.systemctl(f"show --value --property={name}").strip()

    @property
    def pid(self) -> int:
        """Of the agent, in the machine; 0 when it does not run."""
        return int(self.show("MainPID"))

    @property
    def is_ready(self) -> bool:
        """Whether it runs and has said so."""
        return self.show("ActiveState") == "active"

    @property
    def status(self) -> str:
        """What the agent last told systemd of itself."""
        return self.show("StatusText")

    def wait_ready(self, timeout: float = 30.0) -> None:
        def ready() -> bool:
            assert self.is_ready, self.systemctl("status --no-pager --lines=30", check=False)
            return True

        eventually(ready, timeout, f"{UNIT} to be active")

    def wait_for_status(self, text: str, timeout: float = 30.0) -> None:
        def said() -> bool:
            assert text in (status := self.status), f"{status!r}"
            return True

        eventually(said, timeout, f"the status {text!r}")

    def wait_for_restart(self, before: int, timeout: float = 60.0) -> int:
        """Waits until another process than that one is ready; returns its PID."""

        def another() -> int:
            pid = self.pid
            return pid if pid not in (0, before) and self.is_ready else 0

        return eventually(another, timeout, f"{UNIT} to be started again")

    def lines(self, *words: str, since: int = 0) -> list[str]:
        """Messages of the agent and of its unit that have all these words."""
        entries = self.machine.journal("-u", UNIT, since=since)
        messages = [str(entry.get("MESSAGE", "")) for entry in entries]
        return [message for message in messages if all(word in message for word in words)]

    def wait_for_line(self, *words: str, since: int = 0, timeout: float = 30.0) -> str:
        """Waits until there is one; returns the first."""
        what = f"a line with {words} in the journal"
        return eventually(lambda: self.lines(*words, since=since), timeout, what)[0]

    def records(self) -> list[Json]:
        """What the agent has on disk about its attachments."""
        shown = self.machine.run(f"cat {STATE}/attachments/*.json 2>/dev/null", check=False)
        decoder, found, rest = json.JSONDecoder(), [], shown.strip()
        while rest:
            record, end = decoder.raw_decode(rest)
            found.append(record["record"])
            rest = rest[end:].strip()
        return found

    def attachments(self) -> list[tuple[str, str]]:
        """Network and phase of each record."""
        return sorted((record["attachment"]["network"], record["phase"]) for record in self.records())

    def wait_for_attachments(self, *networks: str, timeout: float = 30.0) -> None:
        """Waits until exactly these are recorded, as attached."""
        wanted = sorted((network, "ATTACHED") for network in networks)

        def exactly() -> bool:
            assert self.attachments() == wanted, f"{self.attachments()}"
            return True

        eventually(exactly, timeout, f"records of {wanted}")
