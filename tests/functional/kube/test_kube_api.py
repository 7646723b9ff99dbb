"""Single requests of the real client to the API stand-in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.apiserver import ApiServer
from podagent.cni import plugin
from podagent.errors import ApiError
from podagent.kube.api import KubeApi
from podagent.kube.credentials import load
from podagent.kubeconfig.plugin import runner

PODS = "/api/v1/namespaces/default/pods"


def test_creates_reads_and_merge_patches_objects(server: ApiServer, api: KubeApi, make_pod: Callable[..., Any]) -> None:
    api.post(PODS, make_pod("web", networks="a"))
    api.patch(f"{PODS}/web", {"metadata": {"annotations": {"networks": None, "more": "ünï"}}})
    assert api.get(f"{PODS}/web")["metadata"]["annotations"] == {"more": "ünï"}


def test_reuses_one_connection(server: ApiServer, api: KubeApi) -> None:
    for _ in range(20):
        api.get(PODS, [("limit", "1")])
    assert server.open_connections == 1


def test_never_waits_or_repeats_by_itself_when_the_server_is_busy(server: ApiServer, api: KubeApi) -> None:
    server.fail_next(1, 503, retry_after=30)
    with pytest.raises(ApiError):
        api.get(PODS)
    assert server.requests.count() == 1
    api.get(PODS)
    assert server.open_connections == 1, "an error leaves the connection usable"


def test_a_silent_server_is_given_up_after_the_timeout(server: ApiServer, api: KubeApi) -> None:
    server.go_silent()
    start = time.monotonic()
    with pytest.raises(ApiError, match="the answer did not end within 1 s"):
        api.get(PODS)
    assert time.monotonic() - start < 3


def test_loads_the_credentials_again_once_when_many_threads_are_refused_at_once(
    server: ApiServer, tmp_path: Path
) -> None:
    token, loads, errors = tmp_path / "token", [], []
    token.write_text("old")
    path = server.write_kubeconfig(tmp_path / "config", token_file=token)

    def counted_load() -> Any:
        loads.append(1)
        return load(path, {}, runner(plugin.run, 5))

    api = KubeApi(counted_load, timeout_s=5)
    api.get(PODS)
    token.write_text("new")
    server.tokens = {"new"}
    barrier = threading.Barrier(8)

    def get() -> None:
        barrier.wait()
        try:
            api.get(PODS)
        except ApiError as error:
            errors.append(error)

    threads = [threading.Thread(target=get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(loads) == 2


def test_trusts_the_servers_certificate_by_the_kubeconfigs_authority_only(tmp_path: Path) -> None:
    with ApiServer(tls=True) as server, ApiServer(tls=True) as other:
        path = server.write_kubeconfig(tmp_path / "config")
        assert KubeApi(lambda: load(path, {}, runner(plugin.run, 5))).get(PODS)["items"] == []
        impostor = tmp_path / "impostor"
        impostor.write_text(path.read_text().replace(server.url, other.url))
        with pytest.raises(ApiError, match=r"CERTIFICATE_VERIFY_FAILED|certificate verify failed"):
            KubeApi(lambda: load(impostor, {}, runner(plugin.run, 5))).get(PODS)
