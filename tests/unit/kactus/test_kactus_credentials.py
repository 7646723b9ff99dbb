from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from podagent.foreign import Json
from podagent.kactus.credentials import Credentials, load_credentials
from podagent.kactus.failure import Failure
from unit.kube.loopback import Authority

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


def test_a_token_is_read_from_yaml_or_json(tmp_path: Path) -> None:
    path = Path(write(tmp_path))
    expected = Credentials(f"kubeconfig {path}", SERVER, "secret")
    assert load_credentials(str(path)) == expected
    path.write_text("\n" + json.dumps(yaml.safe_load(path.read_text()), indent=2))
    assert load_credentials(str(path)) == expected


@pytest.mark.parametrize("inside", ["token", "keys/token"])
@pytest.mark.parametrize("absolute", [False, True])
def test_a_token_file_is_read_and_lies_beside_the_kubeconfig(tmp_path: Path, inside: str, absolute: bool) -> None:
    file = tmp_path / inside
    file.parent.mkdir(exist_ok=True)
    file.write_text("from-file\n")
    (tmp_path / "elsewhere").mkdir()
    path = write(tmp_path / "elsewhere" if absolute else tmp_path, {"tokenFile": str(file) if absolute else inside})
    assert load_credentials(path).token == "from-file"


def test_certificates_in_files_lie_beside_the_kubeconfig(tmp_path: Path) -> None:
    user = {"client-certificate": "me.crt", "client-key": "/keys/me.key"}
    lenient = {"insecure-skip-tls-verify": True, "tls-server-name": "api.example"}
    path = write(tmp_path, user, **{"certificate-authority": "ca.crt", **lenient})
    assert load_credentials(path) == Credentials(
        f"kubeconfig {path}", SERVER, ca_file=f"{tmp_path}/ca.crt", certificate_file=f"{tmp_path}/me.crt",
        key_file="/keys/me.key", insecure=True, tls_server_name="api.example",
    )  # fmt: skip


@pytest.mark.parametrize("encode", [base64.b64encode, base64.encodebytes])  # the latter in lines, as `base64` does
def test_certificates_in_the_kubeconfig_never_touch_a_disk(
    tmp_path: Path, authority: Authority, encode: Callable[[bytes], bytes]
) -> None:
    certificate, key = (encode(path.read_bytes()).decode() for path in authority)
    user = {"client-certificate-data": certificate, "client-key-data": key}
    found = load_credentials(write(tmp_path, user, **{"certificate-authority-data": certificate}))
    assert found.ca_data == authority.certificate.read_text()
    for path, original in zip((found.certificate_file, found.key_file), authority, strict=True):
        assert Path(path).read_bytes() == original.read_bytes()
        assert str(Path(path).readlink()).startswith("/memfd:")
        os.close(int(Path(path).name))
    assert [entry.name for entry in tmp_path.iterdir()] == ["kubeconfig"]


def test_an_exec_plugin_is_run_and_its_failure_is_reported_with_the_kubeconfig(tmp_path: Path) -> None:
    version = "client.authentication.k8s.io/v1"
    status = {"apiVersion": version, "kind": "ExecCredential", "status": {"token": "made"}}
    command = {"apiVersion": version, "interactiveMode": "Never", "command": "/bin/echo", "args": [json.dumps(status)]}
    found = load_credentials(write(tmp_path, {"exec": command}), os.environ)
    assert (found.server, found.token) == (SERVER, "made")
    path = write(tmp_path, {"exec": {**command, "command": "/bin/false"}})
    assert path in refused(7, path)


def test_a_file_that_is_not_there_yet_is_worth_another_attempt(tmp_path: Path) -> None:
    assert f"{tmp_path}/nowhere" in refused(11, f"{tmp_path}/nowhere")
    assert f"{tmp_path}/token" in refused(11, write(tmp_path, {"tokenFile": "token"}))


@pytest.mark.parametrize("content", ["", "[]", "just words", "a: [", "\tx", "current-context: here", "\x00", "é\udcff"])
def test_a_malformed_kubeconfig_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_bytes(content.encode(errors="surrogateescape"))
    assert str(path) in refused(7, str(path))


@pytest.mark.parametrize("section", ["contexts", "clusters", "users"])
def test_a_kubeconfig_without_a_section_is_named_with_it(tmp_path: Path, section: str) -> None:
    document = yaml.safe_load(Path(write(tmp_path)).read_text())
    path = tmp_path / "broken"
    malformed: list[object] = [None, [], {}, "x", [None], [{"name": "here"}]]
    for value in malformed:
        path.write_text(json.dumps({**document, section: value}))
        assert f"kubeconfig {path}: {section} has no" in refused(7, str(path))


def test_a_server_that_is_no_url_is_reported(tmp_path: Path) -> None:
    no_urls = ("", None, 7, "10.0.0.1:6443", "ftp://x", "https://", "https://x:port", "https://[::1", "https://x:99999")
    for server in no_urls:
        path = write(tmp_path, server=server)
        assert path in refused(7, path)


TOKENS = ("sec\nret", "a b", "tök", "x\x00y", "a\rb")


@pytest.mark.parametrize(
    "user", [*({"token": token} for token in TOKENS), {"client-certificate-data": "!!!"}, {"client-key-data": "!!!"}]
)
def test_a_token_that_could_split_a_header_or_data_that_is_not_base64_is_refused_unseen(
    tmp_path: Path, user: Json
) -> None:
    path = write(tmp_path, user)
    reported = refused(7, path)
    assert path in reported
    assert not any(value in reported for value in user.values())


def test_a_proxy_is_refused_rather_than_passed_by(tmp_path: Path) -> None:
    assert "proxy-url" in refused(7, write(tmp_path, **{"proxy-url": "http://proxy:3128"}))


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
