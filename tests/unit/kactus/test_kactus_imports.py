"""kactus starts once per pod operation: a call must not import what it does not need."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from unit.kube.loopback import kubeconfig

SOURCE = Path(__file__).resolve().parents[3] / "src"
CALL = "from podagent.kactus.main import main; code = main()"
BARE = {"__future__", "os", "os.path", "posixpath", "genericpath", "stat", "_stat", "_collections_abc", "abc", "_abc"}
AGENTS = {"kubernetes", "requests", "urllib3", "docker", "podagent.kube"}
NETWORK = AGENTS | {"ssl", "http", "http.client", "yaml", "urllib.request", "email"}
SLOW = {"dataclasses", "inspect", "pathlib", "tempfile", "logging", "asyncio"}
HEAVY = NETWORK | SLOW | {"hashlib", "ctypes", "podagent.host.netns"}


def imported(statement: str, given: str = "", **env: str) -> tuple[int, set[str]]:
    """The `code` that a statement sets, and what it imports beyond what the interpreter starts with."""
    script = (
        f"import sys; sys.path.insert(0, {str(SOURCE)!r}); before = set(sys.modules); code = 0; {statement}\n"
        "print(code, *sorted(set(sys.modules) - before), file=sys.stderr)"
    )
    python = [sys.executable, "-I", "-S", "-c", script]
    done = subprocess.run(python, env=env, input=given, capture_output=True, text=True, timeout=60)
    code, *modules = done.stderr.split()
    return int(code), set(modules)


def called(directory: Path, command: str, **more: str) -> tuple[int, set[str]]:
    (directory / "noop").write_text("#!/bin/sh\ncat > /dev/null\n")
    (directory / "noop").chmod(0o755)
    delegates = [{"type": "noop", "masterPlugin": True}]
    conf = {"cniVersion": "1.1.0", "name": "cluster", "cniDir": str(directory / "kactus"), "delegates": delegates}
    env = {"CNI_COMMAND": command, "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0", "CNI_PATH": str(directory), **more}
    return imported(CALL, json.dumps(conf), PATH="/bin:/usr/bin", **env)


def test_version_imports_next_to_nothing(tmp_path: Path) -> None:
    code, modules = called(tmp_path, "VERSION")
    assert code == 0
    own = {"podagent", "podagent.versions", "podagent.kactus", "podagent.kactus.main"}
    assert own <= modules <= own | BARE


@pytest.mark.parametrize(
    ("command", "change", "code", "unneeded"),
    [
        ("DEL", {}, 0, HEAVY),
        ("STATUS", {}, 0, HEAVY),
        ("DEL", {"CNI_IFNAME": ""}, 1, {"subprocess", *NETWORK}),
        ("ADD", {"CNI_NETNS": "/proc/self/ns/net"}, 1, AGENTS | SLOW),
    ],
    ids=["DEL", "STATUS", "refused", "ADD"],
)
def test_a_call_imports_nothing_that_it_does_not_need(
    tmp_path: Path, command: str, change: dict[str, str], code: int, unneeded: set[str]
) -> None:
    ended, modules = called(tmp_path, command, **{"CNI_NETNS": str(tmp_path), **change})
    assert (ended, modules & unneeded) == (code, set())


@pytest.mark.parametrize(
    ("module", "unneeded"),
    [("podagent.cni.runtime", SLOW | {"ipaddress", "socket", "ssl", "urllib", "click", "kubernetes"}),
     ("podagent.host.orphans", {"pathlib", "ctypes", "dataclasses", "logging", "typing", "subprocess", "threading"})],
)  # fmt: skip
def test_modules_shared_with_the_agent_are_light(module: str, unneeded: set[str]) -> None:
    _, modules = imported(f"import {module}")
    assert (module in modules, modules & unneeded) == (True, set())


def test_a_kubeconfig_in_json_is_read_without_the_yaml_parser(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, "https://127.0.0.1:6443")
    _, modules = imported(f"from podagent.kactus.credentials import load_credentials; load_credentials({path!r})")
    assert ("json" in modules, modules & {"yaml"}) == (True, set())
