"""Credentials as a configuration of the client library: of a kubeconfig, or else of the pod."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from podagent.cni import plugin
from podagent.errors import KubeconfigError
from podagent.kube.credentials import Connecting, load, stamp
from podagent.kubeconfig.plugin import runner
from unit.kube.loopback import Authority, kubeconfig

IN_CLUSTER = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
RUN = runner(plugin.run, 10)


@pytest.fixture
def service_account(tmp_path: Path, authority: Authority) -> Path:
    directory = tmp_path / "serviceaccount"
    directory.mkdir()
    (directory / "token").write_text("pod-token\n")
    (directory / "ca.crt").write_bytes(authority.certificate.read_bytes())
    return directory


def load_in_pod(path: Path | None, directory: Path) -> Connecting:
    return load(path, IN_CLUSTER, RUN, service_account=str(directory))


def test_leaves_retries_to_us_keeps_connections_alive_and_goes_through_the_proxy(tmp_path: Path) -> None:
    path = Path(kubeconfig(tmp_path, "https://api.example:6443"))
    configuration = load(path, {"HTTPS_PROXY": "http://me:p%40ss@proxy.example:3128"}, RUN, connections=7)
    assert configuration.host == "https://api.example:6443"
    assert configuration.api_key == {"BearerToken": "Bearer t"}
    assert configuration.proxy == "http://me:p%40ss@proxy.example:3128"
    assert configuration.proxy_headers == {"Proxy-Authorization": "Basic bWU6cEBzcw=="}
    assert configuration.retries is False
    assert configuration.connection_pool_maxsize == 7
    assert configuration.refresh_api_key_hook is None
    assert (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1) in configuration.socket_options
    assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in configuration.socket_options


def test_uses_the_pods_service_account_unless_there_is_a_kubeconfig(tmp_path: Path, service_account: Path) -> None:
    configuration = load_in_pod(tmp_path / "kubeconfig", service_account)
    assert configuration.host == "https://10.96.0.1:443"
    assert configuration.api_key == {"BearerToken": "Bearer pod-token"}
    assert configuration.tls is not None
    assert configuration.tls.verify_mode == ssl.CERT_REQUIRED
    assert len(configuration.tls.get_ca_certs()) == 1
    path = Path(kubeconfig(tmp_path, "https://api.example:6443"))
    assert load_in_pod(path, service_account).host == "https://api.example:6443"


def test_a_fault_of_the_service_account_or_a_kubeconfig_that_is_not_there_is_named(
    tmp_path: Path, service_account: Path
) -> None:
    (service_account / "ca.crt").unlink()
    with pytest.raises(KubeconfigError, match=f"service account in {service_account}: .*ca.crt: No such file"):
        load_in_pod(None, service_account)
    with pytest.raises(KubeconfigError, match=f"kubeconfig {tmp_path}/kubeconfig does not exist, and this is not a"):
        load(tmp_path / "kubeconfig", {}, RUN)
    with pytest.raises(KubeconfigError, match="none given"):
        load(None, {}, RUN)


def test_a_kubeconfig_that_is_written_replaced_or_removed_has_another_stamp(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    stamps = [stamp(path)]
    path.write_text("one")
    stamps.append(stamp(path))
    assert stamp(path) == stamps[-1]
    path.write_text("three")
    stamps.append(stamp(path))
    new = path.with_name("new")
    new.write_text("three")
    new.replace(path)
    stamps.append(stamp(path))
    assert len(set(stamps)) == 4
