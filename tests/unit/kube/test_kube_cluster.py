"""Which cluster's API server is let in."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from podagent.errors import ApiError, OtherCluster
from podagent.foreign import Json
from podagent.kube.cluster import ClusterGuard
from podagent.state.cluster import ClusterFile

FORBIDDEN, NOT_FOUND = ApiError("namespaces is forbidden", 403), ApiError("not found", 404)


def cluster(uid: object, kind: str = "Namespace") -> Json:
    return {"kind": kind, "metadata": {"name": "kube-system", "uid": uid}}


class Node:
    """A node whose memory is a real file."""

    def __init__(self, directory: Path) -> None:
        self.memory = ClusterFile(directory)
        self.attachments = 0
        self.accept = False

    def meets(self, answer: Json | ApiError) -> str:
        """The cluster on record after a server gave this answer."""

        def get(path: str) -> Json:
            assert path == "/api/v1/namespaces/kube-system"
            if isinstance(answer, ApiError):
                raise answer
            return answer

        ClusterGuard(self.memory, lambda: self.attachments > 0, self.accept).check(get)
        return self.memory.read()


def test_the_cluster_is_still_known_when_something_removes_the_state_directory_but_not_after_forget(
    tmp_path: Path,
) -> None:
    node, state = Node(tmp_path / "state"), tmp_path / "state"
    state.mkdir()
    assert node.meets(cluster("one")) == "one"
    shutil.rmtree(state)
    assert node.memory.read() == "one"
    state.mkdir()
    node.memory.restore()
    assert ClusterFile(state).read() == "one"
    ClusterFile(state).forget()
    assert node.memory.read() == ""
    node.memory.restore()
    assert not list(state.iterdir())


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest.fixture
def member(node: Node) -> Node:
    """Of cluster "a", with attachments."""
    node.meets(cluster("a"))
    node.attachments = 3
    return node


def test_the_first_cluster_is_remembered_and_let_in_again(member: Node) -> None:
    assert member.meets(cluster("a")) == "a"


@pytest.mark.parametrize("answer", [cluster("b"), FORBIDDEN, NOT_FOUND])
def test_another_cluster_or_one_that_does_not_show_which_it_is_is_refused(
    member: Node, answer: Json | ApiError
) -> None:
    with pytest.raises(OtherCluster, match=r"Nothing is changed; .*podagent forget --cluster"):
        member.meets(answer)
    assert member.meets(cluster("a")) == "a"


@pytest.mark.parametrize("way", ["no attachments", "accept", "forget"])
def test_a_node_that_has_moved_belongs_to_the_new_cluster(member: Node, way: str) -> None:
    member.attachments = 0 if way == "no attachments" else 3
    member.accept = way == "accept"
    if way == "forget":
        assert member.memory.forget()
    assert member.meets(cluster("b")) == "b"


@pytest.mark.parametrize("answer", [FORBIDDEN, NOT_FOUND])
def test_a_server_that_never_showed_its_cluster_is_let_in_with_a_remedy(
    node: Node, answer: ApiError, caplog: pytest.LogCaptureFixture
) -> None:
    node.attachments = 3
    assert node.meets(answer) == ""
    (warning,) = (record for record in caplog.records if record.levelno == logging.WARNING)
    assert "apply podagent-serviceaccount-and-rbac.yaml" in warning.getMessage()


@pytest.mark.parametrize(
    "answer", [ApiError("unreachable"), ApiError("busy", 503), cluster(7), cluster("x", "Pod"), {}]
)
def test_without_a_usable_answer_nothing_is_let_in(member: Node, answer: Json | ApiError) -> None:
    with pytest.raises(ApiError):
        member.meets(answer)


def test_a_memory_that_cannot_be_read_lets_nothing_in(member: Node) -> None:
    member.memory.forget()
    member.memory.path.mkdir()
    with pytest.raises(ApiError, match=f"cannot read {member.memory.path}: Is a directory"):
        member.meets(cluster("a"))


def test_there_is_nothing_to_forget_twice(member: Node) -> None:
    assert [member.memory.forget(), member.memory.forget()] == [True, False]
