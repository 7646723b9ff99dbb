"""The API server as kactus meets it at the start of a pod: away, refusing, in trouble, or not to be found."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from functional.kactus.sandboxes import SandboxFactory
from lab.apiserver import ApiServer
from lab.kactus import Answer, Kactus
from lab.networks import Network, Networks

pytestmark = pytest.mark.root

PODS = "/api/v1/namespaces"


def _start_while(sandbox: SandboxFactory, red: Network, master: Network) -> Answer:
    pod = sandbox([{"name": red.name}])
    began = time.monotonic()
    answer = pod.start()
    assert time.monotonic() - began < 20
    pod.assert_nothing_left(master, red)
    return answer


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_refuses_is_quoted_and_asked_once(
    sandbox: SandboxFactory, networks: Networks, master: Network, api: ApiServer, status: int
) -> None:
    red = networks.bridge()
    api.fail_next(99, status, match=PODS)
    answer = _start_while(sandbox, red, master)
    assert answer.code == 11
    assert str(status) in answer.message
    assert api.requests.count("get", "pods") == 1


def test_a_server_that_is_down_is_an_error_to_try_again_later_within_bounds(
    sandbox: SandboxFactory, networks: Networks, master: Network, api: ApiServer
) -> None:
    red = networks.bridge()
    pod = sandbox([{"name": red.name}])
    api.stop()
    began = time.monotonic()
    answer = pod.start()
    assert time.monotonic() - began < 20
    assert answer.code == 11
    assert "does not answer" in answer.message
    pod.assert_nothing_left(master, red)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_in_trouble_for_a_moment_is_asked_again(
    sandbox: SandboxFactory, networks: Networks, master: Network, api: ApiServer, status: int
) -> None:
    red = networks.bridge()
    api.fail_next(1, status, match=PODS)
    pod = sandbox([{"name": red.name}])
    assert pod.start().ok
    assert pod.end().ok
    pod.assert_nothing_left(master, red)


def test_a_pod_that_the_server_does_not_know_is_an_error_to_try_again_later(
    sandbox: SandboxFactory, master: Network
) -> None:
    pod = sandbox()
    pod.pod = "ghost"
    answer = pod.start()
    assert answer.code == 11
    assert "default/ghost" in answer.message
    pod.assert_nothing_left(master)


def test_a_token_that_was_replaced_is_used_at_the_next_call(
    sandbox: SandboxFactory, kactus: Kactus, api: ApiServer, workdir: Path, master: Network
) -> None:
    token = workdir / "token"
    kactus.kubeconfig = api.write_kubeconfig(workdir / "with-token", token_file=token)
    api.set_tokens({"new"})
    pod = sandbox([])
    token.write_text("old\n")
    assert pod.start().code == 11
    token.write_text("new\n")
    assert pod.start().ok
    assert pod.end().ok
    pod.assert_nothing_left(master)


def test_the_server_is_asked_over_tls_with_its_own_authority(
    sandbox: SandboxFactory, kactus: Kactus, workdir: Path, master: Network
) -> None:
    pod = sandbox()
    with ApiServer(tls=True) as secure:
        kactus.kubeconfig = secure.write_kubeconfig(workdir / "tls")
        secure.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "default"}})
        pod.pod = "web"
        assert pod.start().ok
    assert pod.end().ok
    pod.assert_nothing_left(master)


@pytest.mark.parametrize("kubeconfig", ["{", "[]", "{}", "users: *nobody"])
def test_an_unusable_kubeconfig_is_named_and_nothing_is_attached(
    sandbox: SandboxFactory, kactus: Kactus, workdir: Path, master: Network, kubeconfig: str
) -> None:
    path = workdir / "kubeconfig-broken"
    path.write_text(kubeconfig)
    kactus.kubeconfig = path
    pod = sandbox([])
    answer = pod.start()
    assert answer.code == 7
    assert str(path) in answer.message
    pod.assert_nothing_left(master)


def test_a_kubeconfig_that_is_not_there_yet_is_an_error_to_try_again_later(
    sandbox: SandboxFactory, kactus: Kactus, workdir: Path, master: Network
) -> None:
    kactus.kubeconfig = workdir / "not-yet"
    pod = sandbox([])
    answer = pod.start()
    assert answer.code == 11
    assert "not-yet" in answer.message
    pod.assert_nothing_left(master)
