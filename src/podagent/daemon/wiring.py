"""Makes the agent out of its parts, as the settings say. The only place that knows them all."""

from __future__ import annotations

import ctypes
import logging
import os
import random
import threading
import time
from functools import partial
from queue import SimpleQueue

from podagent import __version__
from podagent.act.executor import Executor
from podagent.act.outcomes import Outcomes
from podagent.act.ports import Records, Runtime
from podagent.act.reconciler import Reconciler
from podagent.cni.conf import SystemConf
from podagent.cni.runtime import CniRuntime
from podagent.config import Settings
from podagent.daemon.agent import Agent
from podagent.daemon.control import Control
from podagent.daemon.following import Following
from podagent.daemon.health import Heartbeats, Watchdog
from podagent.daemon.loop import WAKE, Loop
from podagent.daemon.notify import Notifier
from podagent.daemon.podtable import PodTable
from podagent.daemon.rounds import Rounds
from podagent.daemon.workers import Workers
from podagent.daemon.workqueue import WorkQueue
from podagent.decide.attempts import Attempts
from podagent.host.netns import NetworkNamespaces, boot_id, identify
from podagent.host.orphans import await_orphans
from podagent.kube.api import KubeApi
from podagent.kube.credentials import load as load_credentials
from podagent.kube.definitions import NetworkDefinitions
from podagent.kube.events import EventRecorder
from podagent.kube.watch import PodWatch
from podagent.model import PodKey
from podagent.report.events import PodEvents
from podagent.report.lines import JournalLines
from podagent.resolve.delegate import DelegateNetworks
from podagent.resolve.networks import ChosenNetworks
from podagent.resolve.system import SystemNetworks
from podagent.runtimes import make_runtime
from podagent.state.store import Store
from podagent.takeover.inheritance import Inheritance
from podagent.takeover.kaloom import KaloomPredecessor

_log = logging.getLogger(__name__)


def run(settings: Settings) -> int:
    """Runs the agent until SIGTERM or SIGINT. Returns the exit code.

    Raises:
        StoreError: the state directory cannot be used.
    """
    _economise_memory()
    return make_agent(settings).run()


def make_agent(settings: Settings) -> Agent:
    """The agent, ready to run. Raises StoreError: the state directory cannot be used."""
    rng = random.Random()  # noqa: S311 (jitter, not secrets)
    stop = threading.Event()
    received: SimpleQueue[int] = SimpleQueue()
    wake = partial(received.put, WAKE)
    store = Store(settings.state_dir)
    api = KubeApi(partial(load_credentials, settings.kubeconfig, os.environ, connections=settings.workers + 4))
    runtime = make_runtime(settings.container_type, settings.docker_endpoint, identify)
    events = EventRecorder(api, settings.node)
    attempts = Attempts(time.monotonic, rng)
    outcomes = Outcomes(attempts, (JournalLines(), PodEvents(events)))
    queue: WorkQueue[PodKey] = WorkQueue(time.monotonic)

    def first_list_complete() -> None:
        rounds.look_at_all()
        wake()

    pods = PodTable(queue.add, first_list_complete)
    rounds = Rounds(pods, store, queue, settings.resync_period, rng, time.monotonic)
    inheritance, reconciler = _make_core(settings, pods, store, runtime, api, outcomes, stop)
    heartbeats, notifier = Heartbeats(), Notifier(os.environ)
    reconcile = inheritance.ahead_of(rounds.verifying(reconciler.reconcile))
    workers = Workers(queue, reconcile, heartbeats.register, settings.workers)
    watch = PodWatch(api, settings.node, pods, rng=rng, beat=heartbeats.register("the pod watch"))
    following = Following(api, watch, wake)
    control = Control(api, following, pods, store, queue, attempts, rounds)
    watchdog = Watchdog(heartbeats, notifier, os.environ)
    follow_sandboxes = partial(runtime.follow, rounds.look_at, rounds.look_at_all)
    return Agent(
        about=f"podagent {__version__} starts on node {settings.node}, attach-via {settings.attach_via}",
        loop=Loop(watchdog, notifier, rounds, control.status, queue.__len__, control.reload, received),
        notifier=notifier,
        workers=workers,
        bodies={"watch": following.run, "events": events.run, "runtime": follow_sandboxes},
        closers=(queue.close, watch.close),
        received=received,
        stop=stop,
        plugin_timeout_s=settings.plugin_timeout,
    )


def _make_core(
    settings: Settings,
    pods: PodTable,
    records: Records,
    runtime: Runtime,
    api: KubeApi,
    outcomes: Outcomes,
    stop: threading.Event,
) -> tuple[Inheritance, Reconciler]:
    bin_dir, namespaces = str(settings.cni_bin_path), settings.global_namespaces
    system = SystemNetworks(SystemConf(settings.cni_conf_path).current, bin_dir, settings.cni_vendor_name)
    delegate = DelegateNetworks(NetworkDefinitions(api).read, bin_dir, namespaces)
    networks = ChosenNetworks(settings.attach_via, system, delegate)
    cni = CniRuntime(settings.plugin_timeout, os.environ, partial(_log.debug, "CNI plugin %s said: %s"))
    executor = Executor(NetworkNamespaces(), cni, records, await_orphans, boot_id(), settings.plugin_timeout)
    predecessor = KaloomPredecessor(settings.inherit_dir)
    inheritance = Inheritance(predecessor, pods, records, runtime, networks, executor, outcomes, namespaces)
    reconciler = Reconciler(pods, records, runtime, networks, executor, outcomes, namespaces, stop.is_set)
    return inheritance, reconciler


def _economise_memory() -> None:
    """One malloc arena for all threads: glibc's default, one for each thread, costs memory and brings nothing here."""
    arena_max = -8  # M_ARENA_MAX of malloc.h
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(arena_max, 1)
