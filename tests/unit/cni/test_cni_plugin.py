"""One plugin process: what it sees, and everything it can do wrong."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from lab.processes import is_alive, open_files
from lab.waiting import eventually
from podagent.cni import plugin, start
from podagent.cni.reply import Ended
from podagent.errors import PluginError, PluginNotRun, PluginTimeout

MakePlugin = Callable[[str], str]
ENV = {"PATH": os.environ["PATH"]}
LET_GO = "</dev/null >/dev/null 2>&1"


@pytest.fixture
def make_plugin(tmp_path: Path) -> MakePlugin:
    """Makes an executable from a shell script and returns its path; in the script ``$here`` is the test's directory."""

    def make(script: str) -> str:
        path = tmp_path / "plugin"
        path.write_text(f"#!/bin/sh\nhere={tmp_path}\n{script}\n")
        path.chmod(0o755)
        return str(path)

    return make


def run(executable: str, stdin: bytes = b"{}", timeout: float = 30) -> Ended:
    return plugin.run(executable, ENV, stdin, timeout, "plugin")


def child_of_plugin(directory: Path) -> int:
    """The process ID that the plugin has written down."""
    path = directory / "child"
    return eventually(lambda: int(path.read_text() or 0) if path.exists() else 0)


def assert_its_child_ends(directory: Path) -> None:
    pid = child_of_plugin(directory)
    eventually(lambda: not is_alive(pid))


@pytest.fixture(autouse=True)
def _no_descriptor_is_left_open() -> Iterator[None]:
    before = set(open_files())
    yield
    eventually(lambda: set(open_files()) <= before, what="nothing to be open that was not open before")


@pytest.mark.parametrize(
    ("end", "exit_code"), [("exit 3", 3), ("kill -SEGV $$", -signal.SIGSEGV), ("kill -TERM $$", -signal.SIGTERM)]
)
def test_input_output_and_exit_code_or_signal_go_through(make_plugin: MakePlugin, end: str, exit_code: int) -> None:
    executable = make_plugin(f"cat; echo careful >&2; {end}")
    assert run(executable, b'{"name": "data"}') == Ended(exit_code, b'{"name": "data"}', b"careful\n")


def test_the_environment_is_exactly_the_one_given(make_plugin: MakePlugin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "@secret")
    env = {"CNI_COMMAND": "ADD", "CNI_ARGS": "", "PATH": ENV["PATH"]}
    ended = plugin.run(make_plugin("cat /proc/$$/environ"), env, b"", 30, "plugin")
    assert dict(entry.split("=", 1) for entry in ended.stdout.decode().split("\0") if entry) == env


def test_only_the_three_standard_descriptors_are_inherited(make_plugin: MakePlugin, tmp_path: Path) -> None:
    secret = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(secret, True)
    try:
        # 3 is the directory that ls itself has open.
        assert run(make_plugin("ls /proc/self/fd")).stdout.split() == [b"0", b"1", b"2", b"3"]
    finally:
        os.close(secret)


def test_it_runs_in_the_root_directory_and_in_its_own_session(make_plugin: MakePlugin) -> None:
    executable = make_plugin('pwd; read -r pid _ _ _ group session _ < /proc/$$/stat; echo "$pid $group $session"')
    directory, numbers = run(executable).stdout.decode().splitlines()
    assert directory == "/"
    assert len(set(numbers.split())) == 1
    assert int(numbers.split()[1]) != os.getpgrp()


def test_an_input_larger_than_a_pipe_arrives_whole_or_is_not_read(make_plugin: MakePlugin) -> None:
    stdin = os.urandom(3 << 20)
    assert run(make_plugin("cat"), stdin).stdout == stdin
    assert run(make_plugin("exec <&-; echo {}"), stdin) == Ended(0, b"{}\n", b"")


@pytest.mark.parametrize(
    "script",
    [
        'sleep 60 & echo $! > "$here/child"; wait',
        "trap '' TERM; (while :; do sleep 1; done) & echo $! > \"$here/child\"; wait; wait",
        f"(trap '' TERM; while :; do sleep 1; done) {LET_GO} & echo $! > \"$here/child\"; wait",
    ],
    ids=["ends on SIGTERM", "ignores SIGTERM", "its child ignores SIGTERM"],
)
def test_a_hanging_plugin_is_ended_with_its_whole_process_group(
    make_plugin: MakePlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setattr(plugin, "TERM_GRACE_S", 0.05)
    with pytest.raises(PluginTimeout, match=r"did not end within 0\.2 s.*busy"):
        run(make_plugin(f"echo busy >&2; {script}"), timeout=0.2)
    assert_its_child_ends(tmp_path)


def test_a_plugin_that_takes_long_is_reported_once_while_it_is_at_work_and_one_that_is_ended_sooner_is_not(
    make_plugin: MakePlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "SLOW_AFTER_S", 0.2)
    called: list[bool] = []

    def let_go() -> None:
        called.append(True)
        (tmp_path / "go").touch()

    waiting = 'until [ -e "$here/go" ]; do sleep 0.05; done; echo {}'
    assert plugin.run(make_plugin(waiting), ENV, b"", 30, "plugin", on_slow=let_go) == Ended(0, b"{}\n", b"")
    assert plugin.run(make_plugin("echo {}"), ENV, b"", 30, "plugin", on_slow=let_go) == Ended(0, b"{}\n", b"")
    with pytest.raises(PluginTimeout):
        plugin.run(make_plugin("exec sleep 60"), ENV, b"", 0.1, "plugin", on_slow=let_go)
    assert called == [True]


def test_a_process_left_behind_with_the_output_open_is_ended(make_plugin: MakePlugin, tmp_path: Path) -> None:
    executable = make_plugin('sleep 60 & echo $! > "$here/child"; echo "{}"')
    begun = time.monotonic()
    assert run(executable) == Ended(0, b"{}\n", b"", abandoned_child=True)
    assert time.monotonic() - begun < 10
    assert_its_child_ends(tmp_path)


def test_a_process_left_behind_that_writes_without_end_is_ended(make_plugin: MakePlugin) -> None:
    alone = "while read -r _ _ state _ < /proc/$PPID/stat && [ $state != Z ]; do :; done"
    ended = run(make_plugin(f"sh -c '{alone}; exec yes' & exit 0"))
    assert ended.abandoned_child


def test_a_daemon_that_let_go_of_the_output_lives_on_after_success(make_plugin: MakePlugin, tmp_path: Path) -> None:
    has_let_go = "until read -r name < /proc/$!/comm && [ $name = sleep ]; do :; done"
    executable = make_plugin(f'sleep 60 {LET_GO} & {has_let_go}; echo $! > "$here/child"; echo {{}}')
    assert run(executable) == Ended(0, b"{}\n", b"")
    pid = child_of_plugin(tmp_path)
    assert is_alive(pid)
    os.kill(pid, signal.SIGKILL)


def test_the_children_of_a_plugin_that_was_killed_are_ended(make_plugin: MakePlugin, tmp_path: Path) -> None:
    assert run(make_plugin(f'sleep 60 {LET_GO} & echo $! > "$here/child"; kill -KILL $$')).exit_code == -signal.SIGKILL
    assert_its_child_ends(tmp_path)


def test_a_flood_of_output_is_cut_off(make_plugin: MakePlugin, tmp_path: Path) -> None:
    executable = make_plugin('echo $$ > "$here/child"; exec head -c 100000000 /dev/zero')
    with pytest.raises(PluginError, match="printed more than 4 MiB"):
        run(executable)
    assert not is_alive(child_of_plugin(tmp_path))


def test_of_a_flood_of_errors_the_end_is_kept(make_plugin: MakePlugin) -> None:
    ended = run(make_plugin("head -c 2000000 /dev/zero >&2; printf 'the end' >&2; exit 1"))
    assert len(ended.stderr) == plugin.STDERR_KEPT
    assert ended.stderr.endswith(b"\0the end")


def test_an_executable_being_replaced_is_tried_again_for_a_while(
    make_plugin: MakePlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable = make_plugin("echo {}")
    monkeypatch.setattr(start, "_BUSY_WAITS_S", (0.01, 0.01))
    with Path(executable).open("r+b"), pytest.raises(PluginError, match="it is still being written to") as raised:
        run(executable)
    assert raised.value.code == 5
    monkeypatch.setattr(start, "_BUSY_WAITS_S", (0.01,) * 1000)
    timer = threading.Timer(0.05, os.close, (os.open(executable, os.O_RDWR),))
    timer.start()
    assert run(executable).stdout == b"{}\n"
    timer.join()


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        ("#!/bin/sh\n", 0o644, "it is not executable"),
        ("rubbish", 0o755, "it is neither an executable for this machine"),
        ("#!/nowhere/python\n", 0o755, "the file, or the interpreter its first line names, does not exist"),
    ],
)
def test_a_file_that_cannot_be_run_is_an_error(tmp_path: Path, content: str, mode: int, reason: str) -> None:
    path = tmp_path / "plugin"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(PluginError, match=f"{path} cannot be run: {reason}"):
        run(str(path))


@contextmanager
def hanging_to_be_read(executable: str) -> Iterator[None]:
    """The kernel lets nobody open a file with a write lease, as one on a file system without an answer."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # which asks for the lease
    descriptor = os.open(executable, os.O_RDONLY)
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    yield
    os.close(descriptor)
    signal.signal(signal.SIGIO, before)


def test_a_plugin_that_cannot_be_read_is_given_up_never_runs_and_keeps_no_other_from_its_start(
    make_plugin: MakePlugin, tmp_path: Path
) -> None:
    executable = make_plugin('touch "$here/ran"; echo {}')
    (tmp_path / "good").write_bytes(b"#!/bin/sh\necho {}\n")
    (tmp_path / "good").chmod(0o755)
    with hanging_to_be_read(executable), ThreadPoolExecutor(1) as threads:
        hanging = threads.submit(run, executable, timeout=0.5)
        while not hanging.done():
            assert run(str(tmp_path / "good"), timeout=0.4) == Ended(0, b"{}\n", b"")
        with pytest.raises(PluginTimeout, match=r"plugin could not be read within 0\.5 s: is its file system"):
            hanging.result()
    assert not (tmp_path / "ran").exists()
    assert run(executable).exit_code == 0
    with pytest.raises(ChildProcessError):
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG)  # all are reaped


def test_too_many_descriptors_processes_or_threads_are_an_error_with_the_way_out(
    make_plugin: MakePlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    executable, few = make_plugin("echo {}"), len(open_files())
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, limit[1]))
    try:
        with pytest.raises(PluginNotRun, match="Too many open files; raise LimitNOFILE of the service"):
            run(executable)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    assert start.reason(BlockingIOError(errno.EAGAIN, "no")).startswith("no; too many processes and threads")
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(PluginNotRun, match="can't start new thread; too many processes and threads"):
        run(executable)


def test_a_nul_in_the_environment_is_an_error(make_plugin: MakePlugin) -> None:
    with pytest.raises(PluginError, match="cannot be run: embedded null byte"):
        plugin.run(make_plugin("echo {}"), {"CNI_ARGS": "a\0b"}, b"", 30, "plugin")


def test_many_plugins_run_at_the_same_time_from_many_threads(make_plugin: MakePlugin) -> None:
    executable = make_plugin("cat")
    inputs = [f"{number}".encode() * 1000 for number in range(40)]
    with ThreadPoolExecutor(8) as threads:
        ended = list(threads.map(lambda sent: run(executable, sent), inputs))
    assert ended == [Ended(0, sent, b"") for sent in inputs]


def test_a_kernel_without_pidfd_does_as_well(make_plugin: MakePlugin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    assert run(make_plugin("cat"), b"x" * (1 << 20)).stdout == b"x" * (1 << 20)
    assert run(make_plugin('sleep 60 & echo "{}"')) == Ended(0, b"{}\n", b"", abandoned_child=True)
    with pytest.raises(PluginTimeout):
        run(make_plugin("sleep 60"), timeout=0.02)


def test_the_first_directory_that_has_a_regular_file_wins(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "bridge").mkdir()
    (tmp_path / "real").touch()
    (tmp_path / "b" / "bridge").symlink_to(tmp_path / "real")
    (tmp_path / "c" / "bridge").touch()
    path = ["", ".", *(str(tmp_path / name) for name in ("missing", "a", "b", "c"))]
    assert plugin.find("bridge", path) == f"{tmp_path}/b/bridge"


def test_a_missing_plugin_is_an_error_that_shows_where_it_was_looked_for() -> None:
    with pytest.raises(PluginError, match=r"CNI plugin bridge: not found in .*\(/nowhere:/neither\)"):
        plugin.find("bridge", ["/nowhere", "/neither"])


@pytest.mark.parametrize("name", ["", ".", "..", "../bin/sh", "/bin/sh", "a/b", "sh\0"])
def test_a_plugin_type_never_leads_out_of_the_directories(name: str) -> None:
    with pytest.raises(PluginError, match="not the bare file name of a plugin"):
        plugin.find(name, ["/bin"])
