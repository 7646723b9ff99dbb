"""Wires the agent together and runs it: threads, signals, READY and STOPPING. Holds no knowledge of networks.

watch --> PodTable --> WorkQueue --> Workers --> Reconciler --> Executor --> CNI
                          ^                          |
   Docker events, resync -+                          +--> Store, Reporter
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import queue
import random
import signal
import threading
import time
from collections.abc import Callable
from functools import partial

from podagent import __version__
from podagent.act.executor import Executor
from podagent.act.reconciler import Reconciler
from podagent.cni.conf import SystemConf
from podagent.cni.runtime import CniRuntime
from podagent.config import Settings
from podagent.daemon.health import Heartbeats, Notifier, Watchdog
from podagent.daemon.podtable import PodTable
from podagent.daemon.workers import STEP_ALLOWANCE, WatchedCni, WatchedNetworks, Workers
from podagent.daemon.workqueue import WorkQueue
from podagent.decide.backoff import Backoffs
from podagent.errors import KubeconfigError
from podagent.host.netns import NetworkNamespaces, boot_id
from podagent.host.orphans import await_leftovers
from podagent.kube.api import KubeApi
from podagent.kube.credentials import load as load_credentials
from podagent.kube.definitions import NetworkDefinitions
from podagent.kube.events import EventRecorder
from podagent.kube.watch import PodWatch
from podagent.messages import Message
from podagent.model import PodKey
from podagent.report.reporter import Reporter
from podagent.resolve.choose import ChosenNetworks
from podagent.resolve.delegate import DelegateNetworks
from podagent.resolve.system import SystemNetworks
from podagent.runtimes.docker import DockerRuntime
from podagent.state.store import Store
from podagent.takeover.inheritance import Inheritance
from podagent.takeover.kaloom import KaloomPredecessor

_log = logging.getLogger(__name__)

_STOP_MARGIN = 5.0
_KUBECONFIG_POLL = 1.0
_RESYNC_JITTER = 0.1
_STATUS_AT_WORK = 1.0
_LOOP_DIED, _FIRST_LIST = 0, -1  # among signal numbers, which begin at 1


def run(settings: Settings) -> int:
    """Runs the agent until SIGTERM or SIGINT. Returns the exit code.

    Raises:
        StoreError: the state directory cannot be used.
    """
    _economise_memory()
    return Daemon(settings).run()


class Daemon:
    """One agent. Everything it owns is made in the constructor and started in `run`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rng = random.Random()  # noqa: S311 (jitter, not secrets)
        self._stop = threading.Event()
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._notifier = Notifier(os.environ)
        self._heartbeats = Heartbeats()
        self._watchdog = Watchdog(self._heartbeats, self._notifier, os.environ)
        self._store = Store(settings.state_dir)
        self._queue: WorkQueue[PodKey] = WorkQueue(time.monotonic)
        self._pods = PodTable(self._queue.add, self._first_list_complete)
        self._to_verify: set[PodKey] = set()
        self._next_resync = self._resync_after(time.monotonic())
        self._backoffs = Backoffs(time.monotonic, self._rng)
        self._runtime = DockerRuntime(settings.docker_endpoint)
        self._api = KubeApi(self._credentials)
        self._events = EventRecorder(self._api, settings.node)
        self._watch = PodWatch(
            self._api, settings.node, self._pods, rng=self._rng, beat=self._heartbeats.register("the pod watch")
        )
        self._workers = Workers(self._queue, self._reconcile, self._heartbeats.register, settings.workers)
        self._report = Reporter(self._events)
        self._executor = self._make_executor(settings)
        self._inheritance = self._make_inheritance(settings)
        self._reconciler = self._make_reconciler(settings)
        self._waiting_for = ""

    def run(self) -> int:
        """See the module's `run`."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda received, _: self._signals.put(received))
        node, attach_via = self._settings.node, self._settings.attach_via
        _log.info("podagent %s starts on node %s, attach-via %s", __version__, node, attach_via)
        gc.collect()
        gc.freeze()
        self._start_threads()
        self._notifier.status(self._status())
        self._notifier.ready()
        why = self._until_told_to_stop()
        self._shut_down()
        return 1 if why == _LOOP_DIED else 0

    def _make_executor(self, settings: Settings) -> Executor:
        bin_dir = str(settings.cni_bin_path)
        system = SystemNetworks(SystemConf(settings.cni_conf_path).current, bin_dir, settings.cni_vendor_name)
        delegate = DelegateNetworks(NetworkDefinitions(self._api), bin_dir, settings.global_namespaces)
        cni = CniRuntime(settings.plugin_timeout, os.environ, partial(_log.debug, "CNI plugin %s said: %s"))
        return Executor(
            networks=WatchedNetworks(ChosenNetworks(settings.attach_via, system, delegate), self._workers.expect),
            namespaces=NetworkNamespaces(),
            cni=WatchedCni(cni, self._workers.expect, settings.plugin_timeout),
            records=self._store,
            await_leftovers=self._await_leftovers,
            boot_id=boot_id(),
        )

    def _make_inheritance(self, settings: Settings) -> Inheritance:
        return Inheritance(
            predecessor=KaloomPredecessor(settings.inherit_dir),
            pods=self._pods,
            records=self._store,
            runtime=self._runtime,
            executor=self._executor,
            report=self._report,
            global_namespaces=settings.global_namespaces,
        )

    def _make_reconciler(self, settings: Settings) -> Reconciler:
        return Reconciler(
            pods=self._pods,
            records=self._store,
            runtime=self._runtime,
            executor=self._executor,
            report=self._report,
            backoffs=self._backoffs,
            global_namespaces=settings.global_namespaces,
            stopping=self._stop.is_set,
        )

    def _await_leftovers(self, container_id: str, ifname: str) -> None:
        timeout = self._settings.plugin_timeout
        self._workers.expect(timeout + STEP_ALLOWANCE)
        await_leftovers(container_id, ifname, timeout)

    def _reconcile(self, pod: PodKey) -> float | None:
        wait = self._inheritance.take_over(pod)
        return self._reconciler.reconcile(pod, verify=self._take_from_verify(pod)) if wait is None else wait

    def _take_from_verify(self, pod: PodKey) -> bool:
        # In one step: another thread may add it at any time.
        try:
            self._to_verify.remove(pod)
        except KeyError:
            return False
        return True

    def _start_threads(self) -> None:
        self._workers.start()
        loops: dict[str, Callable[[], None]] = {
            "watch": self._watch_pods,
            "events": lambda: self._events.run(self._stop),
            "docker": lambda: self._runtime.follow(self._look_at, self._look_at_all, self._stop),
        }
        for name, loop in loops.items():
            threading.Thread(target=self._guarded, args=(name, loop), name=name, daemon=True).start()

    def _guarded(self, name: str, loop: Callable[[], None]) -> None:
        """No loop ends while the agent runs; should a bug end one, the agent does not go on without it."""
        try:
            loop()
        except Exception:
            _log.critical(
                "internal error in the %s loop: the agent ends, to be started again", name, exc_info=True,
                extra=Message.INTERNAL_ERROR.field,
            )  # fmt: skip
            self._signals.put(_LOOP_DIED)

    def _watch_pods(self) -> None:
        while not self._stop.is_set():
            try:
                self._api.reload()
                break
            except KubeconfigError as error:
                if str(error) != self._waiting_for:
                    _log.warning("waiting for credentials: %s", error, extra=Message.CREDENTIALS_MISSING.field)
                self._waiting_for = str(error)
                self._notifier.status(self._status())
            self._stop.wait(_KUBECONFIG_POLL)
        self._waiting_for = ""
        self._watch.run(self._stop)

    def _credentials(self) -> object:
        return load_credentials(self._settings.kubeconfig, os.environ, connections=self._settings.workers + 4)

    def _first_list_complete(self) -> None:
        self._look_at_all()
        self._signals.put(_FIRST_LIST)

    def _look_at(self, pod: PodKey) -> None:
        """A hint that something happened to this pod. Before the first complete list, who is gone is not known."""
        if self._pods.synced:
            self._queue.add(pod)

    def _look_at_all(self) -> None:
        """Compare everything that is wanted and recorded with what is there."""
        if self._pods.synced:
            for pod in {*self._pods.keys(), *self._store.pods()}:
                self._to_verify.add(pod)
                self._queue.add(pod)

    def _until_told_to_stop(self) -> int:
        while True:
            self._watchdog.run_once()
            self._notifier.status(self._status())
            try:
                received = self._signals.get(timeout=self._seconds_to_next_duty())
            except queue.Empty:
                self._resync_if_due()
                continue
            if received == _FIRST_LIST:
                continue
            if received != signal.SIGHUP:
                _log.info(
                    "stopping" if received == _LOOP_DIED else f"{signal.Signals(received).name} received: stopping"
                )
                return received
            self._reload()

    def _seconds_to_next_duty(self) -> float:
        until_told_again = min(self._watchdog.interval_s, _STATUS_AT_WORK if len(self._queue) else float("inf"))
        return max(0.0, min(until_told_again, self._next_resync - time.monotonic()))

    def _resync_if_due(self) -> None:
        now = time.monotonic()
        if now >= self._next_resync:
            self._next_resync = self._resync_after(now)
            self._look_at_all()

    def _resync_after(self, now: float) -> float:
        period = self._settings.resync_period
        return now + period * self._rng.uniform(1 - _RESYNC_JITTER, 1 + _RESYNC_JITTER) if period else float("inf")

    def _reload(self) -> None:
        """SIGHUP: read the credentials again, try at once what has failed, compare everything."""
        self._notifier.reloading()
        try:
            self._api.reload()
        except KubeconfigError as error:
            _log.error("reload: the credentials stay as they were: %s", error)
        self._backoffs.clear()
        self._look_at_all()
        _log.info("reloaded")
        self._notifier.ready()

    def _status(self) -> str:
        if self._waiting_for:
            return f"Waiting for credentials: {self._waiting_for}"
        if not self._pods.synced:
            return f"Waiting for the list of pods from {self._api.server}"
        return f"{len(self._pods.keys())} pods, {len(self._store)} attachments, {len(self._queue)} pods in work"

    def _shut_down(self) -> None:
        self._notifier.stopping()
        self._stop.set()
        self._queue.close()
        self._watch.close()
        if at_work := self._workers.join(self._settings.plugin_timeout + _STOP_MARGIN):
            _log.warning("%d plugins are still at work; the next start of the agent takes care of them", at_work)
        _log.info("stopped")


def _economise_memory() -> None:
    """One malloc arena for all threads: glibc's default, one for each thread, costs memory and brings nothing here."""
    arena_max = -8  # M_ARENA_MAX of malloc.h
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(arena_max, 1)
