"""The watch against an API server that does all that API servers do."""

from __future__ import annotations

import itertools
import logging
import time
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
    server.patch_annotations("default", "web", {"networks": value})


def sees(watching: Any, value: str | None, timeout: float = 8) -> None:
    eventually(lambda: watching.pods.networks("web") == value, timeout, f"networks = {value!r}")


def test_passes_on_a_complete_list_then_every_change(server: ApiServer, watching: Any, make_pod: MakePod) -> None:
    assert watching.pods.lists == [["web"]]
    annotate(server, "[]")
    sees(watching, "[]")
    server.create(make_pod("db", networks="x"))
    eventually(lambda: watching.pods.networks("db") == "x")
    server.delete("pods", "default", "db")
    eventually(lambda: "db" not in watching.pods.by_name)
    assert server.requests.count("list", "pods") == 1


def test_asks_only_for_living_pods_of_its_node(server: ApiServer, watching: Any, make_pod: MakePod) -> None:
    server.create(make_pod("elsewhere", node="node2"))
    server.create(make_pod("ended", phase="Succeeded"))
    server.set_status("default", "web", {"phase": "Failed"})
    eventually(lambda: "web" not in watching.pods.by_name, what="an ended pod leaves")
    assert watching.pods.by_name == {}


def test_a_node_without_pods_has_an_empty_complete_list(server: ApiServer, start_watching: Start) -> None:
    watching = start_watching()
    eventually(lambda: watching.pods.lists == [[]])


def test_puts_the_pages_of_a_list_together(server: ApiServer, make_pod: MakePod, start_watching: Start) -> None:
    for index in range(5):
        server.create(make_pod(f"pod{index}"))
    watching = start_watching(replace(QUICK, page_size=2))
    eventually(lambda: watching.pods.lists == [[f"pod{index}" for index in range(5)]])
    assert server.requests.count("list", "pods") == 3


def test_starts_a_list_over_when_its_version_expires_between_pages(
    server: ApiServer, make_pod: MakePod, start_watching: Start
) -> None:
    for index in range(5):
        server.create(make_pod(f"pod{index}"))
    server.fail_next(1, 410, match=lambda *_: server.requests.count("list", "pods") == 2)
    watching = start_watching(replace(QUICK, page_size=2))
    eventually(lambda: watching.pods.lists == [[f"pod{index}" for index in range(5)]])
    assert server.requests.count("list", "pods") == 2 + 3


def test_asks_for_smaller_pages_when_tenants_bloat_their_pods(
    server: ApiServer, make_pod: MakePod, start_watching: Start
) -> None:
    for index in range(5):
        server.create(make_pod(f"pod{index}", networks="x" * (4 << 20)))
    watching = start_watching()
    eventually(lambda: watching.pods.lists == [[f"pod{index}" for index in range(5)]], timeout=30)


def test_resumes_an_ended_watch_from_the_last_bookmark_without_a_list(
    server: ApiServer, make_pod: MakePod, watching: Any
) -> None:
    # These move the version on, and none of them is an event for this node.
    for index in range(3):
        server.create(make_pod(f"elsewhere{index}", node="node2"))
    newest = str(server.store.version)
    eventually(lambda: server.requests.all("watch", "pods")[-1].query["resourceVersion"] == newest)
    annotate(server, "after")
    sees(watching, "after")
    assert server.requests.count("list", "pods") == 1


def test_ordinary_ends_do_not_open_new_connections(server: ApiServer, watching: Any) -> None:
    eventually(lambda: server.requests.count("watch", "pods") >= 4)
    assert server.open_connections == 1


def test_lifetimes_are_bounded_on_the_server_and_random(server: ApiServer, start_watching: Start) -> None:
    start_watching(replace(QUICK, lifetime_s=(1, 3)))
    eventually(lambda: server.requests.count("watch", "pods") >= 3, timeout=20)
    lifetimes = {request.query["timeoutSeconds"] for request in server.requests.all("watch", "pods")}
    assert lifetimes <= {"1", "2", "3"}
    assert len(lifetimes) > 1


def test_lists_again_when_a_running_watch_is_told_that_its_history_expired(server: ApiServer, watching: Any) -> None:
    server.expire_history(running_watches=True)
    annotate(server, "after")
    sees(watching, "after")
    eventually(lambda: server.requests.count("list", "pods") == 2)


def test_lists_again_when_the_version_to_resume_from_expired_meanwhile(server: ApiServer, watching: Any) -> None:
    server.stop()
    annotate(server, "while away")
    server.expire_history()
    server.start()
    sees(watching, "while away")
    assert server.requests.count("list", "pods") == 2


def test_a_history_that_expires_every_time_is_no_relist_storm(server: ApiServer, watching: Any) -> None:
    server.fail_next(10_000, 410, match=lambda *_: bool(server.requests.all()[-1].query.get("watch")))
    before = server.requests.count("list", "pods")
    start = time.monotonic()
    eventually(lambda: server.requests.count("list", "pods") >= before + 8, timeout=20)
    assert time.monotonic() - start > 4 * QUICK.retry_cap_s / 2
    server.stop_failing()
    annotate(server, "after")
    sees(watching, "after")


def test_finds_a_connection_that_went_silent(server: ApiServer, watching: Any) -> None:
    server.go_silent(new_connections=False)
    annotate(server, "unheard")
    sees(watching, "unheard", timeout=1 + 0.5 + 2)
    assert server.requests.count("list", "pods") == 1


def test_finds_a_server_that_went_silent_altogether_and_came_back(
    server: ApiServer, watching: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server.go_silent()
    annotate(server, "unheard")
    eventually(lambda: "lost contact" in caplog.text)
    assert watching.pods.networks("web") is None
    server.resume()
    sees(watching, "unheard")


def test_waits_as_long_as_a_busy_server_asks(server: ApiServer, watching: Any) -> None:
    server.fail_next(1, 429, retry_after=2, match="/api/v1/pods")
    eventually(lambda: server.requests.count("watch", "pods") >= 4)
    watches = server.requests.all("watch", "pods")
    gaps = [later.time - earlier.time for earlier, later in itertools.pairwise(watches)]
    assert max(gaps) >= 2
    assert server.requests.count("list", "pods") == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_backs_off_from_a_failing_server_and_recovers(server: ApiServer, watching: Any, status: int) -> None:
    server.fail_next(10_000, status)
    failing_since = time.monotonic()
    eventually(lambda: server.requests.count(since=failing_since) >= 8, timeout=20)
    assert time.monotonic() - failing_since > 4 * QUICK.retry_cap_s / 2
    server.stop_failing()
    annotate(server, "after")
    sees(watching, "after")
    assert server.requests.count("list", "pods") == 1


def test_takes_a_rotated_token_from_its_file(
    server: ApiServer, make_pod: MakePod, start_watching: Start, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    server.set_tokens({"old"})
    server.create(make_pod("web"))
    watching = start_watching(path=server.write_kubeconfig(tmp_path / "with-token", token_file=token))
    eventually(lambda: "web" in watching.pods.by_name)
    token.write_text("new\n")
    server.set_tokens({"new"})
    annotate(server, "after")
    sees(watching, "after")
    eventually(lambda: server.requests.count("watch", "pods") >= 3)
    assert server.requests.count("list", "pods") == 1


def test_rejected_credentials_are_not_tried_in_a_busy_loop(
    server: ApiServer, watching: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server.set_tokens({"another"})
    since = time.monotonic()
    eventually(lambda: server.requests.count(since=since) >= 16, timeout=20)
    assert time.monotonic() - since > 4 * QUICK.retry_cap_s / 2  # two requests each time: with old and new credentials
    server.set_tokens(set())
    annotate(server, "after")
    sees(watching, "after")
    assert "the kubeconfig needs valid credentials" in caplog.text


def test_a_truncated_line_costs_a_reconnect_and_no_list(server: ApiServer, watching: Any) -> None:
    server.truncate_next_watch_line()
    annotate(server, "whole")
    sees(watching, "whole")
    assert server.requests.count("list", "pods") == 1


def test_catches_up_after_the_server_was_away(
    server: ApiServer, watching: Any, make_pod: MakePod, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "podagent")
    server.stop()
    eventually(lambda: "lost contact" in caplog.text)
    server.create(make_pod("new"))
    server.delete("pods", "default", "web")
    server.start()
    eventually(lambda: list(watching.pods.by_name) == ["new"])
    eventually(lambda: "back in contact" in caplog.text)
    messages = [record.getMessage() for record in caplog.records]
    assert sum(message.startswith("lost contact with http://127.0.0.1") for message in messages) == 1
    assert sum(message.startswith("back in contact with http://127.0.0.1") for message in messages) == 1


def test_says_which_permission_is_missing(
    server: ApiServer, start_watching: Start, caplog: pytest.LogCaptureFixture
) -> None:
    server.fail_next(1, 403)
    watching = start_watching()
    eventually(lambda: watching.pods.lists == [[]])
    assert "allow this user to list and watch pods (RBAC)" in caplog.text


def test_waits_for_a_kubeconfig_that_is_not_there_yet(
    server: ApiServer, start_watching: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "later"
    watching = start_watching(path=path)
    eventually(lambda: f"kubeconfig {path} does not exist" in caplog.text)
    server.write_kubeconfig(path)
    eventually(lambda: watching.pods.lists == [[]])


def test_follows_a_server_that_moved_once_the_kubeconfig_says_where(
    server: ApiServer, watching: Any, kubeconfig: Path, make_pod: MakePod
) -> None:
    server.stop()
    with ApiServer() as other:
        other.create(make_pod("there"))
        other.write_kubeconfig(kubeconfig)
        eventually(lambda: list(watching.pods.by_name) == ["there"])


@pytest.mark.parametrize("tls", [False, True])
def test_stops_at_once_while_it_waits_for_the_next_line(tls: bool, start_watching: Start, tmp_path: Path) -> None:
    with ApiServer(tls=tls) as server:
        path = server.write_kubeconfig(tmp_path / "config")
        watching = start_watching(replace(QUICK, lifetime_s=(60, 60)), path)
        eventually(lambda: server.requests.count("watch", "pods"))
        watching.stop(timeout=1)
    assert watching.beats.is_idle


def test_every_wait_is_announced_to_the_watchdog_with_a_bound(server: ApiServer, watching: Any) -> None:
    eventually(lambda: server.requests.count("watch", "pods") >= 2)
    assert watching.beats.allowances
    assert all(0 < allowance < 60 for allowance in watching.beats.allowances)
