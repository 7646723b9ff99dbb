from __future__ import annotations

import gc
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.waiting import eventually
from podagent.act.ports import Hints
from podagent.errors import NetnsGone, RuntimeUnavailable, SandboxNotFound
from podagent.model import NetnsRef, PodKey, Sandbox
from podagent.runtimes.cri import CriRuntime
from podagent.runtimes.crimessages import LONGEST_INFO, UID_LABEL, list_request
from podagent.runtimes.grpc import LARGEST_MESSAGE
from unit.runtimes.criserver import ANSWERS, OK, SILENCE, Answer, CriServer, framed, message, recorded, status
from unit.runtimes.reference import message as written

POD = PodKey("shop", "web-0", "uid-1")
HOST = 4026531840
NETNS = "/var/run/netns/cni-1"
LIST, STATUS = "ListPodSandbox", "PodSandboxStatus"


class Cri:
    """A runtime with CRI, and the adapter that asks it.

    Attributes:
        gone: paths of namespaces that are not there any more.
        inodes: of namespaces, 100 by default.
    """

    def __init__(self, server: CriServer) -> None:
        self.server = server
        self.gone: set[str] = set()
        self.inodes: dict[str, int] = {}
        self.runtime = self.adapter()
        self.lists(sandbox())
        self.answers_status()

    def adapter(self, **options: Any) -> CriRuntime:
        return CriRuntime(self.server.endpoint, self.identify, {HOST}, **options)

    def find(self, pod: PodKey = POD) -> Sandbox:
        return self.runtime.find_sandbox(pod)

    def lists(self, *items: Any) -> None:
        self.server.answers[LIST] = message(written("ListPodSandboxResponse", items=items).SerializeToString())

    def answers_status(self, info: Any = None, network: int = 0, **fields: Any) -> None:
        """Fields of the status; `info` is NETNS where runtimes have it, unless given."""
        linux = {"namespaces": {"options": {"network": network}}}
        usual = {"id": "s1", "metadata": metadata(POD), "linux": linux}
        text = info if isinstance(info, str) else json.dumps(spec(NETNS) if info is None else info)
        response = written("PodSandboxStatusResponse", status=usual | fields, info={"info": text})
        self.server.answers[STATUS] = message(response.SerializeToString())

    def identify(self, path: str) -> NetnsRef:
        if path in self.gone:
            raise NetnsGone(path)
        return NetnsRef(path, self.inodes.get(path, 100))


def metadata(pod: PodKey) -> dict[str, str]:
    return {"namespace": pod.namespace, "name": pod.name, "uid": pod.uid}


def sandbox(name: str = "s1", pod: PodKey = POD, **fields: Any) -> Any:
    return written("PodSandbox", **{"id": name, "metadata": metadata(pod), "created_at": 1} | fields)


def spec(path: object) -> dict[str, Any]:
    return {"runtimeSpec": {"linux": {"namespaces": [{"type": "pid"}, {"type": "network", "path": path}]}}}


@pytest.fixture
def cri(tmp_path: Path) -> Iterator[Cri]:
    with CriServer(tmp_path / "cri.sock") as server:
        yield Cri(server)


# -- what real runtimes answered ------------------------------------------------------------------------------------

# By pod: its UID, and the namespace of its newest sandbox.
RECORDED = {
    "containerd-2.1.9": {
        "plain": ("5acb6188-f877-4f56-9b34-9b11238d8704", "cni-a8685a02-15ae-ad67-427b-db6b24c970d3"),
        "replaced": ("f305b37f-bd9f-4219-ba62-3c712f6e7a4d", "cni-96bea3fc-1e90-23db-00ec-97b480a0cfdc"),
        "hostnet": ("04badd94-8fad-4f68-9b7b-d3f2c47d0555", ""),
    },
    "crio-1.36.3": {
        "plain": ("5311553c-5c4d-4968-b2df-1b2dccd64509", "6018d70d-a6a2-4940-811d-7d8bd8214ee6"),
        "replaced": ("7c1de618-6246-4f7a-af0c-662d40d1189f", "e9caa92b-5801-40c0-bd2f-a12564bfa28c"),
        "sharedpid": ("7bca9fb0-58da-4038-9acb-87ba47135c4f", "29ac561e-0a3b-4416-ae84-af8dc22f0d91"),
        "static-modern-node": ("b3de506e295fa26dfca16bdd5f86340f", "5c6e46ca-3784-49f8-875b-062283f8b118"),
        "hostnet": ("fe84aaf9-8fab-4212-84f1-056040d4b944", ""),
    },
}
COMPLETED = {
    "containerd-2.1.9": "e55b0d14-259c-4143-bdff-6e27c50221fa",
    "crio-1.36.3": "c6837b8c-c700-49c5-b400-82c0c1443a90",
}


@pytest.mark.parametrize("runtime", RECORDED)
def test_a_recorded_sandbox_has_its_namespace_and_one_on_the_hosts_network_none(cri: Cri, runtime: str) -> None:
    cri.server.answers[LIST] = message(recorded(runtime, "list.pb"))
    for name, (uid, netns) in RECORDED[runtime].items():
        cri.server.answers[STATUS] = message(recorded(runtime, f"{name}.pb"))
        found = cri.find(PodKey("default", name, uid))
        assert (found.netns, found.populated) == (NetnsRef(f"/var/run/netns/{netns}", 100) if netns else None, True)
        with pytest.raises(SandboxNotFound):
            cri.find(PodKey("default", "another", uid))
    with pytest.raises(SandboxNotFound):
        cri.find(PodKey("default", "completed", COMPLETED[runtime]))


@pytest.mark.parametrize("version", ["containerd-1.6.20", "containerd-1.7.24"])
def test_what_older_containerds_told_of_their_sandboxes_is_read(cri: Cri, version: str) -> None:
    def told(name: str) -> str:
        return (ANSWERS / version / f"info-{name}.json").read_text()

    cri.answers_status(told("pod"))
    assert cri.find().netns == NetnsRef(spec_path(told("pod")), 100)
    cri.answers_status(told("node"), network=2)
    assert cri.find().netns is None
    cri.answers_status(told("stopped"))
    with pytest.raises(SandboxNotFound, match="ended during the lookup"):
        cri.find()


def spec_path(text: str) -> str:
    namespaces = json.loads(text)["runtimeSpec"]["linux"]["namespaces"]
    return next(str(each["path"]) for each in namespaces if each["type"] == "network")


# -- finding --------------------------------------------------------------------------------------------------------


def test_the_sandboxes_of_the_pod_that_are_ready_are_asked_for_and_the_newest_counts(cri: Cri) -> None:
    cri.lists(sandbox("s0"), sandbox("s1", created_at=2), sandbox("s2", created_at=3, state=1))
    assert cri.find() == Sandbox("s1", NetnsRef(NETNS, 100), populated=True)
    assert [path.rpartition("/")[2] for path in cri.server.methods] == [LIST, STATUS]
    assert cri.server.calls[0][1] == list_request(POD.uid)


@pytest.mark.parametrize("claim", [{"namespace": "other"}, {"name": "other"}, {"uid": "other"}])
def test_a_sandbox_that_differs_in_any_part_of_the_key_is_another_pods(cri: Cri, claim: dict[str, str]) -> None:
    other = POD._replace(**claim)
    cri.lists(sandbox(pod=other))
    with pytest.raises(SandboxNotFound, match="no running sandbox of pod shop/web-0"):
        cri.find()
    cri.lists(sandbox())
    cri.answers_status(metadata=metadata(other))
    with pytest.raises(RuntimeUnavailable, match="it answers for 's1'"):
        cri.find()


@pytest.mark.parametrize(
    "info",
    [
        spec(NETNS),
        {**spec(""), "sandboxMetadata": {"Metadata": {"NetNSPath": NETNS}}},
        {"cniResult": {"Interfaces": {"lo": {"Sandbox": ""}, "eth0": {"Sandbox": NETNS}}}},
        {"runtimeSpec": 7, "sandboxMetadata": [], "cniResult": {"Interfaces": {"a": None, "b": {"Sandbox": NETNS}}}},
        {**spec(NETNS), "processStatus": "running", "netNamespaceClosed": False, "pid": 10**400},
    ],
)
def test_the_namespace_is_read_where_runtimes_have_it(cri: Cri, info: Any) -> None:
    cri.answers_status(info)
    assert cri.find().netns == NetnsRef(NETNS, 100)


def test_a_sandbox_that_is_ending_is_not_found(cri: Cri) -> None:
    ended: list[Callable[[], None]] = [
        lambda: cri.answers_status(state=1),
        lambda: cri.answers_status({**spec(NETNS), "netNamespaceClosed": True}),
        lambda: cri.answers_status({**spec(NETNS), "processStatus": "deleted", "pid": 0}),
        lambda: cri.answers_status(spec("/gone")),
        lambda: cri.server.answers.update({STATUS: status(5, "not found")}),
    ]
    cri.gone.add("/gone")
    for end in ended:
        end()
        with pytest.raises(SandboxNotFound, match=r"sandbox s1 (ended|is ending)"):
            cri.find()


@pytest.mark.parametrize(
    ("handler", "runtime_type", "guest"),
    [
        ("kata-qemu", "", "Kata Containers"),  # as CRI-O and containerd 2.x have it
        ("", "io.containerd.kata.v2", "Kata Containers"),
        ("sandboxed", "io.containerd.runsc.v1", "gVisor"),
        ("gvisor", "", "gVisor"),
        ("runc", "io.containerd.runc.v2", ""),
        ("", "", ""),
    ],
)
def test_a_runtime_that_takes_the_interfaces_into_a_guest_is_named(
    cri: Cri, handler: str, runtime_type: str, guest: str
) -> None:
    cri.lists(sandbox())
    cri.answers_status(spec(NETNS) | {"runtimeType": runtime_type}, runtime_handler=handler)
    assert cri.find().guest == guest


def test_the_hosts_namespace_is_never_a_pods(cri: Cri) -> None:
    cri.answers_status(spec(NETNS), network=2)
    assert cri.find().netns is None
    for path in (NETNS, "/proc/1/ns/net", "/proc/self/ns/net"):
        cri.inodes[path] = HOST
        cri.answers_status(spec(path))
        assert cri.find().netns is None


@pytest.mark.parametrize(
    "info",
    [
        {},
        spec(""),
        *map(spec, ("netns/a", "/var/run/netns/../../../etc", "/a\n", "/\ud800", "/a\0b", "/a//b", "/" + "x" * 5000)),
        *map(spec, (7, None, ["/a"], True)),
        "[]",
        "{",
        "[" * 100_000,
        f'{{"a": [{"[]," * (LONGEST_INFO // 3)}[]]}}',
    ],
)
def test_a_sandbox_that_is_ready_without_a_proper_namespace_is_not_taken_for_ended(cri: Cri, info: Any) -> None:
    cri.answers_status(info)
    with pytest.raises(RuntimeUnavailable, match="does not answer as expected"):
        cri.find()


def test_an_id_that_is_none_of_a_container_is_refused(cri: Cri) -> None:
    for name in ("", "../x", "a b", "x" * 129):
        cri.lists(sandbox(name))
        with pytest.raises(RuntimeUnavailable, match="is not the ID of a sandbox"):
            cri.find()


@pytest.mark.parametrize(
    "answer", [status(2, "server is not initialized yet"), status(14), status(4), message(b"\xff"), Answer(b"x")]
)
def test_only_the_answer_that_a_sandbox_is_unknown_means_that_it_has_ended(cri: Cri, answer: Answer) -> None:
    for method in (LIST, STATUS):
        before, cri.server.answers[method] = cri.server.answers[method], answer
        with pytest.raises(RuntimeUnavailable, match=f"container runtime at {cri.server.endpoint} does not answer"):
            cri.find()
        cri.server.answers[method] = before
    cri.server.answers[LIST] = status(5)
    with pytest.raises(RuntimeUnavailable):
        cri.find()


def test_a_runtime_that_hangs_is_given_up_after_one_limit_for_all_calls(cri: Cri) -> None:
    cri.server.answers[STATUS] = SILENCE
    with pytest.raises(RuntimeUnavailable, match=r"timed out|in time"):
        cri.adapter(timeout_s=0.3).find_sandbox(POD)


def test_the_error_of_a_runtime_that_does_not_tell_its_directories_names_its_socket(cri: Cri) -> None:
    cri.server.answers["Status"] = status(2, "server is not initialized yet")
    with pytest.raises(RuntimeUnavailable, match=f"at {cri.server.endpoint} does not answer .*not initialized yet"):
        cri.runtime.cni_directories()


def test_a_list_of_300_sandboxes_passes_the_window_of_http2(cri: Cri) -> None:
    labels = {f"example.com/label-{number}": "x" * 20 for number in range(8)}
    others = [sandbox(f"o{each}", POD._replace(uid=f"uid-{each}0"), labels=labels) for each in range(300)]
    cri.lists(*others, sandbox())
    assert len(cri.server.answers[LIST].body) > 65536
    assert cri.find().id == "s1"


OF_A_LOOKUP = {"podagent", "h2", "hpack", "hyperframe", "socket"}
"""The packages whose objects count. That of coverage keeps some for each thread of the server."""


def test_lookups_leave_neither_objects_nor_connections_behind(cri: Cri) -> None:
    kept = []
    for lookups in (20, 200):
        for _ in range(lookups):
            cri.find()
        eventually(lambda: cri.server.open == 0)
        cri.server.calls.clear()
        gc.collect()
        kept.append(sum(str(type(each).__module__).partition(".")[0] in OF_A_LOOKUP for each in gc.get_objects()))
    assert kept[1] < kept[0] + 100


# -- versions -------------------------------------------------------------------------------------------------------


def serve(cri: Cri, version: str) -> None:
    """From now on the server has this version only; "" for none."""
    own = {path.rpartition("/")[2]: answer for path, answer in cri.server.answers.items()}
    cri.server.answers = {f"/runtime.{version}.RuntimeService/{name}": answer for name, answer in own.items()}


def test_an_older_version_of_the_api_is_used_where_there_is_no_other_and_asked_for_again(cri: Cri) -> None:
    for version in ("v1", "v1alpha2", "v1"):
        serve(cri, version)
        assert cri.find().id == "s1"
        del cri.server.calls[:]
        assert cri.find().id == "s1"
        assert all(f".{version}." in path for path in cri.server.methods)
        assert len(cri.server.calls) == 2


def test_a_containerd_without_its_cri_plugin_is_named_and_asked_again(cri: Cri) -> None:
    answers, cri.server.answers = cri.server.answers, {}
    with pytest.raises(RuntimeUnavailable, match=r"is its CRI plugin disabled\? unknown service \(gRPC status 12\)"):
        cri.find()
    cri.server.answers = answers
    assert cri.find().id == "s1"


def test_a_failure_of_another_kind_says_nothing_about_the_version(cri: Cri) -> None:
    good, cri.server.answers[LIST] = cri.server.answers[LIST], status(14)
    with pytest.raises(RuntimeUnavailable):
        cri.find()
    assert len(cri.server.calls) == 1
    cri.server.answers[LIST] = good
    assert cri.find().id == "s1"


# -- following ------------------------------------------------------------------------------------------------------


class Follower:
    """Follows in the background. `heard` are the pods that changed, and "reconnected"."""

    def __init__(self, cri: Cri) -> None:
        self.waiting: set[PodKey] = set()
        self.heard: list[PodKey | str] = []
        self.stop = threading.Event()
        hints = Hints(self.heard.append, lambda: self.heard.append("reconnected"), lambda: list(self.waiting))
        self._thread = threading.Thread(target=cri.adapter(tick_s=0.01).follow, args=(hints, self.stop), daemon=True)
        self._thread.start()

    def end(self) -> None:
        self.stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.fixture
def follower(cri: Cri) -> Iterator[Follower]:
    follower = Follower(cri)
    yield follower
    follower.end()


def test_nothing_is_asked_while_no_pod_waits_and_one_list_serves_all_that_do(cri: Cri, follower: Follower) -> None:
    other = POD._replace(uid="uid-2")
    cri.lists()
    eventually(lambda: follower.heard == ["reconnected"])
    assert cri.server.calls == []
    follower.waiting = {POD}
    eventually(lambda: list_request(POD.uid) in [request for _, request in cri.server.calls])
    follower.waiting = {POD, other}
    eventually(lambda: list_request() in [request for _, request in cri.server.calls])
    cri.lists(sandbox(), sandbox("s2", other), sandbox("s3", POD._replace(uid="uid-3")))
    eventually(lambda: len(follower.heard) >= 3)
    assert {*follower.heard} == {"reconnected", POD, other}


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (status(14, "starting"), "starting (gRPC status 14)"),
        (message(b"\x0a\x05abc"), "its answer to ListPodSandbox is malformed: field 1 ends beyond its message"),
        (
            message(b"\x0a\x00" * 70_000),
            "its answer to ListPodSandbox is malformed: a message has more than 65536 fields",
        ),
        (Answer(framed(b"abc")[:-1]), "ValueError: the length of the answer is not the one that it states"),
        (Answer(framed(b"x" * (LARGEST_MESSAGE + 1))), "ValueError: the answer is larger than 16 MiB"),
        (Answer(framed(b"x"), OK[:1]), "ValueError: no answer of gRPC: HTTP status 200, content-type missing"),
    ],
)
def test_a_runtime_without_a_proper_answer_is_logged_once_and_so_is_its_return(
    cri: Cri, follower: Follower, caplog: pytest.LogCaptureFixture, answer: Answer, fault: str
) -> None:
    caplog.set_level("INFO")
    listed, cri.server.answers[LIST] = cri.server.answers[LIST], answer
    follower.waiting = {POD}
    eventually(lambda: len(cri.server.calls) > 2, 60)  # 16 MiB take seconds on a busy machine
    cri.server.answers[LIST] = listed
    eventually(lambda: follower.heard == ["reconnected", "reconnected", POD])
    name = f"container runtime at {cri.server.endpoint}"
    assert caplog.messages == [f"{name} does not answer, trying again: {fault}", f"{name} answers again"]


def test_an_answer_that_lies_leads_to_no_other_pod_and_the_next_one_that_does_not_lie_counts(
    cri: Cri, follower: Follower
) -> None:
    other = POD._replace(uid="uid-2")
    follower.waiting = {POD, other}
    labelled = sandbox("s9", POD._replace(uid="uid-3"), labels={UID_LABEL: POD.uid})
    ended = sandbox("s8", state=1)
    cri.lists(labelled, ended, sandbox("s7", POD._replace(name="another")))
    eventually(lambda: len(cri.server.calls) > 3)
    assert follower.heard == ["reconnected"]
    cri.lists(labelled, sandbox(), sandbox())
    eventually(lambda: follower.heard == ["reconnected", POD])
