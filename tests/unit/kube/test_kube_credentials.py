"""From kubeconfig files and service accounts to credentials, or to a message about the fault."""

from __future__ import annotations

import base64
import json
import socket
from pathlib import Path

import pytest
from kubernetes.client import Configuration

from podagent.errors import KubeconfigError
from podagent.foreign import Json
from podagent.kube import credentials
from podagent.kube.credentials import load, stamp

IN_CLUSTER = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
SERVER = {"server": "https://api.example:6443"}
TOKEN = {"token": "secret"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of the kubeconfig, in a directory with files that one may refer to."""
    for name in ("ca.crt", "client.crt", "client.key"):
        (tmp_path / name).write_text(name)
    (tmp_path / "empty").touch()
    return tmp_path / "kubeconfig.yaml"


@pytest.fixture
def service_account(tmp_path: Path) -> Path:
    directory = tmp_path / "serviceaccount"
    directory.mkdir()
    (directory / "token").write_text("pod-token\n")
    (directory / "ca.crt").write_text("certificate")
    return directory


def load_kubeconfig(path: Path, user: Json = TOKEN, cluster: Json = SERVER) -> Configuration:
    document = {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(json.dumps(document))
    return load(path, {}, connections=7)


def test_a_kubeconfig_that_is_written_replaced_or_removed_has_another_stamp(path: Path) -> None:
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


def test_reads_server_and_token_leaves_retries_to_us_and_keeps_connections_alive(path: Path) -> None:
    configuration = load_kubeconfig(path)
    assert configuration.host == "https://api.example:6443"
    assert configuration.api_key == {"BearerToken": "Bearer secret"}
    assert configuration.retries is False
    assert configuration.connection_pool_maxsize == 7
    assert configuration.refresh_api_key_hook is None
    assert (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1) in configuration.socket_options
    assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in configuration.socket_options


def test_a_token_file_is_read_at_every_load_relative_to_the_kubeconfig_and_without_its_newline(path: Path) -> None:
    for token in ("first", "second"):
        (path.parent / "token").write_text(f"{token}\n")
        assert load_kubeconfig(path, {"tokenFile": "token"}).api_key == {"BearerToken": f"Bearer {token}"}


def test_takes_client_certificates_and_authority_from_files_and_from_the_kubeconfig_itself(path: Path) -> None:
    key = base64.b64encode(b"the key").decode()
    user = {"client-certificate": "client.crt", "client-key-data": key}
    configuration = load_kubeconfig(path, user, {"server": "https://api", "certificate-authority": "ca.crt"})
    assert configuration.ssl_ca_cert == str(path.parent / "ca.crt")
    assert configuration.cert_file == str(path.parent / "client.crt")
    assert Path(configuration.key_file).read_bytes() == b"the key"


def test_takes_the_token_of_an_exec_plugin(path: Path) -> None:
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "t"}}
    command = {"apiVersion": credential["apiVersion"], "command": "echo", "args": [json.dumps(credential)]}
    assert load_kubeconfig(path, {"exec": command}).api_key == {"BearerToken": "Bearer t"}


def test_an_exec_plugin_that_hangs_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "LONGEST_LOAD_S", 1.1)
    with pytest.raises(KubeconfigError, match="exec of the current user yields no credentials"):
        load_kubeconfig(path, {"exec": {"apiVersion": "v1", "command": "sh", "args": ["-c", "sleep 600; true"]}})


def test_a_user_without_credentials_stays_anonymous_and_a_path_with_a_colon_is_one_file(tmp_path: Path) -> None:
    configuration = load_kubeconfig(tmp_path / "a:b", user={})
    assert (configuration.host, configuration.api_key) == ("https://api.example:6443", {})


def test_a_file_that_does_not_exist_or_cannot_be_read_is_named(path: Path) -> None:
    with pytest.raises(KubeconfigError, match=f"kubeconfig {path} does not exist"):
        load(path, {})
    with pytest.raises(KubeconfigError, match="none given"):
        load(None, {})
    with pytest.raises(KubeconfigError, match=f"kubeconfig {path.parent} cannot be read: Is a directory"):
        load(path.parent, {})


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
def test_a_fault_of_the_file_is_named(path: Path, text: str, complaint: str) -> None:
    path.write_text(text)
    with pytest.raises(KubeconfigError, match=f"(?s){path}.*{complaint}"):
        load(path, {})


@pytest.mark.parametrize(
    ("part", "complaint"),
    [
        ({"cluster": {"insecure-skip-tls-verify": True}}, "has no server"),
        ({"cluster": {"server": ""}}, "server"),
        ({"cluster": {"server": "api.example:6443"}}, "not an https:// or http:// URL"),
        ({"cluster": {"server": 7}}, "malformed"),
        ({"cluster": SERVER | {"certificate-authority": "absent.crt"}}, "File does not exist: .*absent.crt"),
        ({"cluster": SERVER | {"certificate-authority-data": "A"}}, "malformed"),
        ({"user": {"tokenFile": "absent"}}, "cannot read .*absent: No such file"),
        ({"user": {"tokenFile": "empty"}}, "tokenFile of the current user yields no credentials"),
        ({"user": {"client-certificate": "absent.crt"}}, "File does not exist: .*absent.crt"),
        (
            {"user": {"exec": {"apiVersion": "v1", "command": "false"}}},
            "exec of the current user yields no credentials",
        ),
        ({"user": {"exec": {"apiVersion": "v1", "command": "/no"}}}, "exec of the current user yields no credentials"),
    ],
)
def test_a_fault_of_the_cluster_or_the_user_is_named(path: Path, part: dict[str, Json], complaint: str) -> None:
    with pytest.raises(KubeconfigError, match=f"{path}.*{complaint}"):
        load_kubeconfig(path, **part)


@pytest.mark.parametrize("token", ["two\nlines", "s3cr3t\x01", "gehëim"])
def test_a_text_that_can_be_no_token_is_refused_but_not_shown(path: Path, token: str) -> None:
    with pytest.raises(KubeconfigError, match=r"invalid characters$"):
        load_kubeconfig(path, {"token": token})


def test_uses_the_pods_service_account_unless_there_is_a_kubeconfig(path: Path, service_account: Path) -> None:
    configuration = load(path, IN_CLUSTER, service_account=service_account)
    assert configuration.host == "https://10.96.0.1:443"
    assert configuration.api_key == {"BearerToken": "bearer pod-token"}
    assert configuration.ssl_ca_cert == str(service_account / "ca.crt")
    load_kubeconfig(path)
    assert load(path, IN_CLUSTER, service_account=service_account).host == "https://api.example:6443"


def test_a_fault_of_the_service_account_is_named(tmp_path: Path, service_account: Path) -> None:
    (service_account / "ca.crt").unlink()
    with pytest.raises(KubeconfigError, match=f"service account in {service_account}: .*does not exist"):
        load(None, IN_CLUSTER, service_account=service_account)
    with pytest.raises(KubeconfigError, match="this is not a pod"):
        load(None, IN_CLUSTER, service_account=tmp_path)
