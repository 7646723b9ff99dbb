"""`python -m e2e.cluster up|test`: what `make cluster` and `make e2e` call."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click

from e2e.cluster.apart import MachineApart, as_a_node
from e2e.cluster.cluster import Cluster
from e2e.cluster.layout import AGENT, KUBERNETES, LOGS, NODE_NAME, STATE, kubeconfig
from e2e.cluster.node import KINDS
from e2e.cluster.suite import run
from lab.agent import Agent
from lab.programs import installed_runtime
from lab.waiting import eventually

_LOCK = Path("/run/podagent-cluster.lock")
_READY = STATE / "ready"
_UP_SECONDS = 300.0


@click.group()
def main() -> None:
    """A real Kubernetes node on this machine."""
    os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"  # plain `su` leaves them out
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)


@main.command()
@click.option("--kind", type=click.Choice(list(KINDS)), help="Its CNI plugin and runtime.")
def up(kind: str | None) -> None:
    """Bring a cluster up, with the agent on its node, and open a shell beside it; it ends with the shell."""
    kind = kind or ("containerd" if installed_runtime() == "containerd" else "kactus")
    with _alone():
        machine = MachineApart("by-hand", [sys.executable, "-m", "e2e.cluster", "serve", kind])
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig("admin"))}

        def is_up_or_gone() -> bool:
            return machine.exit_code is not None or machine.run(["test", "-e", str(_READY)], environment) == 0

        try:
            eventually(is_up_or_gone, _UP_SECONDS, "the cluster to be up")
            if machine.exit_code is None:
                _say(f"node {NODE_NAME} is ready; logs are in {LOGS}; everything ends with this shell")
                machine.run([os.environ.get("SHELL", "sh")], environment)
        finally:
            machine.interrupt()
            machine.remove()


@main.command(hidden=True)
@click.argument("kind")
def serve(kind: str) -> None:
    """The cluster of `up`, on its machine apart."""
    cluster = Cluster(kind)
    cluster.up(_say)
    arguments = cluster.agent_arguments()
    arguments["options"] |= {"log-level": "info"}
    with Agent(AGENT, **arguments):
        _READY.touch()
        threading.Event().wait()


@main.command(context_settings={"ignore_unknown_options": True})
@click.option("--kind", type=click.Choice(list(KINDS)), multiple=True, default=list(KINDS))
@click.option("--jobs", type=int, default=2, help="So many clusters at a time.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def test(kind: tuple[str, ...], jobs: int, arguments: tuple[str, ...]) -> None:
    """Run the suite on each kind of node, on clusters of its own; ARGUMENTS go to pytest."""
    with _alone():
        sys.exit(0 if run(kind, arguments, jobs, _say) else 1)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Nobody else has a cluster here, and this machine has the kernel parameters of a node."""
    if os.geteuid() != 0:
        raise click.ClickException("a node needs root: run this with sudo")
    if not (KUBERNETES / "kubelet").exists():
        raise click.ClickException(f"{KUBERNETES} holds no kubelet: scripts/setup.sh cluster builds it")
    with _LOCK.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise click.ClickException("another `make e2e` or `make cluster` is at work") from None
        with as_a_node():
            yield


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # whoever read it may be gone
        click.echo(f"cluster: {text}", err=True)


if __name__ == "__main__":
    main(prog_name="cluster")
