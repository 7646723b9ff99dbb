"""The agent and kactus identify to the server as kubectl does, or refuse the kubeconfig as it does."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from podagent.cni import plugin
from podagent.errors import ApiError, KubeconfigError
from podagent.kactus.credentials import load_credentials
from podagent.kactus.failure import Failure
from podagent.kactus.requests import NotReached, get_json
from podagent.kube.api import KubeApi
from podagent.kube.credentials import load
from podagent.kubeconfig.plugin import runner
from unit.kubeconfig.observed import Client, Observer, observer
from unit.kubeconfig.table import ABC, CASES, Case, config


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observer]:
    with observer(tmp_path_factory.mktemp("servers")) as made:
        yield made


def agent(path: str, environ: Mapping[str, str]) -> None:
    with suppress(ApiError, KubeconfigError):
        KubeApi(lambda: load(Path(path), environ, runner(plugin.run, 10)), timeout_s=5).get("/x")


def kactus(path: str, environ: Mapping[str, str]) -> None:
    with suppress(Failure, NotReached):
        get_json(load_credentials(path, environ), "/x")


@pytest.mark.parametrize("client", [agent, kactus])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_kubeconfig_means_what_it_means_to_kubectl(
    observed: Observer, tmp_path: Path, case: Case, client: Client
) -> None:
    assert observed.seen(case, tmp_path, client) == case.expected


@pytest.mark.parametrize("client", [agent, kactus])
def test_certificates_without_key_identifiers_are_accepted_where_python_refuses_them(
    observed: Observer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: Client
) -> None:
    """As 3.13 does. Those of the table have none."""
    usual = ssl.create_default_context

    def strict(**options: Any) -> ssl.SSLContext:
        made = usual(**options)
        made.verify_flags |= ssl.VERIFY_X509_STRICT
        return made

    monkeypatch.setattr(ssl, "create_default_context", strict)
    assert observed.seen(Case("a token", config(), ABC), tmp_path, client) == ABC
