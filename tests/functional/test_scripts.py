"""The operator's scripts, run as they are with the demo's kubectl, against the API stand-in."""

from __future__ import annotations

import base64
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
from lab.networks import definition
from lab.waiting import eventually

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"
Ended = subprocess.CompletedProcess[str]
Run = Callable[..., Ended]


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as server:
        server.create({"kind": "Pod", "metadata": {"name": "web-0"}, "spec": {}})
        server.create({"kind": "Namespace", "metadata": {"name": "infra"}})
        yield server


@pytest.fixture
def kubeconfig(server: ApiServer, tmp_path: Path) -> Path:
    """Of the user of kubectl."""
    return server.write_kubeconfig(tmp_path / "own-kubeconfig")


@pytest.fixture
def run(kubeconfig: Path, tmp_path: Path) -> Run:
    """Runs a script, and returns what it printed."""
    kubectl = tmp_path / "bin" / "kubectl"
    kubectl.parent.mkdir()
    kubectl.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT / "demo" / "kubectl.py"} "$@"\n')
    kubectl.chmod(0o755)
    environ = {"PATH": f"{kubectl.parent}:{os.environ['PATH']}", "KUBECONFIG": str(kubeconfig)}

    def call(script: str, *arguments: str) -> Ended:
        command = [str(SCRIPTS / script), *arguments]
        return subprocess.run(command, env=environ, text=True, capture_output=True, timeout=60, check=False)

    return call


# --- add-network-annotation.sh, del-network-annotation.sh ------------------------------------------------------------


def annotation(server: ApiServer) -> Any:
    return json.loads(server.get("pods", "default", "web-0")["metadata"]["annotations"]["networks"])


def test_adds_the_first_network_and_leaves_an_empty_list_when_the_last_goes(server: ApiServer, run: Run) -> None:
    assert run("add-network-annotation.sh", "web-0", "data").returncode == 0
    assert annotation(server) == [{"name": "data"}]
    assert run("del-network-annotation.sh", "web-0", "data").returncode == 0
    assert annotation(server) == []


def test_other_entries_their_fields_and_other_annotations_stay(server: ApiServer, run: Run) -> None:
    entries = [{"name": "green", "ifMac": "02:00:00:00:00:01", "x": {"y": [1, "ü"]}}, "strange", {"name": "red"}]
    server.annotate("default", "web-0", {"networks": json.dumps(entries), "other": "kept"})
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


def test_a_malformed_annotation_is_left_alone_and_named(server: ApiServer, run: Run) -> None:
    for malformed in ("{not json", '{"name": "data"}', '"data"'):
        server.annotate("default", "web-0", {"networks": malformed})
        ended = run("add-network-annotation.sh", "web-0", "data")
        assert ended.returncode == 1
        assert "pod default/web-0" in ended.stderr
        assert "malformed" in ended.stderr
        assert server.get("pods", "default", "web-0")["metadata"]["annotations"]["networks"] == malformed


def test_adding_an_undefined_network_warns_and_goes_on(server: ApiServer, run: Run) -> None:
    assert "no networks.kaloom.com data" in run("add-network-annotation.sh", "web-0", "data").stderr
    server.create(definition("green", "default", "bridge", {}))
    assert run("add-network-annotation.sh", "web-0", "green").stderr == ""
    assert annotation(server) == [{"name": "data"}, {"name": "green"}]


USAGE = "add-network-annotation.sh POD NETWORK [NAMESPACE]"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        *((arguments, 2, USAGE) for arguments in ([], ["web-0"], ["web-0", "data", "default", "more"])),
        *(
            (arguments, 1, "is not a valid name")
            for arguments in (["web-0", "a;b"], ["-A", "data"], ["web-0", "data", "--all"], ["web-0", ""])
        ),
        (["web-9", "data", "shop"], 1, "there is no pod shop/web-9"),
    ],
)
def test_a_request_that_cannot_be_met_is_explained_and_changes_nothing(
    server: ApiServer, run: Run, arguments: list[str], code: int, words: str
) -> None:
    ended = run("add-network-annotation.sh", *arguments)
    assert ended.returncode == code
    assert words in ended.stderr
    assert "annotations" not in server.get("pods", "default", "web-0")["metadata"]
    # Only the last one is a question for kubectl.
    assert bool(server.requests.all()) == ("there is no pod" in words)


# --- create-kubeconfig.sh --------------------------------------------------------------------------------------------


def create_kubeconfig(server: ApiServer, run: Run, *arguments: str) -> Ended:
    """The token comes, as from the cluster's controller, when the script has looked for it in vain."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, "create-kubeconfig.sh", *arguments)
        eventually(lambda: running.done() or server.requests.count("get", "secrets"), 30)
        for secret in server.objects("secrets"):
            data = {"token": base64.b64encode(b"to.k.en").decode(), "ca.crt": "Q0VSVElGSUNBVEU="}
            server.patch("secrets", secret["metadata"]["namespace"], secret["metadata"]["name"], {"data": data})
        return running.result()


def test_create_kubeconfig_waits_for_the_token_and_writes_a_private_file_in_place_of_an_older_one(
    server: ApiServer, run: Run, kubeconfig: Path, tmp_path: Path
) -> None:
    users = json.loads(kubeconfig.read_text())
    users["clusters"][0]["cluster"]["tls-server-name"] = "api.lab"
    kubeconfig.write_text(json.dumps(users))
    directory = tmp_path / "kubeconfig"
    directory.mkdir()
    written = directory / "agent.yaml"
    written.write_text("old")
    ended = create_kubeconfig(server, run, str(directory), "agent.yaml", "infra")
    assert ended.returncode == 0, ended.stderr
    assert list(directory.iterdir()) == [written]
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    made = json.loads(written.read_text())
    (cluster,), (user,), (context,) = made["clusters"], made["users"], made["contexts"]
    about = {"server": server.url, "certificate-authority-data": "Q0VSVElGSUNBVEU=", "tls-server-name": "api.lab"}
    assert cluster["cluster"] == about
    assert user["user"] == {"token": "to.k.en"}
    assert context["context"] == {"cluster": cluster["name"], "user": user["name"]}
    assert made["current-context"] == context["name"]
    assert "to.k.en" not in ended.stdout + ended.stderr
    (secret,) = server.objects("secrets", "infra")
    assert secret["type"] == "kubernetes.io/service-account-token"
    (account,) = server.objects("serviceaccounts")
    (binding,) = server.objects("clusterrolebindings")
    assert account["metadata"]["namespace"] == binding["subjects"][0]["namespace"] == "infra"


def test_create_kubeconfig_warns_when_nodes_cannot_reach_the_server(
    server: ApiServer, run: Run, tmp_path: Path
) -> None:
    ended = create_kubeconfig(server, run, str(tmp_path / "k"))
    assert ended.returncode == 0
    assert "this machine's own" in ended.stderr
    made = json.loads((tmp_path / "k" / "podagent-kubeconfig.yaml").read_text())
    assert "tls-server-name" not in made["clusters"][0]["cluster"]


def test_create_kubeconfig_refuses_a_directory_that_is_a_link(run: Run, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    ended = run("create-kubeconfig.sh", str(tmp_path / "link"))
    assert ended.returncode == 1
    assert "symbolic link" in ended.stderr
    assert list((tmp_path / "real").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "change", "named"),
    [
        (("a/b",), {}, "FILE"),
        (("f.yaml", "../x"), {}, "'../x' cannot be a namespace"),
        (("f.yaml", "missing"), {}, "namespace missing"),
        ((), {"current-context": ""}, "no current context"),
        ((), {"clusters": [{"name": "lab", "cluster": {"server": 'https://x"\nusers: []'}}]}, "cannot be used"),
    ],
)
def test_create_kubeconfig_says_why_it_refuses(
    run: Run, kubeconfig: Path, tmp_path: Path, arguments: tuple[str, ...], change: dict[str, Any], named: str
) -> None:
    kubeconfig.write_text(json.dumps(json.loads(kubeconfig.read_text()) | change))
    ended = run("create-kubeconfig.sh", str(tmp_path / "k"), *arguments)
    assert ended.returncode == 1
    assert named in ended.stderr
    assert not list(tmp_path.glob("k/*"))


def test_every_script_is_executable() -> None:
    assert [path for path in SCRIPTS.glob("*.sh") if not os.access(path, os.X_OK)] == []
