"""Single requests of the real client to the API stand-in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.apiserver import ApiServer
from lab.waiting import eventually
from podagent.errors import AnswerTooLarge, ApiError, KubeconfigError
from podagent.kube.api import KubeApi
from podagent.kube.credentials import load
from podagent.kube.definitions import NetworkDefinitions
from podagent.kube.events import EventRecorder
from podagent.model import DefinitionRef, Pod, PodKey

PODS = "/api/v1/namespaces/default/pods"
KALOOM = "networks.kaloom.com/v1"


def test_creates_reads_and_merge_patches_objects(server: ApiServer, api: KubeApi, make_pod: Callable[..., Any]) -> None:
    api.post(PODS, make_pod("web", networks="a"))
    api.patch(f"{PODS}/web", {"metadata": {"annotations": {"networks": None, "more": "ünï"}}})
    assert api.get(f"{PODS}/web")["metadata"]["annotations"] == {"more": "ünï"}


def test_reuses_one_connection(server: ApiServer, api: KubeApi) -> None:
    for _ in range(20):
        api.get(PODS, [("limit", "1")])
    assert server.open_connections == 1


def test_an_error_carries_the_servers_words_status_and_retry_after(server: ApiServer, api: KubeApi) -> None:
    with pytest.raises(ApiError, match=r'GET .*/pods/absent: 404 pods "absent" not found') as caught:
        api.get(f"{PODS}/absent")
    assert (caught.value.status, caught.value.retry_after) == (404, None)
    server.fail_next(1, 429, retry_after=7)
    with pytest.raises(ApiError) as caught:
        api.get(PODS)
    assert (caught.value.status, caught.value.retry_after) == (429, 7.0)
    assert server.open_connections == 1, "an error leaves the connection usable"


def test_never_waits_or_repeats_by_itself_when_the_server_is_busy(server: ApiServer, api: KubeApi) -> None:
    server.fail_next(1, 503, retry_after=30)
    with pytest.raises(ApiError):
        api.get(PODS)
    assert server.requests.count() == 1


def test_an_answer_that_is_no_json_object_is_an_error(api: KubeApi) -> None:
    with pytest.raises(ApiError, match="not JSON"):
        api.get("/readyz")


def test_a_server_that_is_away_is_an_error_without_status(server: ApiServer, api: KubeApi) -> None:
    server.stop()
    with pytest.raises(ApiError, match="Connection refused") as caught:
        api.get(PODS)
    assert caught.value.status == 0


def test_a_silent_server_is_given_up_after_the_timeout(server: ApiServer, api: KubeApi) -> None:
    server.go_silent()
    start = time.monotonic()
    with pytest.raises(ApiError, match="timed out"):
        api.get(PODS)
    assert time.monotonic() - start < 3


def test_a_server_restart_between_two_requests_goes_unnoticed(server: ApiServer, api: KubeApi) -> None:
    api.get(PODS)
    server.stop()
    server.start()
    api.get(PODS)


def test_an_answer_too_large_to_hold_is_refused(server: ApiServer, api: KubeApi, make_pod: Callable[..., Any]) -> None:
    server.create(make_pod("web", networks="x" * (17 << 20)))
    with pytest.raises(AnswerTooLarge):
        api.get(f"{PODS}/web")
    api.get(PODS, [("fieldSelector", "metadata.name=other")])


def test_loads_the_credentials_again_once_when_many_threads_are_refused_at_once(
    server: ApiServer, tmp_path: Path
) -> None:
    token, loads, errors = tmp_path / "token", [], []
    token.write_text("old")
    path = server.write_kubeconfig(tmp_path / "config", token_file=token)

    def counted_load() -> Any:
        loads.append(1)
        return load(path, {})

    api = KubeApi(counted_load, timeout_s=5)
    api.get(PODS)
    token.write_text("new")
    server.set_tokens({"new"})
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


def test_credentials_that_stay_refused_are_an_error_after_one_more_try(server: ApiServer, api: KubeApi) -> None:
    server.set_tokens({"other"})
    with pytest.raises(ApiError) as caught:
        api.get(PODS)
    assert caught.value.status == 401
    assert server.requests.count() == 2


def test_a_kubeconfig_broken_by_a_reload_leaves_the_present_credentials_in_use(
    server: ApiServer, api: KubeApi, kubeconfig: Path
) -> None:
    api.get(PODS)
    kubeconfig.write_text("clusters: [")
    with pytest.raises(KubeconfigError, match="is not YAML"):
        api.reload()
    api.get(PODS)
    server.set_tokens({"other"})
    with pytest.raises(ApiError, match=r"401 Unauthorized; and there are no newer credentials: .* is not YAML"):
        api.get(PODS)


def test_trusts_the_servers_certificate_by_the_kubeconfigs_authority_only(tmp_path: Path) -> None:
    with ApiServer(tls=True) as server, ApiServer(tls=True) as other:
        path = server.write_kubeconfig(tmp_path / "config")
        assert KubeApi(lambda: load(path, {})).get(PODS)["items"] == []
        impostor = tmp_path / "impostor"
        impostor.write_text(path.read_text().replace(server.url, other.url))
        with pytest.raises(ApiError, match=r"CERTIFICATE_VERIFY_FAILED|certificate verify failed"):
            KubeApi(lambda: load(impostor, {})).get(PODS)


def test_reads_a_network_definition_by_namespace_and_name(server: ApiServer, api: KubeApi) -> None:
    server.create(
        {
            "apiVersion": "kaloom.com/v1",
            "kind": "Network",
            "metadata": {"name": "data", "namespace": "tenant"},
            "spec": {"plugin": "bridge"},
        }
    )
    definitions = NetworkDefinitions(api)
    found = definitions.read(DefinitionRef(KALOOM, "tenant", "data"))
    assert found is not None
    assert found["spec"] == {"plugin": "bridge"}
    assert definitions.read(DefinitionRef(KALOOM, "default", "data")) is None


def test_events_appear_on_the_pod_and_repeats_are_counted(server: ApiServer, api: KubeApi) -> None:
    recorder, stop = EventRecorder(api, "node1"), threading.Event()
    thread = threading.Thread(target=recorder.run, args=(stop,), daemon=True)
    thread.start()
    try:
        pod = Pod(PodKey("default", "web", "sandbox-uid"), "object-uid", {}, "Running")
        for _ in range(3):
            recorder.emit(pod, "Warning", "NetworkAttachFailed", "no such definition")
        recorder.emit(pod, "Normal", "NetworkAttached", "attached net1")
        eventually(lambda: [event["count"] for event in server.events("default", "web")] == [3, 1])
    finally:
        stop.set()
    event = server.events("default", "web")[0]
    assert event["involvedObject"]["uid"] == "object-uid"
    assert event["source"] == {"component": "podagent", "host": "node1"}
    assert (event["type"], event["reason"], event["message"]) == (
        "Warning",
        "NetworkAttachFailed",
        "no such definition",
    )
