"""From the environment and the standard input to the exit code and the output."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import Iterator

import pytest

from podagent import versions
from podagent.errors import PluginError, PluginTimeout
from podagent.foreign import Json
from podagent.kactus.call import Call
from podagent.kactus.log import setup
from podagent.kactus.main import main
from podagent.kactus.operations import OPERATIONS
from podagent.kactus.run import run
from unit.kactus.scripted import PodNode


class Kactus:
    """Calls of kactus, whose standard output is kept.

    Attributes:
        printed: by all calls.
        is_read: whether somebody reads that.
    """

    def __init__(self, node: PodNode, monkeypatch: pytest.MonkeyPatch) -> None:
        self._node = node
        self._monkeypatch = monkeypatch
        self.printed: list[Json] = []
        self.is_read = True

    def ends(self, command: str, end: Json | Exception) -> None:
        """Makes a command end in a certain way."""

        def operation(call: Call) -> Json:
            if isinstance(end, Exception):
                raise end
            return end

        self._monkeypatch.setitem(OPERATIONS, command, operation)

    def run(self, command: str, stdin: bytes | None = None, **environ: str) -> int:
        with tempfile.TemporaryFile() as file:
            file.write(json.dumps(self._node.conf()).encode() if stdin is None else stdin)
            file.seek(0)
            return self.run_on(file.fileno(), **self._node.environ(command, args="", **environ))

    def run_on(self, stdin: int, **environ: str) -> int:
        return run(environ, self._print, stdin)

    def failed(self, command: str, stdin: bytes | None = None, **environ: str) -> Json:
        assert self.run(command, stdin, **environ) == 1
        return self.printed[-1]

    def _print(self, text: str) -> bool:
        self.printed.append(json.loads(text))
        return self.is_read


@pytest.fixture
def kactus(node: PodNode, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kactus]:
    before = signal.getsignal(signal.SIGTERM)
    yield Kactus(node, monkeypatch)
    signal.signal(signal.SIGTERM, before)
    setup({})


def test_a_result_is_printed_if_there_is_one_and_a_failure_if_nobody_reads_it(kactus: Kactus, node: PodNode) -> None:
    assert kactus.run("DEL") == 0
    assert (node.calls, kactus.printed) == (["DEL master eth0"], [])
    kactus.ends("ADD", {"cniVersion": "0.4.0"})
    assert kactus.run("ADD") == 0
    assert kactus.printed == [{"cniVersion": "0.4.0"}]
    kactus.is_read = False
    assert kactus.run("ADD") == 1


def test_a_failure_of_ours_is_reported_without_a_name_and_in_the_version_asked_for(kactus: Kactus) -> None:
    message = "network namespace /nowhere cannot be used: No such file or directory"
    assert kactus.failed("ADD", CNI_NETNS="/nowhere") == {"cniVersion": "0.4.0", "code": 8, "msg": message}


def test_a_failure_of_a_plugin_is_reported_with_its_name_in_a_short_object(kactus: Kactus) -> None:
    kactus.ends("ADD", PluginError("red", "no more of these", 104, "all are taken"))
    assert kactus.failed("ADD") == {
        "cniVersion": "0.4.0", "code": 104, "msg": "red: no more of these", "details": "all are taken",
    }  # fmt: skip
    kactus.ends("ADD", PluginError("red", "x" * 10_000, 104, "y" * 10_000))
    reported = kactus.failed("ADD")
    assert (len(reported["msg"]), len(reported["details"])) == (4000, 4000)


@pytest.mark.parametrize(
    ("code", "reported"), [(104, 104), (0, 999), (-7, 999), (1 << 32, 999), ((1 << 32) - 1, (1 << 32) - 1)]
)
def test_a_code_that_callers_cannot_read_is_replaced(kactus: Kactus, code: int, reported: int) -> None:
    kactus.ends("ADD", PluginError("red", "no", code))
    assert kactus.failed("ADD")["code"] == reported


def test_a_bug_is_reported_as_an_error_object_and_logged(kactus: Kactus, node: PodNode) -> None:
    kactus.ends("DEL", ZeroDivisionError("a bug"))
    log = node.directory / "log"
    reported = kactus.failed("DEL", _CNI_LOGGING_FILE=str(log))
    assert reported == {"cniVersion": "0.4.0", "code": 999, "msg": "internal error: ZeroDivisionError('a bug')"}
    assert "internal error" in log.read_text()


REFUSALS: list[tuple[int, str, Json | bytes, dict[str, str]]] = [
    (1, "incompatible CNI versions", {"cniVersion": "9.9.9"}, {}),
    (4, "[CNI_PATH] missing", {}, {"CNI_PATH": ""}),
    *((6, "cannot be read", text, {}) for text in (b"", b"nonsense", b"[]", b"[" * 100_000)),
    (7, "missing network name", {"name": ""}, {}),
    (7, "delegates", {"delegates": []}, {}),
    (7, "ipam.type", {"delegates": [{"type": "bridge", "ipam": {"type": "../x"}}]}, {}),
    (7, "kubeconfig", {"kubeconfig": "x"}, {}),
    (7, "cniDir", {"cniDir": "x"}, {}),
]


@pytest.mark.parametrize("command", ["ADD", "CHECK", "DEL", "GC", "STATUS"])
def test_every_command_answers_a_refusal_with_an_error_object_and_does_nothing(
    kactus: Kactus, node: PodNode, command: str
) -> None:
    for code, message, given, environ in REFUSALS:
        usable = {"cniVersion": versions.LATEST, "cni.dev/valid-attachments": []}
        text = given if isinstance(given, bytes) else json.dumps(node.conf(**usable | given)).encode()
        reported = kactus.failed(command, text, **environ)
        assert reported.keys() - {"details"} == {"cniVersion", "code", "msg"}
        assert (reported["cniVersion"], reported["code"]) == (versions.LATEST, code)
        assert message in reported["msg"]
        assert (node.links, node.calls, node.cni_dir.exists()) == (set(), [], False)


@pytest.mark.parametrize(
    ("named", "reported"),
    [*((known, known) for known in versions.KNOWN), ("", versions.OLDEST), (["0.4.0"], versions.LATEST)],
)
def test_an_error_is_reported_in_a_version_that_is_known(
    kactus: Kactus, node: PodNode, named: object, reported: str
) -> None:
    conf = json.dumps(node.conf(cniVersion=named, name="")).encode()
    for environ in ({}, {"CNI_CONTAINERID": ""}):
        assert kactus.failed("ADD", conf, **environ)["cniVersion"] == reported


def test_a_standard_input_that_is_closed_is_an_unreadable_configuration(kactus: Kactus, node: PodNode) -> None:
    assert kactus.run_on(-1, **node.environ("DEL")) == 1
    assert kactus.printed[-1]["code"] == 6


def test_for_an_unknown_command_nothing_is_read(kactus: Kactus) -> None:
    with tempfile.TemporaryFile() as stdin:
        stdin.write(b"left")
        stdin.seek(0)
        assert kactus.run_on(stdin.fileno(), CNI_COMMAND="UPDATE") == 1
        assert stdin.tell() == 0
    assert kactus.printed[0]["code"] == 4


def test_a_caller_that_has_lost_patience_ends_the_call(kactus: Kactus) -> None:
    kactus.run("ADD")
    with pytest.raises(SystemExit) as ended:
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 143


def test_a_caller_that_has_lost_patience_with_a_del_ends_a_plugin_and_then_the_call(kactus: Kactus) -> None:
    kactus.run("DEL")
    for end in (PluginTimeout, SystemExit):
        with pytest.raises(end):
            signal.raise_signal(signal.SIGTERM)


def test_the_executable_reports_its_versions_and_runs_every_other_call(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CNI_COMMAND", "VERSION")
    assert main() == 0
    expected = {"cniVersion": versions.LATEST, "supportedVersions": list(versions.KNOWN)}
    assert json.loads(capfd.readouterr().out) == expected
    monkeypatch.setenv("CNI_COMMAND", "UPDATE")
    assert main() == 1
    assert "unknown CNI_COMMAND: UPDATE" in json.loads(capfd.readouterr().out)["msg"]


def test_versions_that_nobody_reads_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNI_COMMAND", "VERSION")
    reading, writing = os.pipe()
    os.close(reading)
    stdout = os.dup(1)
    os.dup2(writing, 1)
    try:
        assert main() == 1
    finally:
        os.dup2(stdout, 1)
        for descriptor in (stdout, writing):
            os.close(descriptor)
