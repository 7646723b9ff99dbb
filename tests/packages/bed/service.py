"""`Service`: the podagent of a machine, as systemd and its journal show it."""

from __future__ import annotations

from lab.waiting import eventually
from packages.bed.machine import Machine

UNIT = "podagent.service"
_DROP_INS = f"/run/systemd/system/{UNIT}.d"


class Service:
    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def systemctl(self, words: str, *, check: bool = True) -> str:
        return self.machine.run(f"systemctl {words} {UNIT}", check=check)

    def drop_in(self, content: str) -> None:
        """Settings of an operator for the unit, until the machine boots again."""
        self.machine.write(f"{_DROP_INS}/test.conf", content)
        self.machine.run("systemctl daemon-reload")

    def remove_drop_ins(self) -> None:
        self.machine.run(f"rm -rf {_DROP_INS} && systemctl daemon-reload")

    def signal(self, name: str) -> None:
        """To the agent's process alone."""
        self.systemctl(f"kill --kill-whom=main --signal={name}")

    def show(self, name: str) -> str:
        """A property of the unit."""
        return self.systemctl(f"show --value --property={name}").strip()

    @property
    def pid(self) -> int:
        """Of the agent, in the machine; 0 when it does not run."""
        return int(self.show("MainPID"))

    def environment(self) -> list[str]:
        """Of the agent: NAME=VALUE."""
        return self.machine.read(f"/proc/{self.pid}/environ").split("\0")

    def wait_for(self, name: str, value: str, timeout: float = 30.0) -> None:
        """Waits until that is in the property of the unit."""

        def shown() -> bool:
            found = self.show(name)
            assert value in found, f"{found!r}:\n{self.systemctl('status --no-pager --lines=30', check=False)}"
            return True

        eventually(shown, timeout, f"{value!r} in {name} of {UNIT}")

    def wait_ready(self) -> None:
        self.wait_for("SubState", "running")

    def wait_for_status(self, text: str) -> None:
        """In what the agent last reported of itself."""
        self.wait_for("StatusText", text)

    def wait_for_restart(self, before: int) -> int:
        """Waits until another process than that one is ready; returns its PID."""

        def another() -> int:
            pid = self.pid
            return pid if pid not in (0, before) and self.show("ActiveState") == "active" else 0

        return eventually(another, 60, f"{UNIT} to be started again")

    def lines(self, *words: str, since: int = 0) -> list[str]:
        """Messages of the agent and of its unit that have all these words."""
        messages = [str(entry.get("MESSAGE", "")) for entry in self.machine.journal("-u", UNIT, since=since)]
        return [message for message in messages if all(word in message for word in words)]

    def wait_for_line(self, *words: str, since: int = 0) -> str:
        """Waits until there is one; returns the first."""
        return eventually(lambda: self.lines(*words, since=since), 30, f"a line with {words} in the journal")[0]
