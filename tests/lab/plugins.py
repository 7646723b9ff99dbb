"""CNI plugins for tests: a directory with the real ones, in which some are watched, held up, broken or replaced."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import pluginscripts, processes
from lab.networks import plugin_dir
from lab.waiting import eventually

Json = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One run of a plugin.

    Attributes:
        plugin: the path it was found at.
        time: `time.monotonic()` when it began.
        env: its whole environment.
        stdin: what it read, undecoded.
    """

    plugin: str
    time: float
    env: dict[str, str]
    stdin: str

    @property
    def command(self) -> str:
        return self.env.get("CNI_COMMAND", "")

    @property
    def config(self) -> Json:
        """The network configuration it was given."""
        loaded: Json = json.loads(self.stdin)
        return loaded

    @property
    def args(self) -> list[str]:
        """The pairs of CNI_ARGS, in order."""
        return [pair for pair in self.env.get("CNI_ARGS", "").split(";") if pair]


@dataclass
class Gate:
    """Holds a plugin up at one point until it is opened."""

    directory: Path
    _opened: bool = field(default=False)

    @property
    def arrivals(self) -> int:
        """How many runs have reached the point so far."""
        return len(list(self.directory.glob("reached.*")))

    def wait_reached(self, count: int = 1, timeout: float = 15.0) -> None:
        eventually(lambda: self.arrivals >= count, timeout, f"a plugin to reach {self.directory.name}")

    def open(self) -> None:
        """Lets everyone through, from now on."""
        (self.directory / "open").touch()


class PluginDir:
    """A CNI bin directory. The real plugins are in it as symbolic links; `restore` brings one back."""

    def __init__(self, directory: Path, real: Path | None = None) -> None:
        self.path = directory
        self.real = real or plugin_dir()
        self._notes = directory.parent / f".{directory.name}"
        directory.mkdir(parents=True)
        self._notes.mkdir()
        for plugin in self.real.iterdir():
            self.restore(plugin.name)

    # --- watching -----------------------------------------------------------------------------------------------

    def record(self, *names: str) -> None:
        """The plugins go on working, and every run of them is noted: see `calls`."""
        for name in names:
            self.alias(name, self.real / name)

    def alias(self, name: str, target: Path, directory: Path | None = None) -> Path:
        """The program `target` as a plugin whose runs are noted. `directory`: put it there, as a vendor would."""
        return self._install(name, pluginscripts.RECORD, f"#!{sys.executable} -IS", {"target": str(target)}, directory)

    def calls(self, command: str = "", plugin: str = "") -> list[Call]:
        """The noted runs, in order; of one CNI_COMMAND and of one plugin name if given."""
        if not self._log.exists():
            return []
        noted = (json.loads(line) for line in self._log.read_text().splitlines())
        found = (Call(**each) for each in noted)
        return [c for c in found if command in ("", c.command) and plugin in ("", Path(c.plugin).name)]

    def forget_calls(self) -> None:
        self._log.unlink(missing_ok=True)

    # --- holding up ---------------------------------------------------------------------------------------------

    def gate(self, name: str, point: str = "before", command: str = "ADD") -> Gate:
        """The real plugin `name`, held up ``before`` or ``after`` its work in `command`.

        Give an IPAM plugin's name to stop in the middle of the plugin that calls it.
        """
        directory = self._notes / f"{point}-{name}-{command}"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        values = {"gate": str(directory), "command": command, "target": str(self.real / name)}
        self._install(name, pluginscripts.GATES[point], "#!/bin/sh", values)
        return Gate(directory)

    # --- breaking -----------------------------------------------------------------------------------------------

    def breaks(self, name: str, *commands: str, script: str) -> None:
        """In these commands (none: in all that attach, detach or check) the plugin is that shell script."""
        target = str(self.real / name) if (self.real / name).exists() else ""
        values = {"commands": "|".join(commands or ("ADD", "DEL", "CHECK")), "body": script, "target": target}
        self._install(name, pluginscripts.BROKEN, "#!/bin/sh", values)

    def fail(self, name: str, *commands: str, code: int = 11, msg: str = "not now", details: str = "") -> None:
        """Ends with the error object of the specification."""
        error = {"cniVersion": "0.4.0", "code": code, "msg": msg, "details": details}
        self.breaks(name, *commands, script=f"printf '%s' {shlex.quote(json.dumps(error))}\nexit 1")

    def restore(self, name: str) -> None:
        """The real plugin again, or none if there is none."""
        (self.path / name).unlink(missing_ok=True)
        if (self.real / name).exists():
            (self.path / name).symlink_to(self.real / name)

    def processes(self) -> list[int]:
        """Runs of our own scripts that have not ended."""
        recorded = self._pids.read_text().split() if self._pids.exists() else []
        ours = set(processes.mentioning(f"{self.path}/")) | set(processes.mentioning(f"{self._notes}/"))
        return [int(pid) for pid in recorded if int(pid) in ours]

    def close(self) -> None:
        """Ends what hangs and removes everything."""
        hanging = self.processes()
        processes.end([*hanging, *(child for pid in hanging for child in processes.descendants(pid))])
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.rmtree(self._notes, ignore_errors=True)

    # --- making -------------------------------------------------------------------------------------------------

    @property
    def _log(self) -> Path:
        return self._notes / "calls"

    @property
    def _pids(self) -> Path:
        return self._notes / "pids"

    def _install(
        self, name: str, script: str, interpreter: str, values: dict[str, str], directory: Path | None = None
    ) -> Path:
        path = (directory or self.path) / name
        common = {"log": str(self._log), "pids": str(self._pids), "notes": str(self._notes)}
        text = f"{interpreter}\n{script}"
        for key, value in (values | common).items():
            text = text.replace(f"@{key}@", value)
        # Renamed into place: a running script must not change under its interpreter.
        new = self._notes / f"new-{name}"
        new.write_text(text)
        new.chmod(0o755)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(new, path)
        return path
