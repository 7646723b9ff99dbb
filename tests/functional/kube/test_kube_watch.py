"""The watch against an API server that does all that API servers do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from functional.kube.kube_watching import QUICK
from lab.apiserver import ApiServer
from lab.waiting import eventually

Start = Callable[..., Any]
MakePod = Callable[..., dict[str, Any]]


@pytest.fixture
def watching(server: ApiServer, make_pod: MakePod, start_watching: Start) -> Any:
    """A watch that has seen its first list, with one pod, `web`."""
    server.create(make_pod("web"))
    watching = start_watching()
    eventually(lambda: "web" in watching.pods.by_name and server.requests.count("watch"))
    return watching


def annotate(server: ApiServer, value: str | None) -> None:
    server.annotate("default", "web", {"networks": value})


def sees(watching: Any, value: str | None, timeout: float = 8) -> None:
    eventually(lambda: watching.pods.networks("web") == value, timeout, f"networks = {value!r}")


def test_asks_only_for_living_pods_of_its_node(server: ApiServer, watching: Any, make_pod: MakePod) -> None:
    server.create(make_pod("elsewhere", node="node2"))
    server.create(make_pod("ended", phase="Succeeded"))
    server.set_status("default", "web", {"phase": "Failed"})
    eventually(lambda: "web" not in watching.pods.by_name, what="an ended pod leaves")
    assert watching.pods.by_name == {}


def test_resumes_an_ended_watch_from_the_last_bookmark_without_a_list(
    server: ApiServer, make_pod: MakePod, watching: Any
) -> None:
    # These move the version on, and none of them is an event for this node.
    for index in range(3):
        server.create(make_pod(f"elsewhere{index}", node="node2"))
    newest = str(server.version)
    eventually(lambda: server.requests.all("watch", "pods")[-1].query["resourceVersion"] == newest)
    annotate(server, "after")
    sees(watching, "after")
    assert server.requests.count("list", "pods") == 1


def test_ordinary_ends_do_not_open_new_connections(server: ApiServer, watching: Any) -> None:
    eventually(lambda: server.requests.count("watch", "pods") >= 4)
    assert server.open_connections == 1


@pytest.mark.parametrize("away", [False, True], ids=["during a watch", "between two watches"])
def test_lists_again_when_its_version_has_expired(server: ApiServer, watching: Any, away: bool) -> None:
    if away:
        server.stop()
    annotate(server, "expired")
    server.expire_history(running_watches=True)
    server.start()
    sees(watching, "expired")
    eventually(lambda: server.requests.count("list", "pods") == 2)


def test_finds_a_connection_that_went_silent(server: ApiServer, watching: Any) -> None:
    server.go_silent(new_connections=False)
    annotate(server, "unheard")
    sees(watching, "unheard", timeout=1 + 0.5 + 2)
    assert server.requests.count("list", "pods") == 1


def test_a_truncated_line_costs_a_reconnect_and_no_list(server: ApiServer, watching: Any) -> None:
    server.truncate_next_watch_line()
    annotate(server, "whole")
    sees(watching, "whole")
    assert server.requests.count("list", "pods") == 1


@pytest.mark.parametrize("tls", [False, True])
def test_stops_at_once_while_it_waits_for_the_next_line(tls: bool, start_watching: Start, tmp_path: Path) -> None:
    with ApiServer(tls=tls) as server:
        path = server.write_kubeconfig(tmp_path / "config")
        watching = start_watching(replace(QUICK, lifetime_s=(60, 60)), path)
        eventually(lambda: server.requests.count("watch", "pods"))
        watching.stop(timeout=1)
    assert watching.beats.is_idle
