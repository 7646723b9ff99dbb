"""kactus starts once per pod operation: what a call does not need it must not import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[3] / "src"
SCRIPT = f"""
import sys
sys.path.insert(0, {str(SOURCE)!r})
before = set(sys.modules)
from podagent.kactus.main import main
code = main()
print(code, *sorted(set(sys.modules) - before), file=sys.stderr)
"""
BARE = {"__future__", "os", "os.path", "posixpath", "genericpath", "stat", "_stat", "_collections_abc", "abc", "_abc"}
AGENTS = {"kubernetes", "requests", "urllib3", "docker", "podagent.kube"}
NETWORK = AGENTS | {"ssl", "http", "http.client", "yaml", "urllib.request", "email"}
SLOW = {"dataclasses", "inspect", "pathlib", "tempfile", "logging", "asyncio"}
HEAVY = NETWORK | SLOW | {"hashlib", "ctypes", "podagent.host.netns"}


def imported(directory: Path, command: str, **more: str) -> tuple[int, set[str]]:
    """The exit code, and what a call imports beyond what the interpreter starts with."""
    (directory / "noop").write_text("#!/bin/sh\ncat > /dev/null\n")
    (directory / "noop").chmod(0o755)
    delegates = [{"type": "noop", "masterPlugin": True}]
    conf = {"cniVersion": "1.1.0", "name": "cluster", "cniDir": str(directory / "kactus"), "delegates": delegates}
    env = {"CNI_COMMAND": command, "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0", "CNI_PATH": str(directory), **more}
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", SCRIPT], env={**env, "PATH": "/bin:/usr/bin"}, input=json.dumps(conf),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    code, *modules = done.stderr.split()
    return int(code), set(modules)


def test_version_imports_next_to_nothing(tmp_path: Path) -> None:
    code, modules = imported(tmp_path, "VERSION")
    assert code == 0
    assert {name for name in modules if not name.startswith("podagent")} <= BARE
    assert {name for name in modules if name.startswith("podagent")} == {
        "podagent", "podagent.versions", "podagent.kactus", "podagent.kactus.main",
    }  # fmt: skip


@pytest.mark.parametrize("command", ["DEL", "STATUS"])
def test_what_asks_no_server_loads_nothing_that_could(tmp_path: Path, command: str) -> None:
    code, modules = imported(tmp_path, command, CNI_NETNS=str(tmp_path))
    assert code == 0
    assert modules & HEAVY == set()


def test_a_call_that_is_refused_loads_no_way_to_run_plugins(tmp_path: Path) -> None:
    code, modules = imported(tmp_path, "DEL", CNI_IFNAME="")
    assert code == 1
    assert not {"subprocess", *NETWORK} & modules


def test_not_even_attaching_loads_the_agents_libraries_or_what_takes_long(tmp_path: Path) -> None:
    _, modules = imported(tmp_path, "ADD", CNI_NETNS="/proc/self/ns/net")
    assert (AGENTS | SLOW) & modules == set()
