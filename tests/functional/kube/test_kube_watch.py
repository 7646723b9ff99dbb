"""The watch against an API server that does all that API servers do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from functional.kube.kube_watching import Watching
from lab.apiserver import ApiServer
from lab.waiting import eventually

MakePod = Callable[..., dict[str, Any]]


def annotate(server: ApiServer, value: str | None) -> None:
    server.annotate("default", "web", {"networks": value})


def test_asks_only_for_living_pods_of_its_node(server: ApiServer, watching: Watching, make_pod: MakePod) -> None:
    server.create(make_pod("elsewhere", node="node2"))
    server.create(make_pod("ended", phase="Succeeded"))
    server.set_status("default", "web", {"phase": "Failed"})
    eventually(lambda: "web" not in watching.pods, what="an ended pod leaves")
    assert watching.pods == {}


def test_resumes_an_ended_watch_from_the_last_bookmark_without_a_list(
    server: ApiServer, make_pod: MakePod, watching: Watching
) -> None:
    # These move the version on, and none of them is an event for this node.
    for index in range(3):
        server.create(make_pod(f"elsewhere{index}", node="node2"))
    newest = str(server.version)
    eventually(lambda: server.requests.all("watch", "pods")[-1].query["resourceVersion"] == newest)
    annotate(server, "after")
    watching.sees("after")
    assert server.requests.count("list", "pods") == 1


def test_ordinary_ends_do_not_open_new_connections(server: ApiServer, watching: Watching) -> None:
    eventually(lambda: server.requests.count("watch", "pods") >= 4)
    assert server.open_connections == 1


@pytest.mark.parametrize("away", [False, True], ids=["during a watch", "between two watches"])
def test_lists_again_when_its_version_has_expired(server: ApiServer, watching: Watching, away: bool) -> None:
    if away:
        server.stop()
    annotate(server, "expired")
    server.expire_history(running_watches=True)
    server.start()
    watching.sees("expired")
    eventually(lambda: server.requests.count("list", "pods") == 2)


def test_follows_another_server_when_the_credentials_were_replaced(
    server: ApiServer, watching: Watching, make_pod: MakePod, tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("{[")
    watching.refresh()
    annotate(server, "still followed")
    watching.sees("still followed")
    with ApiServer() as other:
        other.create(make_pod("elsewhere", node="node1"))
        other.write_kubeconfig(kubeconfig)
        watching.refresh()
        eventually(lambda: watching.pods.keys() == {"elsewhere"}, 8, "the pods of the other server")


def test_finds_a_connection_that_went_silent(server: ApiServer, watching: Watching) -> None:
    server.go_silent(new_connections=False)
    annotate(server, "unheard")
    watching.sees("unheard", timeout=1 + 0.5 + 2)
    assert server.requests.count("list", "pods") == 1


def test_a_truncated_line_costs_a_reconnect_and_no_list(server: ApiServer, watching: Watching) -> None:
    server.truncates_next = True
    annotate(server, "whole")
    watching.sees("whole")
    assert server.requests.count("list", "pods") == 1


@pytest.mark.parametrize("tls", [False, True])
def test_stops_at_once_while_it_waits_for_the_next_line(tls: bool, tmp_path: Path) -> None:
    with ApiServer(tls=tls) as server, Watching(server.write_kubeconfig(tmp_path / "config"), 60) as watching:
        watching.has_begun(server)
        watching.stop(1)
        assert watching.is_idle
