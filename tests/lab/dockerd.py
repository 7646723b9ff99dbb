"""`PrivateDockerd`: a real dockerd of our own, beside the one the host may run. Nothing of it is left behind.

It has no network: no bridge, no packet filter rules, no pulls. Its only image is made out of the host's static busybox.
A sandbox holds the network namespace of a pod, and the pod's containers run in it; it is a container too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import docker
import requests

from lab import processes, programs
from lab.busybox import root_filesystem
from lab.daemon import PrivateDaemon
from lab.podruntime import IDLE, IMAGE, Container, PodMetadata
from lab.waiting import eventually

_SANDBOX = {"io.kubernetes.docker.type": "podsandbox"}


class PrivateDockerd(PrivateDaemon):
    """Runs from `start()` (or `with`) to `stop()`. Pods are made as the kubelet's dockershim makes them."""

    name = "docker"
    kept = ("data", "exec")
    own_links = frozenset({"lo"})
    reports_ends = True

    def __init__(self, state_dir: Path | str | None = None, cgroup_parent: str = "") -> None:
        """
        Args:
            state_dir: short enough for unix sockets; None makes one under /tmp, and removes it at the end.
            cgroup_parent: of the cgroups of containers; "": Docker's default.
        """
        super().__init__(state_dir)
        self._cgroup_parent = cgroup_parent
        self._live_restore = False
        self._client: docker.APIClient | None = None

    def __enter__(self) -> PrivateDockerd:
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
        return self.state_dir / "docker.sock"

    @property
    def endpoint(self) -> str:
        return f"unix://{self.socket}"

    def of_agent(self) -> dict[str, Any]:
        return {"docker_endpoint": self.endpoint}

    @property
    def client(self) -> docker.APIClient:
        if self._client is None:
            # Never the user's configuration or credentials: explicit address, no environment.
            self._client = docker.APIClient(base_url=self.endpoint, version="auto", timeout=60)
        return self._client

    def restart(self, *, keep_containers: bool = False) -> None:
        """Containers end with it unless they are kept."""
        with self.away(keep_containers=keep_containers):
            pass

    @contextlib.contextmanager
    def away(self, *, keep_containers: bool = False) -> Iterator[None]:
        if keep_containers:
            self._reload(live_restore=True)
        self._end_daemon()
        try:
            yield
        finally:
            self._spawn()
            if keep_containers:
                self._reload(live_restore=False)

    def stop(self) -> None:
        # In good order if it answers, so that the kernel's and containerd's traces of the containers go too.
        if self.socket.exists():
            with contextlib.suppress(docker.errors.DockerException, requests.RequestException):
                self.remove_containers()
        super().stop()

    def cgroup_driver(self) -> str:
        """The kubelet must use the same."""
        return str(self.client.info()["CgroupDriver"])

    def image(self, name: str = IMAGE, command: Sequence[str] = IDLE) -> str:
        """Makes the busybox image if it is not there; returns its name. `command` is what it runs by default."""
        try:
            self.client.inspect_image(name)
        except docker.errors.ImageNotFound:
            repository, _, tag = name.partition(":")
            changes = ["ENV PATH=/bin", f"CMD {json.dumps(list(command))}"]
            self.client.import_image_from_data(root_filesystem(), repository, tag, changes)
        return name

    # --- containers -----------------------------------------------------------------------------------------------

    def run_sandbox(self, pod: PodMetadata, *, host_network: bool = False) -> str:
        """Returns the ID of a new sandbox, with nothing but lo in its network namespace."""
        return self._run("POD", pod, _SANDBOX, "host" if host_network else "none")

    def run_container(self, pod: PodMetadata, sandbox_id: str, name: str, command: Sequence[str] = ()) -> str:
        """Returns the ID of a new container in the sandbox. Without a command it runs that of the image."""
        labels = {"io.kubernetes.docker.type": "container", "io.kubernetes.sandbox.id": sandbox_id}
        return self._run(name, pod, labels, f"container:{sandbox_id}", command)

    def _run(
        self, name: str, pod: PodMetadata, labels: Mapping[str, str], network_mode: str, command: Sequence[str] = ()
    ) -> str:
        labels = {**pod.labels, **labels, "io.kubernetes.container.name": name}
        made = self.create_container(labels, network_mode, pod.container_name(name), command)
        self.start_container(made)
        return made

    def create_container(
        self, labels: Mapping[str, str], network_mode: str = "none", name: str = "", command: Sequence[str] = ()
    ) -> str:
        """One that is not started, and need not be like those of the kubelet; returns its ID."""
        # PID 1 ignores SIGTERM unless it asked for it: with SIGKILL nobody waits out a grace period.
        made = self.client.create_container(
            IMAGE, list(command) or None, name=name or None, labels=dict(labels), stop_signal="SIGKILL",
            host_config=self.client.create_host_config(network_mode=network_mode),
        )  # fmt: skip
        return str(made["Id"])

    def start_container(self, container_id: str) -> None:
        self.client.start(container_id)

    def exec(self, container_id: str, command: Sequence[str], *, tty: bool = False) -> tuple[int, bytes]:
        """Runs a command in the container; returns its exit code and output."""
        prepared = self.client.exec_create(container_id, list(command), tty=tty)["Id"]
        output: bytes = self.client.exec_start(prepared, tty=tty)
        return int(self.client.exec_inspect(prepared)["ExitCode"]), output

    def kill(self, container_id: str) -> None:
        self.client.kill(container_id)

    def remove(self, container_id: str) -> None:
        with contextlib.suppress(docker.errors.NotFound):
            self.client.remove_container(container_id, force=True)

    def remove_containers(self) -> None:
        for container in self.client.containers(all=True):
            self.remove(container["Id"])

    def inspect(self, container_id: str) -> Container:
        found = self.client.inspect_container(container_id)
        name, labels, state = found["Name"].removeprefix("/"), found["Config"]["Labels"], found["State"]
        return Container(
            found["Id"], name, labels, state["Running"], state["StartedAt"], found["RestartCount"], state["Pid"]
        )

    def running_sandbox(self, pod_uid: str) -> str:
        """The ID of the newest running sandbox of the pod; "" without one."""
        labels = {**_SANDBOX, "io.kubernetes.pod.uid": pod_uid}
        filters = {"label": [f"{key}={value}" for key, value in labels.items()], "status": ["running"]}
        found = self.client.containers(filters=filters)
        return str(max(found, key=lambda each: each["Created"])["Id"]) if found else ""

    def container_names(self, *, running: bool = False) -> list[str]:
        return [each["Names"][0].removeprefix("/") for each in self.client.containers(all=not running)]

    # --- the daemon -----------------------------------------------------------------------------------------------

    def _reload(self, *, live_restore: bool) -> None:
        self._configure(live_restore=live_restore)
        processes.end([self.pid], signal.SIGHUP)
        eventually(lambda: self.client.info()["LiveRestoreEnabled"] == live_restore, what="dockerd to reload")

    def _spawn(self) -> None:
        super()._spawn()
        self.socket.chmod(0o600)

    def _sign(self) -> str:
        return f"--host={self.endpoint}"

    def _command(self) -> list[str]:
        self._configure(live_restore=self._live_restore)
        state = self.state_dir
        # Hashed, because a containerd namespace may not contain all that a file name may.
        token = hashlib.md5(str(state).encode(), usedforsecurity=False).hexdigest()[:12]
        flags = {
            "--host": self.endpoint,
            "--group": "root",
            "--data-root": state / "data",
            "--exec-root": state / "exec",
            "--pidfile": state / "pid",
            "--config-file": state / "daemon.json",
            # Should the host's own containerd be used, then at least apart from the containers of the host's dockerd.
            "--containerd-namespace": f"podagent-lab-{token}",
            "--containerd-plugins-namespace": f"podagent-lab-{token}-plugins",
            "--bridge": "none",
            "--iptables": "false",
            "--ip-forward": "false",
            "--log-driver": "none",
            "--shutdown-timeout": "1",
            "--cgroup-parent": self._cgroup_parent,
        }
        dockerd = programs.find("dockerd", "docker.io or moby-engine")
        return [dockerd, *(f"{flag}={value}" for flag, value in flags.items())]

    def _configure(self, *, live_restore: bool) -> None:
        self._live_restore = live_restore
        config: dict[str, Any] = {"live-restore": live_restore}
        if runc := self._runc():
            config |= {"runtimes": {"lab": {"path": str(runc)}}, "default-runtime": "lab"}
        (self.state_dir / "daemon.json").write_text(json.dumps(config))

    def _responds(self) -> bool:
        try:
            return bool(self.client.ping())
        except (docker.errors.DockerException, requests.RequestException, OSError):
            return False

    def _end_daemon(self, number: signal.Signals = signal.SIGTERM) -> None:
        client, self._client = self._client, None
        if client:
            client.close()
        super()._end_daemon(number)
