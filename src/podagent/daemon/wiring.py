"""Builds the agent from its parts according to the settings. The only module that imports all parts."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from podagent import __version__
from podagent.act.executor import Executor
from podagent.act.outcomes import Outcomes
from podagent.act.ports import Networks, Pods, Reconcile, Records, Runtime
from podagent.act.reconciler import Reconciler
from podagent.act.slowlane import SlowLane
from podagent.act.undoing import Undoing
from podagent.cni import plugin
from podagent.cni.conf import SystemConf
from podagent.cni.evidence import AttachmentEvidence
from podagent.cni.leases import reserved
from podagent.cni.runtime import CniRuntime
from podagent.config import Settings
from podagent.daemon import forgetting, memory
from podagent.daemon.agent import Agent
from podagent.daemon.following import Following, once
from podagent.daemon.health import Heartbeats, Watchdog
from podagent.daemon.loop import RELOADED, WAKE, Loop
from podagent.daemon.nodewatch import NodeWatch
from podagent.daemon.notify import Notifier
from podagent.daemon.reload import Reload
from podagent.daemon.schedule import Pace, Schedule, make_schedule
from podagent.daemon.status import Status
from podagent.daemon.upkeep import Upkeep
from podagent.daemon.workers import Workers
from podagent.host import hostends
from podagent.host.claims import LinkClaims
from podagent.host.links import host_macs
from podagent.host.netns import NetworkNamespaces, boot_id, host_inodes, identify
from podagent.host.orphans import await_orphans
from podagent.host.pins import DIRECTORY, Pin, Pins, pin_directory
from podagent.kube.api import KubeApi
from podagent.kube.cluster import ClusterGuard
from podagent.kube.credentials import load as load_credentials
from podagent.kube.credentials import stamp
from podagent.kube.definitions import NetworkDefinitions, Seen
from podagent.kube.definitionwatch import watch_definitions
from podagent.kube.events import EventRecorder
from podagent.kube.plugins import LONGEST_END_S, ExecPlugins
from podagent.kube.podlist import confirm_gone
from podagent.kube.registration import Registration
from podagent.kube.watch import PodWatch, Watch
from podagent.model import CniDirectories, Record
from podagent.report.events import PodEvents
from podagent.report.lines import JournalLines
from podagent.report.plugins import report_slow
from podagent.resolve.delegate import DelegateNetworks
from podagent.resolve.directories import NodeDirectories
from podagent.resolve.macs import MacRule, Plugged
from podagent.resolve.networks import ChosenNetworks
from podagent.resolve.node import NodePlugin
from podagent.resolve.policy import DefinitionPolicy
from podagent.resolve.rules import Rules
from podagent.resolve.system import SystemNetworks
from podagent.runtimes import make_runtime
from podagent.state.cluster import ClusterFile
from podagent.state.directory import LOCKS, StateDirectory
from podagent.state.store import Store

_log = logging.getLogger(__name__)


def run(settings: Settings) -> int:
    """Runs the agent until SIGTERM or SIGINT. Returns the exit code.

    Raises:
        SettingsError: the node's system plugin cannot do what `attach-via` asks for.
        StoreError: the state directory is unusable, a newer version wrote one of its records, or the former podagent's
            records cannot be read.
    """
    memory.use_one_arena()
    memory.tidy_up_after_imports()
    return make_agent(settings).run()


def forget_cluster(settings: Settings) -> str:
    """See `forgetting`."""
    return forgetting.forget_cluster(settings.state_dir)


def forget_attachment(settings: Settings, namespace: str, pod: str, network: str) -> str:
    """See `forgetting`."""
    return forgetting.forget_attachment(settings.state_dir, namespace, pod, network, reserved)


class _Base(NamedTuple):
    """What parts of all kinds share."""

    settings: Settings
    rng: random.Random
    stop: threading.Event
    received: SimpleQueue[int]
    heartbeats: Heartbeats

    def wake(self) -> None:
        """Has the main loop show the present status."""
        self.received.put(WAKE)


class _Feeds(NamedTuple):
    """What follows the API server."""

    registration: Registration
    watch: PodWatch
    following: Following
    definitions: NetworkDefinitions
    definition_watch: Watch[Seen]

    @property
    def closers(self) -> tuple[Callable[[], None], ...]:
        return self.watch.close, self.definition_watch.close


def make_agent(settings: Settings, locks: Path = LOCKS) -> Agent:
    """Builds the agent. Raises SettingsError and StoreError like `run`. `locks`: see `StateDirectory`."""
    runtime = make_runtime(
        settings.container_type, settings.cri_endpoint, settings.docker_endpoint, identify, host_inodes()
    )
    directories = NodeDirectories(CniDirectories(settings.cni_conf_path, settings.cni_bin_path), lambda: runtime.cni)
    node_plugin = _make_node_plugin(settings, directories)
    base = _Base(settings, random.Random(), threading.Event(), SimpleQueue(), Heartbeats())  # noqa: S311 (jitter)
    cluster = ClusterFile(settings.state_dir)
    store = Store(StateDirectory(settings.state_dir, locks), cluster.restore)
    exec_plugins = ExecPlugins(plugin.run, settings.credential_timeout)
    api = _make_api(settings, cluster, store, exec_plugins)
    pace = Pace(settings.workers, settings.resync_period, base.rng, time.monotonic)
    schedule = make_schedule(pace, store, partial(confirm_gone, api), base.wake)
    feeds = _make_feeds(base, api, schedule)
    events = EventRecorder(api, settings.node)
    pins = Pins(pin_directory(settings.state_dir))
    core = _make_core(settings, directories, node_plugin, schedule, store, runtime, feeds.definitions, events, pins)
    node_watch = NodeWatch(node_plugin.stance, base.wake, schedule.retry_all)
    upkeep = _make_upkeep(base, store, pins, node_watch)
    status = Status(api, feeds.following, feeds.registration, schedule.pods, store, node_watch, schedule.queue, runtime)
    reload = Reload(api, node_watch, schedule.retry_all, partial(base.received.put, RELOADED))
    notifier = Notifier(os.environ)
    return Agent(
        about=f"podagent {__version__} starts on node {settings.node}, attach-via {settings.attach_via}",
        loop=_make_loop(base, notifier, schedule, status, reload),
        notifier=notifier,
        workers=_make_workers(base, schedule, core),
        bodies={
            "watch": upkeep.loading_first(feeds.following.run),
            "definitions": once(schedule.listed, feeds.definition_watch.run),
            "events": events.run,
            "runtime": partial(runtime.follow, schedule.hints),
            "state": upkeep.run,
            "reload": reload.run,
        },
        closers=(*schedule.closers, *feeds.closers, reload.close, exec_plugins.close),
        received=base.received,
        stop=base.stop,
        stop_timeout_s=settings.stop_timeout,
    )


def _make_node_plugin(settings: Settings, directories: NodeDirectories) -> NodePlugin:
    made = NodePlugin(settings.attach_via, SystemConf(directories.conf).current)
    if directories.conf_is_certain():
        made.require_usable()
    return made


def _make_api(settings: Settings, cluster: ClusterFile, store: Store, exec_plugins: ExecPlugins) -> KubeApi:
    guard = ClusterGuard(cluster, store.may_have_records, settings.other_cluster == "accept")
    connections = settings.workers + 4
    return KubeApi(
        partial(load_credentials, settings.kubeconfig, os.environ, exec_plugins.run, connections=connections),
        guard=guard.check,
        longest_load_s=settings.credential_timeout + LONGEST_END_S,
        stamp=partial(stamp, settings.kubeconfig),
    )


def _make_feeds(base: _Base, api: KubeApi, schedule: Schedule) -> _Feeds:
    node, rng = base.settings.node, base.rng
    registration = Registration(api, node, base.wake)
    beat = base.heartbeats.register("the pod watch")
    watch = PodWatch(api, node, schedule.pods, rng=rng, beat=beat, while_empty=registration.check)
    definitions = NetworkDefinitions(api, schedule.redefined)
    beat = base.heartbeats.register("the watch of network definitions")
    definition_watch = watch_definitions(api, definitions, beat, rng)
    return _Feeds(registration, watch, Following(api, watch, base.wake), definitions, definition_watch)


def _make_upkeep(base: _Base, store: Store, pins: Pins, node: NodeWatch) -> Upkeep:
    def records_loaded() -> None:
        memory.freeze()
        try:
            pins.keep_only({Pin(record.sandbox_id, record.netns.inode) for record in store.all()})
        except OSError as error:
            _log.warning("namespaces of pods that are gone stay pinned below %s: %s", DIRECTORY, error)
        base.wake()

    beat = base.heartbeats.register("the state directory")
    return Upkeep(store, beat, base.wake, records_loaded, memory.trim, node.look)


def _make_loop(base: _Base, notifier: Notifier, schedule: Schedule, status: Status, reload: Reload) -> Loop:
    watchdog = Watchdog(base.heartbeats, notifier, os.environ)
    return Loop(watchdog, notifier, schedule.rounds, status.line, schedule.queue.__len__, reload.soon, base.received)


def _make_workers(base: _Base, schedule: Schedule, core: _Core) -> Workers:
    reconciler = Reconciler(*core, base.stop.is_set)
    reconcile = _take_over_first(base.settings, core, schedule.rounds.verifying(reconciler.reconcile))
    return Workers(schedule.queue, reconcile, base.heartbeats.register, base.settings.workers)


_Core = tuple[Pods, Records, Runtime, Networks, Executor, Outcomes, Collection[str]]


def _make_core(
    settings: Settings,
    directories: NodeDirectories,
    node_plugin: NodePlugin,
    schedule: Schedule,
    records: Store,
    runtime: Runtime,
    definitions: NetworkDefinitions,
    events: EventRecorder,
    pins: Pins,
) -> _Core:
    """The parts that reconciliation and takeover share."""
    bin_dirs, global_namespaces = directories.bin, settings.global_namespaces
    policy = DefinitionPolicy(_rules(settings), node_plugin.plugin_types, LinkClaims(), records.definitions_in_use)
    macs = MacRule(settings.allow_mac, lambda: map(_plugged, records.all()), host_macs)
    delegate = DelegateNetworks(definitions.read, bin_dirs, global_namespaces, policy, macs)
    on_stderr = partial(_log.debug, "CNI plugin %s wrote to stderr: %s")
    timeout_s = settings.plugin_timeout
    cni = CniRuntime(timeout_s, os.environ, on_stderr, partial(report_slow, timeout_s))
    evidence = AttachmentEvidence(cni, node_plugin.netconf)
    system = SystemNetworks(bin_dirs, settings.cni_vendor_name)
    networks = ChosenNetworks(node_plugin, system, delegate, evidence.has_attached, bin_dirs)
    slow_lane = SlowLane(max(1, settings.workers // 4), time.monotonic)
    boot, namespaces = boot_id(), NetworkNamespaces(pins)
    undoing = Undoing(namespaces, hostends, cni, records, await_orphans, boot, timeout_s)
    executor = Executor(namespaces, hostends, cni, records, evidence, undoing, boot, slow_lane, timeout_s)
    outcomes = Outcomes(schedule.attempts, (JournalLines(), PodEvents(events)), time.monotonic)
    return schedule.pods, records, runtime, networks, executor, outcomes, global_namespaces


def _plugged(record: Record) -> Plugged:
    attachment, netconf = record.attachment, record.invocation.netconf
    return Plugged(record.pod, record.pod.namespace, netconf, attachment.mac, record.result)


def _rules(settings: Settings) -> Rules:
    restricts = settings.definition_policy == "restrict"
    return Rules(
        trusted=frozenset(settings.trusted_namespaces) if restricts else None,
        plugins=frozenset(settings.allowed_plugins),
        options=frozenset(settings.allowed_options),
        links=settings.allowed_links,
    )


def _take_over_first(settings: Settings, core: _Core, reconcile: Reconcile) -> Reconcile:
    """Wraps `reconcile` with the takeover from Kaloom's podagent, if that ran on this node."""
    if not settings.inherit_dir.is_dir():
        return reconcile
    from podagent.takeover.inheritance import Inheritance  # noqa: PLC0415 - saves memory on nodes where it never ran
    from podagent.takeover.kaloom import KaloomPredecessor  # noqa: PLC0415 - as above

    return Inheritance(KaloomPredecessor(settings.inherit_dir), *core).wrap(reconcile)
