from __future__ import annotations

import os
import socket

import pytest

from podagent.host.links import link_names, process_of


@pytest.mark.parametrize(
    ("path", "process"),
    [
        ("/proc/7/ns/net", "7"),
        ("/proc/self/ns/net", ""),
        ("/run/netns/x", ""),
        ("/proc/7/ns/net/", ""),
        ("/proc//ns/net", ""),
        ("/proc/\u0667/ns/net", ""),
        ("/proc/7/ns/net\n", ""),
        ("", ""),
    ],
)
def test_only_a_path_through_proc_names_a_process(path: str, process: str) -> None:
    assert process_of(path) == process


def test_the_names_are_those_that_the_kernel_gives() -> None:
    assert link_names() == {name for _, name in socket.if_nameindex()}


def test_the_namespace_of_any_process_can_be_read() -> None:
    assert link_names(str(os.getpid())) == link_names()


def test_a_process_that_is_gone_is_an_error_and_not_an_empty_answer() -> None:
    with pytest.raises(OSError, match="999999999"):
        link_names("999999999")
