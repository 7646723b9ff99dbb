from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from podagent.errors import RuntimeUnavailable
from podagent.runtimes import discovery
from podagent.runtimes.discovery import Candidate, Found, Kind, Named, Reply, candidates, choose, flag, yaml_value
from podagent.runtimes.search import Search
from unit.runtimes.criserver import SILENCE, Answer, CriServer, message, recorded, status

DOCKER = "/var/run/docker.sock"
CONTAINERDS = [
    "/run/containerd/containerd.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/k0s/containerd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
]
CRIO, SHIM = "/run/crio/crio.sock", "/run/cri-dockerd.sock"
USUAL = ["/run/dockershim.sock", *CONTAINERDS, CRIO, SHIM]
KUBELETS = Named(kubelet_flag="unix:///run/k/k.sock", kubelet_config="/run/c.sock", crictl="unix:///run/crictl.sock")


@pytest.mark.parametrize(
    ("container_type", "named", "docker", "paths"),
    [
        ("auto", Named(), DOCKER, [*USUAL, DOCKER]),
        ("auto", Named(), "/d.sock", ["/d.sock", *USUAL]),
        ("auto", Named(crictl=f"unix://{CRIO}"), DOCKER, [CRIO, *USUAL[:-2], SHIM, DOCKER]),
        ("auto", Named("unix:///var/run/crio/crio.sock"), DOCKER, [f"/var{CRIO}", *USUAL[:-2], SHIM, DOCKER]),
        ("auto", KUBELETS, DOCKER, ["/run/k/k.sock"]),
        ("auto", KUBELETS._replace(kubelet_flag=""), DOCKER, ["/run/c.sock"]),
        ("auto", Named(kubelet_flag="unix:/run/c.sock"), DOCKER, ["/run/c.sock"]),
        ("auto", KUBELETS._replace(configured="unix:///a"), DOCKER, ["/a", "/run/k/k.sock"]),
        ("auto", KUBELETS, "/d.sock", ["/d.sock", "/run/k/k.sock"]),
        (
            "auto",
            Named(kubelet_flag="tcp://10.0.0.1:1", crictl="npipe://x"),
            DOCKER,
            [*USUAL, DOCKER],
        ),
        ("cri", Named(), DOCKER, USUAL),
        ("cri", KUBELETS, DOCKER, ["/run/k/k.sock"]),
        ("cri", KUBELETS._replace(configured="unix:///a"), DOCKER, ["/a"]),
        ("containerd", Named(), DOCKER, CONTAINERDS),
        ("crio", Named(), DOCKER, [CRIO]),
        ("crio", Named("unix:///a"), DOCKER, ["/a"]),
        ("docker", Named("unix:///a"), "/d.sock", ["/d.sock"]),
    ],
)
def test_the_sockets_to_try_and_their_order(container_type: str, named: Named, docker: str, paths: list[str]) -> None:
    assert [candidate.path for candidate in candidates(container_type, named, docker)] == paths


ABSENT, OFF = Reply(None, "there is no such socket"), Reply(None, "its CRI plugin is off")
IDLE = Reply(Kind.CRI, idle=True)
OFFERED = [Candidate("/a", "first"), Candidate("/b", "second"), Candidate("/c", "third")]


@pytest.mark.parametrize(
    ("replies", "found"),
    [
        ({"/b": Reply(Kind.CRI), "/c": Reply(Kind.CRI)}, Found(Kind.CRI, "unix:///b", "second", guessed=True)),
        ({"/a": IDLE, "/b": IDLE, "/c": Reply(Kind.CRI)}, Found(Kind.CRI, "unix:///c", "third", guessed=True)),
        ({"/b": IDLE, "/c": Reply(Kind.DOCKER, idle=True)}, Found(Kind.CRI, "unix:///b", "second", guessed=True)),
        ({"/a": IDLE, "/b": Reply(None, "starting", maybe=True)}, Found(Kind.CRI, "unix:///a", "first", guessed=True)),
        ({"/a": OFF, "/c": Reply(Kind.DOCKER)}, Found(Kind.DOCKER, f"unix://{DOCKER}", "third", guessed=True)),
        ({"/b": OFF}, "no container runtime answers: /a, /c: there is no such socket; /b: its CRI plugin is off"),
        (
            {"/b": Reply(None, "starting", maybe=True), "/c": Reply(Kind.CRI)},
            "no container runtime answers: /a: there is no such socket; /b: starting",
        ),
    ],
)
def test_the_first_that_runs_pods_is_chosen_else_the_first_that_answers_unless_one_before_it_may_be_starting(
    replies: Mapping[str, Reply], found: Found | str
) -> None:
    def chosen() -> Found:
        return choose("auto", OFFERED, DOCKER, lambda candidate: replies.get(candidate.path, ABSENT))

    if isinstance(found, Found):
        assert chosen() == found
    else:
        with pytest.raises(RuntimeUnavailable) as caught:
            chosen()
        assert str(caught.value) == found


def test_flags_of_a_kubelet_and_values_of_a_file_are_read_in_all_their_forms() -> None:
    name = "--container-runtime-endpoint"
    lines = [
        ["kubelet", f"{name}=/x"],
        [name, "/x"],
        [f"{name}=/y", name, "/x", "--v=2"],
        ["--container_runtime_endpoint=/x"],
        ["kubelet", f"{name}-x=/x"],
        [name],
    ]
    assert [flag(line, name) for line in lines] == ["/x", "/x", "/x", "/x", "", ""]
    texts = [
        "a: /x",
        '{"a": "/x"}',
        "# note\nb: 1\na: '/x'\n",
        "b: 1",
        "a: 7",
        "a: [",
        "",
        "- a",
        "\0",
        "a: !!binary x\n",
    ]
    assert [yaml_value(text, "a") for text in texts] == ["/x", "/x", "/x", *[""] * 7]


# -- on a node ------------------------------------------------------------------------------------------------------


class Node:
    """A node whose files and processes are below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.docker = f"unix://{root / 'docker.sock'}"
        for kind in ("mnt", "pid"):
            self.write(f"proc/self/ns/{kind}")

    def write(self, path: str, text: str = "") -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def kubelet(self, pid: int, *arguments: str, comm: str = "kubelet", of_the_host: bool = True) -> None:
        self.write(f"proc/{pid}/comm", f"{comm}\n")
        self.write(f"proc/{pid}/cmdline", "\0".join(["/usr/bin/kubelet", *arguments, ""]))
        for kind in ("mnt", "pid"):
            path = self.root / f"proc/{pid}/ns/{kind}"
            path.parent.mkdir(exist_ok=True)
            if of_the_host:
                os.link(self.root / f"proc/self/ns/{kind}", path)
            else:
                path.touch()

    def search(self, container_type: str = "auto", endpoint: str = "") -> Found:
        return Search(container_type, endpoint, self.docker, self.root)()


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[CriServer]:
    with CriServer(tmp_path / "cri.sock") as server:
        server.answers["ListPodSandbox"] = message(recorded("containerd-2.1.9", "list.pb"))
        yield server


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_kubelet_of_the_node_names_its_runtime_and_no_process_of_a_pod_does(node: Node, server: CriServer) -> None:
    node.kubelet(5, "--container-runtime-endpoint=unix:///evil.sock", of_the_host=False)
    node.kubelet(6, "--container-runtime-endpoint=unix:///other.sock", comm="kubelet-x")
    node.kubelet(7, "--v=2", "--config", "/etc/kubelet.yaml")
    node.write("etc/kubelet.yaml", f"kind: KubeletConfiguration\ncontainerRuntimeEndpoint: {server.endpoint}\n")
    assert node.search() == Found(Kind.CRI, server.endpoint, "the kubelet's configuration")
    node.kubelet(4, f"--container-runtime-endpoint={server.endpoint}")
    assert node.search() == Found(Kind.CRI, server.endpoint, "the kubelet's --container-runtime-endpoint")
    assert server.calls == []  # there is no choice, so it need not answer yet


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_last_drop_in_of_a_kubelet_that_names_a_runtime_counts(node: Node, server: CriServer) -> None:
    node.kubelet(7, "--config=/etc/kubelet.yaml", "--config-dir=/etc/kubelet.d")
    node.write("etc/kubelet.yaml", "containerRuntimeEndpoint: unix:///run/other.sock\n")
    node.write("etc/kubelet.d/00-rke2.conf", "containerRuntimeEndpoint: unix:///run/another.sock\n")
    node.write("etc/kubelet.d/20-cli/a.conf", f"containerRuntimeEndpoint: {server.endpoint}\n")
    node.write("etc/kubelet.d/30-more.conf", "maxPods: 5\n")
    node.write("etc/kubelet.d/40-off.conf.bak", "containerRuntimeEndpoint: unix:///run/former.sock\n")
    assert node.search() == Found(Kind.CRI, server.endpoint, "the kubelet's configuration")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (message(recorded("containerd-2.1.9", "version.pb")), Kind.CRI),
        (message(recorded("crio-1.36.3", "version.pb")), Kind.CRI),
        (message(recorded("cri-dockerd-0.4.3", "version.pb")), Kind.DOCKER),
    ],
)
def test_a_socket_that_a_hint_names_is_asked_for_its_name(
    node: Node, server: CriServer, answer: Answer, kind: Kind
) -> None:
    node.write("etc/crictl.yaml", f"runtime-endpoint: {server.endpoint}\n")
    server.answers["Version"] = answer
    found = node.search("cri")
    assert found == Found(kind, server.endpoint if kind is Kind.CRI else node.docker, "/etc/crictl.yaml", guessed=True)


def test_the_question_for_the_name_runs_nothing_of_the_working_directory_or_of_a_variable(
    node: Node, server: CriServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("podagent", "h2"):
        node.write(f"evil/{package}/__init__.py", f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path / "evil")
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    node.write("etc/crictl.yaml", f"runtime-endpoint: {server.endpoint}\n")
    server.answers["Version"] = message(recorded("containerd-2.1.9", "version.pb"))
    assert node.search("cri").kind is Kind.CRI
    assert not (tmp_path / "ran").exists()


def test_a_runtime_that_runs_no_pod_yields_to_docker_behind_a_shim(node: Node, server: CriServer) -> None:
    node.write("etc/crictl.yaml", f"runtime-endpoint: {server.endpoint}\n")
    server.answers |= {"Version": message(recorded("crio-1.36.3", "version.pb")), "ListPodSandbox": message(b"")}
    with CriServer(node.root / "dockershim.sock"):
        usual = {"dockershim": (str(node.root / "dockershim.sock"),)}
        assert node.search("cri").endpoint == server.endpoint
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(discovery, "_USUAL", usual)
            assert node.search("cri").kind is Kind.DOCKER


@pytest.mark.parametrize(
    ("answer", "fault", "waited_for"),
    [
        (None, "is its CRI plugin disabled", False),
        (status(2, "server is not initialized yet"), "server is not initialized yet", True),
        (SILENCE, "TimeoutError", True),
    ],
)
def test_a_socket_without_cri_does_not_count_and_one_that_may_be_starting_is_waited_for(
    node: Node, server: CriServer, answer: Answer | None, fault: str, waited_for: bool
) -> None:
    node.write("etc/crictl.yaml", f"runtime-endpoint: {server.endpoint}\n")
    if answer:
        server.answers["Version"] = answer
    with pytest.raises(RuntimeUnavailable, match=fault) as caught:
        node.search("cri")
    assert (CRIO not in str(caught.value)) is waited_for


def test_a_socket_that_is_named_counts_as_soon_as_something_listens_there(node: Node, tmp_path: Path) -> None:
    path = tmp_path / "named.sock"
    with pytest.raises(RuntimeUnavailable, match=f"of container-type crio answers: {path}: there is no such socket"):
        node.search("crio", f"unix://{path}")
    path.touch()
    with pytest.raises(RuntimeUnavailable, match=f"{path}: nothing listens there"):
        node.search("crio", f"unix://{path}")
    path.unlink()
    with CriServer(path) as server:
        assert node.search("crio", server.endpoint) == Found(Kind.CRI, server.endpoint, "cri-endpoint")
    with pytest.raises(RuntimeUnavailable, match="too long"):
        node.search("cri", f"unix:///{'x' * 200}")


def test_docker_is_taken_where_it_is_named_and_found_only_where_it_runs(node: Node, tmp_path: Path) -> None:
    with pytest.raises(RuntimeUnavailable, match=r"of container-type docker answers: .* there is no such socket"):
        node.search("docker")
    (tmp_path / "docker.sock").touch()
    for container_type in ("docker", "auto"):
        assert node.search(container_type) == Found(Kind.DOCKER, node.docker, "docker-endpoint")
    for name in ("cri-dockerd-mke.sock", "cri-dockerd.sock"):
        shim = tmp_path / name
        shim.touch()
        assert node.search("cri", f"unix://{shim}") == Found(Kind.DOCKER, node.docker, "cri-endpoint")
    node.write("etc/crictl.yaml", f"runtime-endpoint: unix://{shim}\n")
    with pytest.raises(RuntimeUnavailable, match="Docker does not run"):
        node.search("cri")
    (tmp_path / "docker.pid").touch()
    assert node.search("cri") == Found(Kind.DOCKER, node.docker, "/etc/crictl.yaml", guessed=True)


def test_the_socket_of_a_kubelet_with_docker_inside_shows_docker_while_that_listens(node: Node, tmp_path: Path) -> None:
    path = tmp_path / "dockershim.sock"
    node.write("etc/crictl.yaml", f"runtime-endpoint: unix://{path}\n")
    path.touch()
    with pytest.raises(RuntimeUnavailable, match="nothing listens there"):
        node.search("cri")
    path.unlink()
    with CriServer(path):
        assert node.search("cri") == Found(Kind.DOCKER, node.docker, "/etc/crictl.yaml", guessed=True)
