"""Our kactus as an executable, and calls of it as the kubelet and the agent make them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import processes
from lab.files import paths_below

Json = dict[str, Any]

_PATHS = [str(Path(__file__).resolve().parents[2] / "src"), sysconfig.get_path("purelib")]
_TIMEOUT_SECONDS = 150.0
_WRAPPER = """\
#!{python} -IS
import sys
sys.path[:0] = {paths!r}
from podagent.kactus.main import main
sys.exit(main())
"""


def install(directory: Path, name: str = "kactus") -> Path:
    """Puts an executable that is our kactus into `directory`, complete at once, and returns its path."""
    directory.mkdir(parents=True, exist_ok=True)
    new = directory / f".{name}.new"
    new.write_text(_WRAPPER.format(python=sys.executable, paths=_PATHS))
    new.chmod(0o755)
    return new.replace(directory / name)


@dataclass(frozen=True)
class Answer:
    """How a call ended.

    Attributes:
        exit_code: negative for a signal.
        printed: the JSON object on its standard output, {} when it printed nothing.
        stderr: its standard error.
    """

    exit_code: int
    printed: Json
    stderr: str = ""

    @property
    def ok(self) -> bool:
        return self.exit_code == 0

    @property
    def code(self) -> int:
        """The code of the error object; 0 when it succeeded."""
        return 0 if self.ok else int(self.printed.get("code", -1))

    @property
    def message(self) -> str:
        return " ".join(str(self.printed[key]) for key in ("msg", "details") if self.printed.get(key))

    @property
    def addresses(self) -> list[str]:
        return [ip["address"] for ip in self.printed.get("ips", [])]


class Running:
    """A call that has been started."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def answer(self, timeout: float = _TIMEOUT_SECONDS) -> Answer:
        """Waits for its end."""
        stdout, stderr = self._process.communicate(timeout=timeout)
        return Answer(self._process.returncode, json.loads(stdout) if stdout.strip() else {}, stderr)

    def kill(self) -> None:
        """SIGKILL to kactus alone: the plugin it runs goes on without it."""
        self._process.kill()
        self._process.communicate()

    def kill_tree(self) -> None:
        processes.end_tree(self._process)


@dataclass
class Kactus:
    """Calls one executable with one configuration.

    Attributes:
        executable: of kactus.
        bin_dir: CNI_PATH.
        cni_dir: where it keeps the delegates of each container.
        kubeconfig: "" to leave it out of the configuration.
        master: the delegate of the default interface, without ``masterPlugin``.
        environ: further variables, such as ``_CNI_LOGGING_FILE``.
    """

    executable: Path
    bin_dir: Path
    cni_dir: Path
    kubeconfig: Path | str = ""
    master: Json = field(default_factory=dict)
    cni_version: str = "0.4.0"
    environ: Mapping[str, str] = field(default_factory=dict)

    def conf(self, **changes: Any) -> Json:
        """The configuration; `changes` replace keys."""
        conf = {"cniVersion": self.cni_version, "name": "cluster", "type": "kactus", "cniDir": str(self.cni_dir)}
        kubeconfig = {"kubeconfig": str(self.kubeconfig)} if self.kubeconfig else {}
        return conf | kubeconfig | {"delegates": [{**self.master, "masterPlugin": True}]} | changes

    def start(
        self, command: str, container: str = "", netns: str = "", ifname: str = "eth0", args: str = "",
        conf: Json | str | None = None,
    ) -> Running:  # fmt: skip
        """Begins a call; `conf` as text goes in as it is, well-formed or not."""
        env = {"CNI_COMMAND": command, "CNI_CONTAINERID": container, "CNI_NETNS": netns, "CNI_IFNAME": ifname}
        env |= {"CNI_ARGS": args, "CNI_PATH": str(self.bin_dir), "PATH": os.environ["PATH"], **self.environ}
        process = subprocess.Popen(
            [str(self.executable)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, cwd="/",
        )  # fmt: skip
        assert process.stdin is not None
        text = conf if isinstance(conf, str) else json.dumps(self.conf() if conf is None else conf)
        try:
            process.stdin.write(text)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it has ended without reading
        process.stdin = None
        return Running(process)

    def call(
        self, command: str, container: str = "", netns: str = "", ifname: str = "eth0", args: str = "",
        conf: Json | str | None = None,
    ) -> Answer:  # fmt: skip
        return self.start(command, container, netns, ifname, args, conf).answer()

    def saved(self, container: str) -> list[Json] | None:
        """What is kept for a container; None when there is no file."""
        try:
            kept: list[Json] = json.loads((self.cni_dir / container).read_text())
        except FileNotFoundError:
            return None
        return kept

    def files(self) -> list[str]:
        """Everything below its directory, without the directory of its locks itself."""
        return sorted(str(path.relative_to(self.cni_dir)) for path in paths_below(self.cni_dir) if not path.is_dir())


def kubelet_args(container: str, namespace: str, pod: str) -> str:
    """CNI_ARGS as a container runtime gives them; "" for what is no pod."""
    if not pod:
        return ""
    known = f"K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={pod};K8S_POD_INFRA_CONTAINER_ID={container}"
    return f"IgnoreUnknown=1;{known}"


def agent_args(container: str, namespace: str, pod: str, network: str, mac: str = "") -> str:
    """CNI_ARGS as the agent gives them for one network."""
    return f"{kubelet_args(container, namespace, pod)};K8S_POD_NETWORK={network};K8S_POD_IFMAC={mac}"
