"""`python -m e2e.cluster up|down|test`: what `make cluster`, `make cluster-down` and `make e2e` call."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType

import click

from e2e.cluster.cluster import Cluster
from e2e.cluster.daemons import Daemon
from e2e.cluster.host import Refused, as_a_node, check
from e2e.cluster.layout import KUBERNETES, LOCK, NODE_NAME, PROJECT
from e2e.cluster.signals import SIGNALS, undisturbed
from e2e.cluster.suite import run
from e2e.cluster.systemplugin import SYSTEM_PLUGINS
from lab.agent import Agent
from lab.waiting import eventually

_AGENT_SECONDS = 30.0


@click.group()
def main() -> None:
    """A real Kubernetes node on this machine."""
    os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"  # plain `su` leaves them out
    for number in SIGNALS:
        signal.signal(number, _interrupt)


@main.command()
@click.option("--system-plugin", type=click.Choice(SYSTEM_PLUGINS), default="kactus", help="The node's CNI plugin.")
def up(system_plugin: str) -> None:
    """Bring a cluster up, with the agent on its node, and leave it up."""
    cluster = Cluster(system_plugin)
    with _alone():
        _refuse_politely(cluster)
        try:
            cluster.up(_tell)
            _tell("podagent")
            _start_agent(cluster)
        except BaseException:
            _take_down(cluster)
            raise
    _tell(f"node {NODE_NAME} is ready; logs are in {cluster.layout.logs}; `make cluster-down` ends it")
    click.echo(f"export KUBECONFIG={cluster.layout.kubeconfig('admin')}")


@main.command()
def down() -> None:
    """End the cluster that is up, whoever started it, and put the machine back as it was."""
    if os.geteuid() != 0:
        raise click.ClickException("this needs root: run it with sudo")
    cluster = Cluster()
    with _alone():
        if not cluster.layout.is_used:
            _tell("there is none")
        sys.exit(_take_down(cluster))


@main.command(context_settings={"ignore_unknown_options": True})
@click.option("--system-plugin", type=click.Choice(SYSTEM_PLUGINS), multiple=True, default=SYSTEM_PLUGINS)
@click.option("--jobs", type=int, default=2, help="Less than 2: one cluster after the other.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def test(system_plugin: tuple[str, ...], jobs: int, arguments: tuple[str, ...]) -> None:
    """Run the suite once for each system plugin, on clusters of its own; ARGUMENTS go to pytest."""
    cluster = Cluster()
    with _alone():
        _refuse_politely(cluster)
        with as_a_node(cluster.layout) as differs:
            passed = run(system_plugin, arguments, jobs, _tell)
    sys.exit(_report(differs) or (0 if passed else 1))


def _start_agent(cluster: Cluster) -> None:
    agent = Agent(cluster.layout.agent, **cluster.agent_arguments(), options={"log-level": "info"})
    agent.notifications.close()  # it outlives us, and with us who would listen
    daemon = Daemon("podagent", agent.command(), cluster.layout, {"PYTHONPATH": str(PROJECT / "src")})
    daemon.start()

    def has_listed() -> bool:
        daemon.assert_running()
        return f"pods on node {NODE_NAME}" in daemon.log()

    eventually(has_listed, _AGENT_SECONDS, f"the agent to list its pods; its log is {daemon.log_path}")


def _take_down(cluster: Cluster) -> int:
    """Returns the exit code: 0 if nothing of it is left."""
    if not cluster.layout.is_used:
        return 0
    with undisturbed():
        _tell("taking it down")
        return _report(cluster.down())


def _report(differs: dict[str, list[str]]) -> int:
    for kind, names in differs.items():
        _tell(f"this machine is not as it was before; {kind}: {', '.join(names)}")
    return 1 if differs else 0


def _refuse_politely(cluster: Cluster) -> None:
    if not (KUBERNETES / "kubelet").exists():
        raise click.ClickException(f"{KUBERNETES} holds no kubelet: scripts/setup.sh cluster builds it")
    try:
        check(cluster.layout)
    except Refused as error:
        raise click.ClickException(str(error)) from None


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Nobody else brings a cluster up or down meanwhile."""
    if os.geteuid() != 0:
        raise click.ClickException("a node needs root: run this with sudo")
    with LOCK.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise click.ClickException("another `make e2e`, `make cluster` or `make cluster-down` is at work") from None
        yield


def _tell(text: str) -> None:
    with contextlib.suppress(OSError):  # whoever read it may be gone
        click.echo(f"cluster: {text}", err=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main(prog_name="cluster")
