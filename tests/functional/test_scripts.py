"""The operator's scripts, run as they are, against the API stand-in."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lab.apiserver import ApiServer

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as server:
        pod: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-0"}, "spec": {}}
        server.create(pod)
        yield server


@pytest.fixture
def run(server: ApiServer, tmp_path: Path) -> Run:
    """Runs a script with the kubectl stand-in and returns what it said."""
    kubectl = tmp_path / "bin" / "kubectl"
    kubectl.parent.mkdir()
    kubectl.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).with_name("kubectl_stand_in.py")} "$@"\n')
    kubectl.chmod(0o755)

    def call(script: str, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        path = f"{kubectl.parent}:{os.environ['PATH']}"
        environ = {"PATH": path, "KUBECTL_SERVER": server.url, "KUBECTL_NOTES": str(tmp_path)} | changes
        return subprocess.run(
            [str(SCRIPTS / script), *arguments], env=environ, text=True, capture_output=True, timeout=60, check=False
        )

    return call


def annotation(server: ApiServer) -> Any:
    return json.loads(server.get("pods", "default", "web-0")["metadata"]["annotations"]["networks"])


def test_adds_the_first_network_and_leaves_an_empty_list_when_the_last_goes(server: ApiServer, run: Run) -> None:
    assert run("add-network-annotation.sh", "web-0", "data").returncode == 0
    assert annotation(server) == [{"name": "data"}]
    assert run("del-network-annotation.sh", "web-0", "data").returncode == 0
    assert annotation(server) == []


def test_other_entries_their_fields_and_other_annotations_stay(server: ApiServer, run: Run) -> None:
    entries = [{"name": "green", "ifMac": "02:00:00:00:00:01", "x": {"y": [1, "ü"]}}, "strange", {"name": "red"}]
    server.patch_annotations("default", "web-0", {"networks": json.dumps(entries), "other": "kept"})
    assert run("add-network-annotation.sh", "web-0", "data", "default").returncode == 0
    assert annotation(server) == [*entries, {"name": "data"}]
    assert run("del-network-annotation.sh", "web-0", "red").returncode == 0
    assert annotation(server) == [*entries[:2], {"name": "data"}]
    assert server.get("pods", "default", "web-0")["metadata"]["annotations"]["other"] == "kept"


def test_doing_it_twice_changes_nothing_and_says_so(server: ApiServer, run: Run) -> None:
    run("add-network-annotation.sh", "web-0", "data")
    before = server.get("pods", "default", "web-0")["metadata"]["resourceVersion"]
    again = run("add-network-annotation.sh", "web-0", "data")
    absent = run("del-network-annotation.sh", "web-0", "green")
    assert (again.returncode, absent.returncode) == (0, 0)
    assert "already has network data" in again.stdout
    assert "does not have network green" in absent.stdout
    assert server.get("pods", "default", "web-0")["metadata"]["resourceVersion"] == before


def test_two_at_once_do_not_undo_each_other(server: ApiServer, run: Run) -> None:
    networks = ["red", "green", "blue"]
    with ThreadPoolExecutor() as pool:
        ended = list(pool.map(lambda network: run("add-network-annotation.sh", "web-0", network), networks))
    assert [process.returncode for process in ended] == [0, 0, 0], [process.stderr for process in ended]
    assert sorted(entry["name"] for entry in annotation(server)) == sorted(networks)


@pytest.mark.parametrize("malformed", ["{not json", '{"name": "data"}', '"data"'])
def test_a_malformed_annotation_is_left_alone_and_named(server: ApiServer, run: Run, malformed: str) -> None:
    server.patch_annotations("default", "web-0", {"networks": malformed})
    ended = run("add-network-annotation.sh", "web-0", "data")
    assert ended.returncode == 1
    assert "pod default/web-0" in ended.stderr
    assert "malformed" in ended.stderr
    assert server.get("pods", "default", "web-0")["metadata"]["annotations"]["networks"] == malformed


def test_a_pod_that_does_not_exist_is_named(run: Run) -> None:
    ended = run("del-network-annotation.sh", "web-9", "data", "shop")
    assert ended.returncode == 1
    assert "there is no pod shop/web-9" in ended.stderr


def test_adding_an_undefined_network_warns_and_goes_on(server: ApiServer, run: Run) -> None:
    assert "no networks.kaloom.com data" in run("add-network-annotation.sh", "web-0", "data").stderr
    definition = {"apiVersion": "kaloom.com/v1", "kind": "Network", "metadata": {"name": "green"}, "spec": {}}
    server.create(definition)
    assert run("add-network-annotation.sh", "web-0", "green").stderr == ""
    assert annotation(server) == [{"name": "data"}, {"name": "green"}]


@pytest.mark.parametrize("arguments", [(), ("web-0",), ("web-0", "data", "default", "more")])
def test_wrong_use_is_answered_with_the_usage(run: Run, arguments: tuple[str, ...]) -> None:
    ended = run("add-network-annotation.sh", *arguments)
    assert ended.returncode == 2
    assert "add-network-annotation.sh POD NETWORK [NAMESPACE]" in ended.stderr


@pytest.mark.parametrize("arguments", [("web-0", "a;b"), ("-A", "data"), ("web-0", "data", "--all"), ("web-0", "")])
def test_what_is_no_name_never_reaches_kubectl(server: ApiServer, run: Run, arguments: tuple[str, ...]) -> None:
    ended = run("add-network-annotation.sh", *arguments)
    assert ended.returncode == 1
    assert "is not a valid name" in ended.stderr
    assert "annotations" not in server.get("pods", "default", "web-0")["metadata"]


def test_create_kubeconfig_waits_for_the_token_and_writes_a_private_file(run: Run, tmp_path: Path) -> None:
    directory = tmp_path / "kubeconfig"
    ended = run(
        "create-kubeconfig.sh", str(directory), "agent.yaml", "infra", KUBECTL_SERVER="https://api.example:6443"
    )
    assert ended.returncode == 0, ended.stderr
    written = directory / "agent.yaml"
    assert [path.name for path in directory.iterdir()] == ["agent.yaml"]
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    made = json.loads(written.read_text())
    (cluster,), (user,), (context,) = made["clusters"], made["users"], made["contexts"]
    assert cluster["cluster"] == {
        "server": "https://api.example:6443", "certificate-authority-data": "Q0VSVElGSUNBVEU=",
    }  # fmt: skip
    assert user["user"] == {"token": "to.k.en"}
    assert context["context"] == {"cluster": cluster["name"], "user": user["name"]}
    assert made["current-context"] == context["name"]
    assert "to.k.en" not in ended.stdout + ended.stderr
    applied = (tmp_path / "applied.yaml").read_text()
    assert "kubernetes.io/service-account-token" in applied
    assert "namespace: infra" in applied
    assert "namespace: kube-system" not in applied


def test_create_kubeconfig_keeps_the_name_that_the_servers_certificate_has(run: Run, tmp_path: Path) -> None:
    assert run("create-kubeconfig.sh", str(tmp_path), "agent.yaml", KUBECTL_TLS_SERVER_NAME="api.lab").returncode == 0
    made = json.loads((tmp_path / "agent.yaml").read_text())
    assert made["clusters"][0]["cluster"]["tls-server-name"] == "api.lab"


def test_create_kubeconfig_replaces_an_older_one(run: Run, tmp_path: Path) -> None:
    (tmp_path / "agent.yaml").write_text("old")
    assert run("create-kubeconfig.sh", str(tmp_path), "agent.yaml").returncode == 0
    assert "to.k.en" in (tmp_path / "agent.yaml").read_text()


def test_create_kubeconfig_warns_when_nodes_cannot_reach_the_server(run: Run, tmp_path: Path) -> None:
    ended = run("create-kubeconfig.sh", str(tmp_path / "k"))
    assert ended.returncode == 0
    assert "this machine's own" in ended.stderr


def test_create_kubeconfig_refuses_a_directory_that_is_a_link(run: Run, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    ended = run("create-kubeconfig.sh", str(tmp_path / "link"))
    assert ended.returncode == 1
    assert "symbolic link" in ended.stderr
    assert list((tmp_path / "real").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "current", "named"),
    [
        (("a/b",), "https://x", "FILE"),
        (("f.yaml", "../x"), "https://x", "'../x' cannot be a namespace"),
        (("f.yaml", "missing"), "https://x", "namespace missing"),
        ((), "", "no current context"),
        ((), 'https://x"\nusers: []', "cannot be used"),
    ],
)
def test_create_kubeconfig_says_why_it_refuses(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], current: str, named: str
) -> None:
    ended = run("create-kubeconfig.sh", str(tmp_path / "k"), *arguments, KUBECTL_SERVER=current)
    assert ended.returncode == 1
    assert named in ended.stderr
    assert not (tmp_path / "k" / "f.yaml").exists()


@pytest.mark.parametrize("script", sorted(path.name for path in SCRIPTS.glob("*.sh")))
def test_every_script_is_executable(script: str) -> None:
    assert os.access(SCRIPTS / script, os.X_OK)
