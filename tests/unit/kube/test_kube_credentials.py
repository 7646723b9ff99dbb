"""From kubeconfig files and service accounts to credentials, or to a message that says what is wrong."""

from __future__ import annotations

import base64
import copy
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from podagent.errors import KubeconfigError
from podagent.kube.credentials import load

IN_CLUSTER = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
GOOD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "c", "cluster": {"server": "https://api.example:6443"}}],
    "users": [{"name": "u", "user": {"token": "secret"}}],
    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    "current-context": "x",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kubeconfig.yaml"


def write(path: Path, **changes: Any) -> dict[str, Any]:
    document = copy.deepcopy(GOOD) | changes
    path.write_text(json.dumps(document))
    return document


def with_user(path: Path, user: dict[str, Any]) -> None:
    write(path, users=[{"name": "u", "user": user}])


def with_cluster(path: Path, cluster: dict[str, Any]) -> None:
    write(path, clusters=[{"name": "c", "cluster": cluster}])


def test_reads_server_and_token(path: Path) -> None:
    write(path)
    configuration = load(path, {})
    assert configuration.host == "https://api.example:6443"
    assert configuration.api_key == {"BearerToken": "Bearer secret"}


def test_leaves_retries_and_pool_to_us_and_keeps_connections_alive(path: Path) -> None:
    write(path)
    configuration = load(path, {}, connections=7)
    assert configuration.retries is False
    assert configuration.connection_pool_maxsize == 7
    assert configuration.refresh_api_key_hook is None
    assert (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1) in configuration.socket_options
    assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in configuration.socket_options


def test_a_token_file_is_read_at_every_load_relative_to_the_kubeconfig_and_without_its_newline(path: Path) -> None:
    with_user(path, {"tokenFile": "token"})
    for token in ("first", "second"):
        (path.parent / "token").write_text(f"{token}\n")
        assert load(path, {}).api_key == {"BearerToken": f"Bearer {token}"}


def test_takes_client_certificates_and_authority_from_files_and_from_the_kubeconfig_itself(path: Path) -> None:
    for name in ("ca.crt", "client.crt", "client.key"):
        (path.parent / name).write_text(name)
    write(
        path,
        clusters=[{"name": "c", "cluster": {"server": "https://api", "certificate-authority": "ca.crt"}}],
        users=[
            {
                "name": "u",
                "user": {
                    "client-certificate": "client.crt",
                    "client-key-data": base64.b64encode(b"the key").decode(),
                },
            }
        ],
    )
    configuration = load(path, {})
    assert configuration.ssl_ca_cert == str(path.parent / "ca.crt")
    assert configuration.cert_file == str(path.parent / "client.crt")
    assert Path(configuration.key_file).read_bytes() == b"the key"


def test_takes_the_token_of_an_exec_plugin(path: Path) -> None:
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "t"}}
    command = {"apiVersion": credential["apiVersion"], "command": "echo", "args": [json.dumps(credential)]}
    with_user(path, {"exec": command})
    assert load(path, {}).api_key == {"BearerToken": "Bearer t"}


def test_a_path_with_a_colon_is_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a:b"
    write(path)
    assert load(path, {}).host == "https://api.example:6443"


def test_a_user_without_credentials_stays_anonymous(path: Path) -> None:
    with_user(path, {})
    assert load(path, {}).api_key == {}


def test_says_that_the_file_does_not_exist(path: Path) -> None:
    with pytest.raises(KubeconfigError, match=f"kubeconfig {path} does not exist"):
        load(path, {})
    with pytest.raises(KubeconfigError, match="none given"):
        load(None, {})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: [", "is not YAML"),
        ("\x00", "is not YAML"),
        ("", "is not a mapping"),
        ("- a", "is not a mapping"),
        ("{}", "current-context is missing"),
        ("current-context: x", "contexts"),
        ("{current-context: x, contexts: 7}", "contexts is not a list"),
        ("{current-context: x, contexts: [7]}", "malformed"),
        ("{current-context: x, contexts: [{name: y}]}", "x in .*contexts"),
        ("{current-context: x, contexts: [{name: x}]}", "context"),
    ],
)
def test_says_what_is_wrong_with_the_file(path: Path, text: str, complaint: str) -> None:
    path.write_text(text)
    with pytest.raises(KubeconfigError, match=f"(?s){path}.*{complaint}"):
        load(path, {})


def test_says_that_the_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match=f"kubeconfig {tmp_path} cannot be read: Is a directory"):
        load(tmp_path, {})


@pytest.mark.parametrize(
    ("cluster", "complaint"),
    [
        ({"insecure-skip-tls-verify": True}, "has no server"),
        ({"server": ""}, "server"),
        ({"server": "api.example:6443"}, "not an https:// or http:// URL"),
        ({"server": 7}, "malformed"),
        ({"server": "https://a", "certificate-authority": "absent.crt"}, "File does not exist: .*absent.crt"),
        ({"server": "https://a", "certificate-authority-data": "A"}, "malformed"),
    ],
)
def test_says_what_is_wrong_with_the_cluster(path: Path, cluster: dict[str, Any], complaint: str) -> None:
    with_cluster(path, cluster)
    with pytest.raises(KubeconfigError, match=f"{path}.*{complaint}"):
        load(path, {})


@pytest.mark.parametrize(
    ("user", "complaint"),
    [
        ({"tokenFile": "absent"}, "cannot read .*absent: No such file"),
        ({"tokenFile": "empty"}, "tokenFile of the current user yields no credentials"),
        ({"token": "two\nlines"}, "characters that no token has"),
        ({"client-certificate": "absent.crt"}, "File does not exist: .*absent.crt"),
        ({"exec": {"apiVersion": "v1", "command": "false"}}, "exec of the current user yields no credentials"),
        ({"exec": {"apiVersion": "v1", "command": "/no/such"}}, "exec of the current user yields no credentials"),
    ],
)
def test_says_what_is_wrong_with_the_user(path: Path, user: dict[str, Any], complaint: str) -> None:
    (path.parent / "empty").touch()
    with_user(path, user)
    with pytest.raises(KubeconfigError, match=complaint):
        load(path, {})


def test_no_message_shows_a_token(path: Path) -> None:
    with_user(path, {"token": "s3cr3t\x01"})
    with pytest.raises(KubeconfigError) as caught:
        load(path, {})
    assert "s3cr3t" not in str(caught.value)


@pytest.fixture
def service_account(tmp_path: Path) -> Path:
    directory = tmp_path / "serviceaccount"
    directory.mkdir()
    (directory / "token").write_text("pod-token\n")
    (directory / "ca.crt").write_text("certificate")
    return directory


def test_uses_the_pods_service_account_when_there_is_no_kubeconfig(path: Path, service_account: Path) -> None:
    configuration = load(path, IN_CLUSTER, service_account=service_account)
    assert configuration.host == "https://10.96.0.1:443"
    assert configuration.api_key == {"BearerToken": "bearer pod-token"}
    assert configuration.ssl_ca_cert == str(service_account / "ca.crt")


def test_a_kubeconfig_wins_over_the_service_account(path: Path, service_account: Path) -> None:
    write(path)
    assert load(path, IN_CLUSTER, service_account=service_account).host == "https://api.example:6443"


def test_says_what_is_wrong_with_the_service_account(service_account: Path) -> None:
    (service_account / "ca.crt").unlink()
    with pytest.raises(KubeconfigError, match=f"service account in {service_account}: .*does not exist"):
        load(None, IN_CLUSTER, service_account=service_account)


def test_is_not_in_a_pod_without_a_token(path: Path, tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="this is not a pod"):
        load(path, IN_CLUSTER, service_account=tmp_path)
