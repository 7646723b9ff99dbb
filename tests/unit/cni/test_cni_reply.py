from __future__ import annotations

import pytest

from podagent.cni import reply
from podagent.cni.reply import Ended
from podagent.errors import PluginError


def failure(exit_code: int, stdout: bytes = b"", stderr: bytes = b"") -> PluginError:
    with pytest.raises(PluginError) as raised:
        reply.require_success("bridge", Ended(exit_code, stdout, stderr))
    return raised.value


@pytest.mark.parametrize("stdout", [b"", b"rubbish", b'{"code": 7, "msg": "bad"}'])
def test_exit_code_zero_is_success_whatever_was_printed(stdout: bytes) -> None:
    reply.require_success("bridge", Ended(0, stdout, b"a warning"))


def test_the_error_object_of_a_plugin_is_taken_over() -> None:
    error = failure(1, b'{"cniVersion":"1.0.0","code":7,"msg":"invalid conf","details":"no ipam"}', b"noise")
    assert (error.plugin, error.code, error.message, error.details) == ("bridge", 7, "invalid conf", "no ipam")
    assert str(error) == "CNI plugin bridge: invalid conf (no ipam) [code 7]"


@pytest.mark.parametrize(
    ("stdout", "stderr", "shown"),
    [
        (b"panic: oh no", b"", ": panic: oh no"),
        (b'["x"]', b"", ': ["x"]'),
        (b"", b"cannot open\nthe file", ": cannot open the file"),
        (b" \n", b"cannot", ": cannot"),
        (b"", b"", ": no output"),
        (b"{}", b"", ""),
        (b'{"code": "7", "msg": 5}', b"", ""),
    ],
)
def test_a_failure_without_an_error_object_shows_the_output(stdout: bytes, stderr: bytes, shown: str) -> None:
    error = failure(2, stdout, stderr)
    assert (error.code, error.message) == (999, f"failed with exit code 2{shown}")


def test_a_long_or_unprintable_message_becomes_one_short_line() -> None:
    error = failure(1, b"\x1b[31m\xff\0" + b"x" * 1_000_000 + b"\nthe end")
    assert len(error.message) < 1100
    assert error.message.endswith("x the end")
    assert error.message.isprintable()


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (11, "SIGSEGV"), (250, "signal 250")])
def test_death_by_signal_names_the_signal(number: int, name: str) -> None:
    error = failure(-number, b'{"code": 7, "msg": "x"}', b"last words")
    assert (error.message, error.details) == (f"was killed by {name}", "last words")


def test_an_add_without_a_usable_result_is_a_decoding_failure() -> None:
    for stdout in (b"", b" ", b"rubbish", b"[]", b"null", b'{"a":' * 50_000, b'{"ips": 5}'):
        with pytest.raises(PluginError) as raised:
            reply.add_result("bridge", stdout, "1.0.0")
        assert raised.value.code == 6
    assert reply.add_result("bridge", b"{}", "0.4.0") == {"cniVersion": "0.4.0"}
