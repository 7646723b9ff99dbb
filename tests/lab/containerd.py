"""`PrivateContainerd`: a real containerd of our own, of a version that is chosen, beside the one the host may run.

It pulls nothing: its only image is made out of the host's static busybox. Unless it is given another CNI configuration,
eth0 of its pods is on a bridge that leads nowhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lab import ociimage, processes, programs
from lab.cri import CriKubelet, UserNamespace
from lab.daemon import PrivateDaemon
from lab.mounts import unmount_below
from lab.networks import plugin_dir
from lab.podruntime import IDLE, IMAGE, Container, PodMetadata
from lab.waiting import eventually
from podagent.errors import RuntimeUnavailable

VERSIONS = ("1.6", "1.7", "2.1")
"""The first one is that of the host, which is Debian 12's; the others are `fetch-containerd.sh`'s."""
_FETCHED = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "podagent-containerd"
_CONFIG = """\
version = 2
root = "{state}/root"
state = "{state}/state"
[grpc]
address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
path = "{state}/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{image}"
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{bin_dir}"
conf_dir = "{conf_dir}"
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
Root = "{state}/runc"
BinaryName = "{runc}"
"""


class Cni(NamedTuple):
    """Directories of a CNI configuration and of its plugins."""

    conf_dir: Path
    bin_dir: Path


class PrivateContainerd(PrivateDaemon):
    """Runs from `start()` (or `with`) to `stop()`. Pods are made through CRI, as the kubelet makes them.

    Attributes:
        version: one of `VERSIONS`; a change takes effect with the next start.
        kubelet: makes the pods.
        users: of the pods made from now on; None: those of the host.
        bridge: of their eth0.
    """

    name = "containerd"
    kept = ("root", "state", "runc", "opt", "ipam")
    own_links = frozenset({"lo", "eth0"})
    reports_ends = False
    mode = 0o711  # root of a user namespace passes through it

    def __init__(
        self,
        version: str = VERSIONS[0],
        state_dir: Path | str | None = None,
        cni: Cni | None = None,
        image: str = IMAGE,
    ) -> None:
        """
        Args:
            version: one of `VERSIONS`.
            state_dir: short enough for unix sockets; None makes one under /tmp, and removes it at the end.
            cni: of its pods' eth0; None: as described above.
            image: of sandboxes, and of the containers that are made here.
        """
        super().__init__(state_dir)
        self.version = version
        self._image = _full_name(image)
        self.kubelet = CriKubelet(self.socket, self._image)
        self.bridge = "lab" + hashlib.md5(bytes(self.state_dir), usedforsecurity=False).hexdigest()[:8]
        self.users: UserNamespace | None = None
        self._cni = cni or Cni(self.state_dir / "net.d", plugin_dir())
        self._makes_conf = cni is None

    def __enter__(self) -> PrivateContainerd:
        try:
            self.start()
            self.image()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def socket(self) -> Path:
        return self.state_dir / "containerd.sock"

    @property
    def endpoint(self) -> str:
        return f"unix://{self.socket}"

    def of_agent(self) -> dict[str, Any]:
        return {"cri_endpoint": self.endpoint}

    def restart(self, *, keep_containers: bool = False) -> None:
        """Containers end with it, as in a reboot, unless they are kept."""
        with self.away(keep_containers=keep_containers):
            pass

    @contextlib.contextmanager
    def away(self, *, keep_containers: bool = False, number: signal.Signals = signal.SIGTERM) -> Iterator[None]:
        self._end_daemon(number)
        if not keep_containers:
            self._end_mentioning(f"-address\0{self.socket}", signal.SIGKILL)  # its shims; an agent names the socket too
            unmount_below(self.state_dir / "state" / "io.containerd.grpc.v1.cri" / "netns")
        try:
            yield
        finally:
            self._spawn()

    def stop(self) -> None:
        # In good order if it answers, so that the kernel's traces of the containers go too.
        if self.socket.exists():
            with contextlib.suppress(RuntimeUnavailable):
                self.kubelet.remove_all()
        super().stop()
        subprocess.run(["ip", "link", "del", self.bridge], check=False, capture_output=True, timeout=30)

    def image(self, name: str = "", command: Sequence[str] = IDLE) -> str:
        """Makes the busybox image; returns its name. `command` is what it runs by default."""
        name = _full_name(name) if name else self._image
        path = self.state_dir / "image.tar"
        path.write_bytes(ociimage.archive(name, command))
        ctr = [str(self._programs() / "ctr"), f"--address={self.socket}", "--namespace=k8s.io"]
        done = subprocess.run([*ctr, "images", "import", str(path)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        eventually(self.kubelet.has_image, what=f"{name} to be known")
        return name

    # --- containers -----------------------------------------------------------------------------------------------

    def run_sandbox(self, pod: PodMetadata, *, host_network: bool = False) -> str:
        """Returns the ID of a new sandbox, with eth0 in its network namespace."""
        return self.kubelet.run_sandbox(pod, host_network=host_network, users=self.users)

    def run_container(self, pod: PodMetadata, sandbox_id: str, name: str, command: Sequence[str] = ()) -> str:
        return self.kubelet.run_container(pod, sandbox_id, name, command)

    def exec(self, container_id: str, command: Sequence[str], *, tty: bool = False) -> tuple[int, bytes]:
        """Runs a command in the container; returns its exit code and output. It has no terminal."""
        return self.kubelet.exec(container_id, command)

    def inspect(self, container_id: str) -> Container:
        return self.kubelet.inspect(container_id)

    def kill(self, container_id: str) -> None:
        pid = self.inspect(container_id).pid
        assert pid, f"{container_id} does not run"
        processes.end([pid])
        # It refuses to remove one of whose end it has not heard yet.
        eventually(lambda: not self.inspect(container_id).running, what=f"containerd to see the end of {container_id}")

    def remove(self, container_id: str) -> None:
        self.kubelet.remove(container_id)

    def running_sandbox(self, pod_uid: str) -> str:
        """The ID of the newest running sandbox of the pod; "" without one."""
        return self.kubelet.running_sandbox(pod_uid)

    def cgroup_driver(self) -> str:
        """The kubelet must use the same."""
        return "cgroupfs"

    def container_names(self, *, running: bool = False) -> list[str]:
        return self.kubelet.names(running=running)

    # --- the daemon -----------------------------------------------------------------------------------------------

    def _command(self) -> list[str]:
        config, runc = self.state_dir / "config.toml", self._runc() or programs.find("runc", "runc")
        values = {"state": self.state_dir, "socket": self.socket, "image": self._image, "runc": runc}
        config.write_text(_CONFIG.format(**values, **self._cni._asdict()))
        if self._makes_conf:
            self._cni.conf_dir.mkdir(exist_ok=True)
            (self._cni.conf_dir / "10-eth0.conf").write_text(json.dumps(self._eth0()))
        return [str(self._programs() / "containerd"), "--config", str(config)]

    def _eth0(self) -> dict[str, Any]:
        ranges = [[{"subnet": "100.64.0.0/16"}]]
        ipam = {"type": "host-local", "dataDir": str(self.state_dir / "ipam"), "ranges": ranges}
        return {"cniVersion": "0.4.0", "name": "pods", "type": "bridge", "bridge": self.bridge, "ipam": ipam}

    def _programs(self) -> Path:
        if self.version == VERSIONS[0]:
            return Path(programs.find("containerd", "containerd")).parent
        if not is_there(self.version):
            raise RuntimeError(f"containerd {self.version} is not there: run `scripts/setup.sh runtimes`")
        return _FETCHED / self.version / "bin"

    def _search_path(self) -> str:
        return f"{self._programs()}:{super()._search_path()}"  # its shim is of the same version

    def _sign(self) -> str:
        return f"{self.state_dir}/config.toml"

    def _responds(self) -> bool:
        try:
            self.kubelet.names()
        except RuntimeUnavailable:
            return False
        return True


def _full_name(image: str) -> str:
    """As containerd has it."""
    return f"docker.io/{image}" if "/" in image else f"docker.io/library/{image}"


def is_there(version: str) -> bool:
    """Whether this machine has that version."""
    return version == VERSIONS[0] or (_FETCHED / version / "bin").is_dir()
