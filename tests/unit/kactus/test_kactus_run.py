"""From the environment and the standard input to the exit code and what is printed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from podagent import versions
from podagent.errors import PluginError
from podagent.foreign import Json
from podagent.kactus.call import Call
from podagent.kactus.log import setup
from podagent.kactus.main import main
from podagent.kactus.operations import OPERATIONS
from podagent.kactus.run import run
from unit.kactus.scripted import PodNode

CarryOut = Callable[[str, "Json | Exception"], None]


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)
    setup({})


class Printed:
    """Standard output."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.is_read = True

    def write(self, text: str) -> bool:
        self.texts.append(text)
        return self.is_read

    @property
    def answer(self) -> Json:
        (text,) = self.texts
        answer: Json = json.loads(text)
        return answer


@pytest.fixture
def printed() -> Printed:
    return Printed()


@pytest.fixture
def carry_out(monkeypatch: pytest.MonkeyPatch) -> CarryOut:
    """Makes a command end in a certain way."""

    def make(command: str, end: Json | Exception) -> None:
        def operation(call: Call) -> Json:
            if isinstance(end, Exception):
                raise end
            return end

        monkeypatch.setitem(OPERATIONS, command, operation)  # type: ignore[arg-type]

    return make


@contextmanager
def given(text: str | bytes) -> Iterator[int]:
    """A descriptor that the text can be read from."""
    reading, writing = os.pipe()
    os.write(writing, text if isinstance(text, bytes) else text.encode())
    os.close(writing)
    try:
        yield reading
    finally:
        os.close(reading)


def call(node: PodNode, printed: Printed, command: str, conf: Json | bytes | None = None, **environ: str) -> int:
    text = conf if isinstance(conf, bytes) else json.dumps(node.conf() if conf is None else conf)
    with given(text) as stdin:
        return run({**node.environ(command, args=""), **environ}, printed.write, stdin)


def failed(node: PodNode, printed: Printed, command: str, conf: Json | bytes | None = None, **environ: str) -> Json:
    assert call(node, printed, command, conf, **environ) == 1
    return printed.answer


def test_what_has_no_result_prints_nothing(node: PodNode, printed: Printed) -> None:
    assert call(node, printed, "DEL") == 0
    assert printed.texts == []
    assert node.calls == ["DEL master eth0"]


def test_a_result_is_printed(node: PodNode, printed: Printed, carry_out: CarryOut) -> None:
    carry_out("ADD", {"cniVersion": "0.4.0"})
    assert call(node, printed, "ADD") == 0
    assert printed.answer == {"cniVersion": "0.4.0"}


def test_a_result_that_nobody_reads_is_a_failure(node: PodNode, printed: Printed, carry_out: CarryOut) -> None:
    carry_out("ADD", {})
    printed.is_read = False
    assert call(node, printed, "ADD") == 1


def test_a_failure_of_ours_is_told_without_a_name_and_in_the_version_asked_for(node: PodNode, printed: Printed) -> None:
    told = failed(node, printed, "ADD", CNI_NETNS="/nowhere")
    assert told == {
        "cniVersion": "0.4.0", "code": 8, "msg": "network namespace /nowhere cannot be used: No such file or directory",
    }  # fmt: skip


def test_what_a_plugin_says_is_told_with_its_name(node: PodNode, printed: Printed, carry_out: CarryOut) -> None:
    carry_out("ADD", PluginError("red", "no more of these", 104, "all are taken"))
    told = failed(node, printed, "ADD")
    assert told == {
        "cniVersion": "0.4.0", "code": 104, "msg": "red: no more of these", "details": "all are taken",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("said", "told"), [(104, 104), (0, 999), (-7, 999), (1 << 32, 999), ((1 << 32) - 1, (1 << 32) - 1)]
)
def test_a_code_that_callers_cannot_read_is_replaced(
    node: PodNode, printed: Printed, carry_out: CarryOut, said: int, told: int
) -> None:
    carry_out("ADD", PluginError("red", "no", said))
    assert failed(node, printed, "ADD")["code"] == told


def test_however_much_is_said_an_error_object_is_short(node: PodNode, printed: Printed, carry_out: CarryOut) -> None:
    carry_out("ADD", PluginError("red", "x" * 10_000, 104, "y" * 10_000))
    told = failed(node, printed, "ADD")
    assert (len(told["msg"]), len(told["details"])) == (4000, 4000)


def test_a_bug_is_told_as_an_error_object_and_logged(node: PodNode, printed: Printed, carry_out: CarryOut) -> None:
    carry_out("DEL", ZeroDivisionError("a bug"))
    log = node.directory / "log"
    told = failed(node, printed, "DEL", _CNI_LOGGING_FILE=str(log))
    assert told == {"cniVersion": "0.4.0", "code": 999, "msg": "internal error: ZeroDivisionError('a bug')"}
    assert "internal error" in log.read_text()


@pytest.mark.parametrize(
    ("named", "told"),
    [("0.3.1", "0.3.1"), ("", "0.1.0"), ("9.9.9", versions.LATEST), (["0.4.0"], versions.LATEST)],
)
def test_an_error_is_told_in_a_version_that_is_known(node: PodNode, printed: Printed, named: object, told: str) -> None:
    assert failed(node, printed, "ADD", node.conf(cniVersion=named, name=""))["cniVersion"] == told


@pytest.mark.parametrize("text", [b"", b"nonsense"])
def test_a_configuration_that_cannot_be_read_is_told_in_the_latest_version(
    node: PodNode, printed: Printed, text: bytes
) -> None:
    told = failed(node, printed, "DEL", text)
    assert (told["cniVersion"], told["code"]) == (versions.LATEST, 6)


def test_a_standard_input_that_is_closed_is_as_good_as_an_empty_one(node: PodNode, printed: Printed) -> None:
    assert run(node.environ("DEL"), printed.write, stdin=-1) == 1
    assert printed.answer["code"] == 6


def test_for_a_command_that_nobody_knows_nothing_is_read(printed: Printed) -> None:
    with given("left") as stdin:
        assert run({"CNI_COMMAND": "UPDATE"}, printed.write, stdin) == 1
        assert os.read(stdin, 10) == b"left"
    assert printed.answer["code"] == 4


def test_a_caller_that_has_lost_patience_ends_the_call(node: PodNode, printed: Printed) -> None:
    call(node, printed, "DEL")
    with pytest.raises(SystemExit) as ended:
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 143


# --- the executable -------------------------------------------------------------------------------------------------


def test_the_versions_are_told_whatever_else_is_given(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CNI_COMMAND", "VERSION")
    assert main() == 0
    told = {"cniVersion": versions.LATEST, "supportedVersions": list(versions.KNOWN)}
    assert json.loads(capfd.readouterr().out) == told


def test_every_other_call_is_run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CNI_COMMAND", "UPDATE")
    assert main() == 1
    assert "unknown CNI_COMMAND: UPDATE" in json.loads(capfd.readouterr().out)["msg"]


def test_versions_that_nobody_reads_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stdout = os.dup(1)
    os.dup2(writing, 1)
    try:
        monkeypatch.setenv("CNI_COMMAND", "VERSION")
        assert main() == 1
    finally:
        os.dup2(stdout, 1)
        for descriptor in (stdout, writing):
            os.close(descriptor)
