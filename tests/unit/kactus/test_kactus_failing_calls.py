"""Every system call on the namespace, the state file, the lock, the plugins and the kubeconfig fails once."""

from __future__ import annotations

import errno
import itertools
from contextlib import suppress

import pytest

from podagent.decide.dialects.kaloom_names import interface_name
from podagent.errors import CniError
from podagent.kactus.failure import Failure
from podagent.kactus.links import link_names, require_foreign
from unit.failing import FailingCalls
from unit.kactus.scripted import GREEN, RED, PodNode

ERRNOS = pytest.mark.parametrize("number", [errno.EACCES, errno.ENFILE, errno.ENOMEM, errno.EIO])
ALL = {"eth0", RED, GREEN}


@pytest.fixture
def calls(node: PodNode, monkeypatch: pytest.MonkeyPatch) -> FailingCalls:
    return FailingCalls(monkeypatch, str(node.directory), "/proc/self/ns")


def recorded(node: PodNode) -> set[str]:
    """The interfaces that a DEL would remove."""
    return {interface_name(each["networkName"]) if "networkName" in each else "eth0" for each in node.kept}


@pytest.mark.promise(
    "kactus: any system call on kactus's files fails",
    "every interface stays recorded; the next calls leave nothing",
)
@ERRNOS
@pytest.mark.parametrize(
    ("at_first", "command", "network", "links"),
    [(None, "ADD", "", ALL), (["red"], "ADD", "green", ALL), (["red", "green"], "DEL", "", set()),
     (["red", "green"], "DEL", "red", {"eth0", GREEN})],
    ids=["ADD at start", "ADD later", "DEL", "DEL of one"],
)  # fmt: skip
def test_after_one_failure_nothing_is_unrecorded_and_the_next_calls_leave_nothing(
    node: PodNode, calls: FailingCalls, at_first: list[str] | None, command: str, network: str, links: set[str],
    number: int,
) -> None:  # fmt: skip
    failed = []
    for turn in itertools.count():
        if at_first is not None:
            node.start(*at_first)
        node.annotate({"name": "red"}, {"name": "green"})
        calls.fail(turn, number)
        with suppress(CniError):
            node.perform(command, network)
            assert (node.links, recorded(node)) == (links, links), f"a success in spite of {calls.failed}"
        assert node.links <= recorded(node), calls.failed
        if not calls.failed:
            break
        failed.append(calls.failed)
        node.perform(command, network)
        assert node.links == links, failed[-1]
        node.perform("DEL")
        assert (node.links, [path for path in node.cni_dir.rglob("*") if path.is_file()]) == (set(), []), failed[-1]
        calls.forget()
    assert {each.split()[0] for each in failed} >= {"makedirs", "open", "flock", "stat", "fstat", "pwrite", "unlink"}


@ERRNOS
def test_a_namespace_about_which_nothing_can_be_told_is_an_error(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    calls = FailingCalls(monkeypatch, "/proc/")
    for use, code in ((require_foreign, 11), (link_names, 8)):
        calls.fail(0, number)
        with pytest.raises(Failure) as caught:
            use("/proc/1/ns/net")
        assert caught.value.code == code
