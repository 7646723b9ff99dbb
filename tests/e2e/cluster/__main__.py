"""`python -m cluster up|down|test`: what `make cluster`, `make cluster-down` and `make e2e` call."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

import click

from cluster.cluster import Cluster
from cluster.daemons import Daemon
from cluster.host import Refused, check
from cluster.layout import KUBERNETES, NODE_NAME, PROJECT, Layout
from cluster.systemplugin import SYSTEM_PLUGINS
from lab.agent import Agent

_SUITE = Path("tests/e2e")


@click.group()
def main() -> None:
    """A real Kubernetes node on this machine."""
    os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"  # plain `su` leaves them out
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)


@main.command()
@click.option("--system-plugin", type=click.Choice(SYSTEM_PLUGINS), default="kactus", help="the node's CNI plugin")
def up(system_plugin: str) -> None:
    """Bring a cluster up, with the agent on its node, and leave it up."""
    cluster = Cluster(system_plugin)
    _refuse_politely(cluster.layout)
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
    cluster = Cluster()
    if not cluster.layout.state.exists():
        _tell("there is none")
        return
    sys.exit(_take_down(cluster))


@main.command(context_settings={"ignore_unknown_options": True})
@click.option("--system-plugin", type=click.Choice(SYSTEM_PLUGINS), multiple=True, default=SYSTEM_PLUGINS)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def test(system_plugin: tuple[str, ...], arguments: tuple[str, ...]) -> None:
    """Run the suite once for each system plugin, each on a cluster of its own; ARGUMENTS go to pytest."""
    failed = False
    for plugin in system_plugin:
        cluster = Cluster(plugin)
        _refuse_politely(cluster.layout)
        started = time.monotonic()
        try:
            failed |= _run_suite(plugin, arguments) != 0
        finally:
            failed |= _take_down(cluster) != 0
        _tell(f"suite with {plugin} as the node's CNI plugin: {time.monotonic() - started:.0f} s")
    sys.exit(1 if failed else 0)


def _run_suite(plugin: str, arguments: tuple[str, ...]) -> int:
    command = [sys.executable, "-m", "pytest", str(_SUITE), f"--system-plugin={plugin}", *arguments]
    with subprocess.Popen(command, cwd=PROJECT) as pytest:
        try:
            return pytest.wait()
        except BaseException:
            pytest.terminate()
            raise


def _start_agent(cluster: Cluster) -> None:
    agent = Agent(cluster.layout.agent, **cluster.agent_arguments(), options={"log-level": "info"})
    agent.notifications.close()  # it outlives us, and with us who would listen
    source = {"PYTHONPATH": str(PROJECT / "src")}
    Daemon("podagent", agent.command(), cluster.layout.logs, source).start()


def _take_down(cluster: Cluster) -> int:
    """Returns the exit code: 0 if nothing of it is left."""
    if not cluster.layout.state.exists():
        return 0
    _tell("taking it down")
    differs = cluster.down()
    for kind, names in differs.items():
        _tell(f"this machine is not as it was before; {kind}: {', '.join(names)}")
    return 1 if differs else 0


def _refuse_politely(layout: Layout) -> None:
    if not (KUBERNETES / "kubelet").exists():
        raise click.ClickException(f"{KUBERNETES} holds no kubelet: scripts/setup.sh cluster builds it")
    try:
        check(layout)
    except Refused as error:
        raise click.ClickException(str(error)) from None


def _tell(text: str) -> None:
    click.echo(f"cluster: {text}", err=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main(prog_name="cluster")
