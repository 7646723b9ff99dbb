"""Connections; limits on answers are shown by those who read them."""

from __future__ import annotations

import socket
import time

import pytest

from podagent.timelimit import connect


def test_addresses_that_do_not_answer_share_the_time_and_leave_some_to_one_that_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as silent,
        socket.socket() as waiting,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        waiting.connect(silent.getsockname())  # the only place in its queue
        lost, good = ((socket.AF_INET, socket.SOCK_STREAM, 0, "", each.getsockname()) for each in (silent, server))
        found = [lost] * 8
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            connect("api.example", 6443, 0.4)
        found.append(good)
        with connect("api.example", 6443, 0.4, [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]) as connection:
            assert connection.getpeername() == server.getsockname()
        assert time.monotonic() - begun < 3
