from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from podagent.kactus.credentials import Credentials, load_credentials
from podagent.kactus.failure import Failure
from unit.kactus.loopback import Authority

SERVER = "https://10.0.0.1:6443"


def write(directory: Path, user: Any = None, **cluster: Any) -> str:
    path = directory / "kubeconfig"
    document = {
        "current-context": "here",
        "contexts": [{"name": "else", "context": {}}, {"name": "here", "context": {"cluster": "lab", "user": "me"}}],
        "clusters": [{"name": "lab", "cluster": {"server": SERVER, **cluster}}],
        "users": [{"name": "me", "user": {"token": "secret"} if user is None else user}],
    }
    path.write_text(yaml.safe_dump(document))
    return str(path)


def refused(code: int, path: str, **environ: str) -> str:
    with pytest.raises(Failure) as caught:
        load_credentials(path, environ)
    assert caught.value.code == code
    assert "secret" not in str(caught.value)
    return caught.value.message


def test_a_token_is_read(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert load_credentials(path) == Credentials(f"kubeconfig {path}", SERVER, "secret")


def test_a_kubeconfig_in_json_is_read_without_the_yaml_parser(tmp_path: Path) -> None:
    path = Path(write(tmp_path))
    from_yaml = load_credentials(str(path))
    path.write_text("\n" + json.dumps(yaml.safe_load(path.read_text()), indent=2))
    assert load_credentials(str(path)) == from_yaml
    script = f"from podagent.kactus.credentials import load_credentials as load; load({str(path)!r})\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{script}import sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    assert "yaml" not in done.stdout.split()


@pytest.mark.parametrize("inside", ["token", "keys/token"])
def test_a_token_file_lies_beside_the_kubeconfig(tmp_path: Path, inside: str) -> None:
    (tmp_path / inside).parent.mkdir(exist_ok=True)
    (tmp_path / inside).write_text("from-file\n")
    assert load_credentials(write(tmp_path, {"tokenFile": inside})).token == "from-file"


def test_a_token_file_with_an_absolute_path_is_read_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file")
    (tmp_path / "elsewhere").mkdir()
    path = write(tmp_path / "elsewhere", {"tokenFile": str(tmp_path / "token"), "token": "old"})
    assert load_credentials(path).token == "from-file"


def test_certificates_in_files_lie_beside_the_kubeconfig(tmp_path: Path) -> None:
    user = {"client-certificate": "me.crt", "client-key": "/keys/me.key"}
    found = load_credentials(write(tmp_path, user, **{"certificate-authority": "ca.crt"}))
    assert (found.ca_file, found.certificate_file) == (f"{tmp_path}/ca.crt", f"{tmp_path}/me.crt")
    assert found.key_file == "/keys/me.key"


@pytest.mark.parametrize("wrapped", [False, True])
def test_certificates_in_the_kubeconfig_never_touch_a_disk(tmp_path: Path, authority: Authority, wrapped: bool) -> None:
    def data(path: Path) -> str:
        encoded = base64.encodebytes if wrapped else base64.b64encode  # as `base64` writes it: in lines
        return encoded(path.read_bytes()).decode()

    user = {"client-certificate-data": data(authority.certificate), "client-key-data": data(authority.key)}
    found = load_credentials(write(tmp_path, user, **{"certificate-authority-data": data(authority.certificate)}))
    assert found.ca_data == authority.certificate.read_text()
    for path, original in ((found.certificate_file, authority.certificate), (found.key_file, authority.key)):
        assert Path(path).read_bytes() == original.read_bytes()
        assert str(Path(path).readlink()).startswith("/memfd:")
        os.close(int(Path(path).name))
    assert [entry.name for entry in tmp_path.iterdir()] == ["kubeconfig"]


def test_any_certificate_and_another_name_may_be_asked_for(tmp_path: Path) -> None:
    lenient = {"insecure-skip-tls-verify": True, "tls-server-name": "api.example"}
    found = load_credentials(write(tmp_path, **lenient))
    assert (found.insecure, found.tls_server_name) == (True, "api.example")


def test_an_exec_plugin_is_run(tmp_path: Path) -> None:
    status = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "made"}}
    command = {"apiVersion": status["apiVersion"], "command": "/bin/echo", "args": [json.dumps(status)]}
    found = load_credentials(write(tmp_path, {"exec": {**command, "interactiveMode": "Never"}}), os.environ)
    assert (found.server, found.token) == (SERVER, "made")


def test_an_exec_plugin_that_fails_is_told_with_the_kubeconfig(tmp_path: Path) -> None:
    version = "client.authentication.k8s.io/v1"
    path = write(tmp_path, {"exec": {"apiVersion": version, "command": "/bin/false", "interactiveMode": "Never"}})
    assert path in refused(7, path)


def test_a_kubeconfig_that_is_not_there_yet_is_worth_another_attempt(tmp_path: Path) -> None:
    assert f"{tmp_path}/nowhere" in refused(11, f"{tmp_path}/nowhere")


def test_a_token_file_that_is_not_there_yet_is_worth_another_attempt(tmp_path: Path) -> None:
    assert f"{tmp_path}/token" in refused(11, write(tmp_path, {"tokenFile": "token"}))


@pytest.mark.parametrize("content", ["", "[]", "just words", "a: [", "\tx", "current-context: here", "\x00", "é\udcff"])
def test_a_malformed_kubeconfig_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_bytes(content.encode(errors="surrogateescape"))
    assert str(path) in refused(7, str(path))


@pytest.mark.parametrize("section", ["contexts", "clusters", "users"])
@pytest.mark.parametrize("value", [None, [], {}, "x", [None], [{"name": "here"}]])
def test_a_kubeconfig_without_a_section_is_named_with_it(tmp_path: Path, section: str, value: Any) -> None:
    path = Path(write(tmp_path))
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), section: value}))
    told = refused(7, str(path))
    assert str(path) in told
    assert section in told


@pytest.mark.parametrize(
    "server", ["", None, 7, "10.0.0.1:6443", "ftp://x", "https://", "https://x:port", "https://[::1", "https://x:99999"]
)
def test_a_server_that_is_no_url_is_told(tmp_path: Path, server: Any) -> None:
    path = write(tmp_path, server=server)
    assert path in refused(7, path)


@pytest.mark.parametrize("token", ["sec\nret", "a b", "tök", "x\x00y", "a\rb"])
def test_a_token_that_could_split_a_header_is_refused_unseen(tmp_path: Path, token: str) -> None:
    path = write(tmp_path, {"token": token})
    told = refused(7, path)
    assert path in told
    assert token not in told


@pytest.mark.parametrize("key", ["client-certificate-data", "client-key-data"])
def test_data_that_is_not_base64_is_told(tmp_path: Path, key: str) -> None:
    path = write(tmp_path, {key: "!!!"})
    assert path in refused(7, path)


def test_a_proxy_is_refused_rather_than_passed_by(tmp_path: Path) -> None:
    path = write(tmp_path, **{"proxy-url": "http://proxy:3128"})
    assert "proxy-url" in refused(7, path)


def test_without_a_kubeconfig_and_outside_of_a_pod_there_is_no_way() -> None:
    assert "kubeconfig" in refused(7, "")


@pytest.mark.parametrize(
    ("host", "server"), [("10.96.0.1", "https://10.96.0.1:443"), ("fd00::1", "https://[fd00::1]:443")]
)
def test_in_a_pod_its_service_account_is_used(tmp_path: Path, host: str, server: str) -> None:
    (tmp_path / "token").write_text("of-the-pod\n")
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"}
    found = load_credentials("", environ, str(tmp_path))
    assert (found.server, found.token, found.ca_file) == (server, "of-the-pod", f"{tmp_path}/ca.crt")
