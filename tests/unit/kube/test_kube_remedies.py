"""What an operator is advised to do about a failure, and which failures are of one kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from podagent.cni import plugin
from podagent.errors import ApiError, KubeconfigError, OtherCluster
from podagent.kube.api import KubeApi
from podagent.kube.credentials import load
from podagent.kube.remedies import kind, remedy
from podagent.kubeconfig.plugin import runner
from unit.kube.loopback import Authority, Server, answer, kubeconfig


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (302, "no API server"),
        (400, "https://"),
        (401, "credentials"),
        (403, "podagent-serviceaccount-and-rbac.yaml"),
        (404, "no API server"),
        (407, "proxy-url"),
        (503, ""),
    ],
)
def test_a_refusal_that_does_not_pass_by_itself_has_a_remedy(status: int, advice: str) -> None:
    found = remedy(ApiError("no", status))
    assert advice in found
    assert bool(found) is bool(advice)


def failure(directory: Path, url: str, proxy: str = "") -> ApiError:
    """Of a request to this server with a kubeconfig without a certificate."""
    path = Path(kubeconfig(directory, url))
    with pytest.raises(ApiError) as caught:
        KubeApi(lambda: load(path, {"HTTPS_PROXY": proxy}, runner(plugin.run, 5))).get("/api/v1/pods")
    return caught.value


def test_a_server_that_speaks_tls_otherwise_than_the_kubeconfig_says_has_a_remedy(
    tmp_path: Path, authority: Authority
) -> None:
    with Server(authority.context()) as tls, Server() as plain:
        assert "certificate authority" in remedy(failure(tmp_path, tls.url))
        assert "http://" in remedy(failure(tmp_path, plain.url.replace("http", "https")))
    assert remedy(failure(tmp_path, tls.url)) == "", "it is away"


def test_a_proxy_that_wants_to_know_who_asks_has_a_remedy(tmp_path: Path) -> None:
    with Server() as proxy:
        proxy.answers.append(answer(407))
        assert "HTTPS_PROXY" in remedy(failure(tmp_path, "https://api.example:6443", proxy.url))


def test_failures_are_of_one_kind_unless_somebody_has_to_do_something_else() -> None:
    away = [ApiError("port 1: connection refused"), ApiError("port 2: connection refused")]
    kubeconfigs = [KubeconfigError("there is none"), KubeconfigError("it is not YAML")]
    others = [ApiError("[SSL: CERTIFICATE_VERIFY_FAILED]"), OtherCluster("it is another one"), ApiError("no", 401)]
    assert kind(away[0]) == kind(away[1])
    kinds = {kind(away[0]), *map(kind, kubeconfigs), *map(kind, others)}
    assert len(kinds) == 6
