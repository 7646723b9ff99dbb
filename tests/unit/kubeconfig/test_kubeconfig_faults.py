"""Each fault of a kubeconfig is named with the file and the key, and no credential is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from podagent.cni import plugin as process
from podagent.errors import KubeconfigError, KubeconfigUnreadable
from podagent.foreign import Json
from podagent.kubeconfig.plugin import runner
from podagent.kubeconfig.reader import Credentials, load
from podagent.kubeconfig.tls import context
from unit.kubeconfig.table import AUTHORITY, DATA, TOKEN, V1, config, plugin

SERVER = {"server": "https://10.0.0.1:6443"}


def load_text(directory: Path, text: str) -> Credentials:
    path = directory / "kubeconfig"
    path.write_bytes(text.encode(errors="surrogateescape"))
    credentials = load(str(path), {"PATH": "/bin"}, runner(process.run, 10))
    context(credentials)
    return credentials


def shell(script: str) -> Json:
    return plugin(command="sh", args=["-c", script])


def fault(directory: Path, text: str) -> str:
    with pytest.raises(KubeconfigError) as caught:
        load_text(directory, text)
    assert f"kubeconfig {directory}/kubeconfig" in str(caught.value)
    assert "secret" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: [", "is not YAML: see line 2"),
        ("\x00", "is not YAML"),
        ("é\udcff", "is not a mapping"),
        ("", "is not a mapping"),
        ("- a", "is not a mapping"),
        ("{}", "current-context is missing"),
        ("current-context: x", "contexts has no 'x'"),
        ("current-context: 7", "'current-context' must be a string, not a number"),
        ("{current-context: x, contexts: 7}", "'contexts' must be a list, not a number"),
        ("{current-context: x, contexts: [7]}", "contexts must hold mappings, not a number"),
        ("{current-context: x, contexts: [{name: x}]}", "clusters has no ''"),
        ("{apiVersion: v2}", "apiVersion must be v1"),
        ("{users: [{name: u}, {name: u}]}", "users has two entries named 'u'"),
        ("{users: [{name: {token: secret}}]}", "users, entry '': 'name' must be a string, not an object"),
        ("{users: [{name: u, user: {token: 7}}]}", "users, entry 'u': 'token' must be a string, not a number"),
        ("{users: [{name: u, user: {exec: {args: secret}}}]}", "users, entry 'u': 'args' must be a list"),
    ],
)
def test_of_the_document(tmp_path: Path, text: str, complaint: str) -> None:
    assert complaint in fault(tmp_path, text)


@pytest.mark.parametrize(
    ("cluster", "complaint"),
    [
        ({}, "the cluster of the current context has no server"),
        *(({"server": url}, "is not an https:// or http:// URL") for url in (
            "api.example:6443", "ftp://x", "https://", "https://x:port", "https://[::1", "https://x:99999",
            "https://a b", "https://a..b", f"https://{'a' * 64}.example", "https://ex\u00e4mple")),
        *(({**SERVER, "tls-server-name": name}, "is not the name of a host") for name in (
            ".", "a..b", "a b", "a\0b", "\ud800", "a" * 64)),
        ({**SERVER, DATA: "!"}, "cluster 'k': certificate-authority-data is not base64"),
        ({**SERVER, DATA: "YWJj"}, "the certificate authority has no certificate in PEM"),
        ({**SERVER, AUTHORITY: "absent.crt"}, "absent.crt: No such file or directory"),
        ({**SERVER, AUTHORITY: "a", DATA: "YWJj"}, "both certificate-authority and certificate-authority-data are"),
        ({**SERVER, "proxy-url": "socks5://me:secret@x"}, "proxy-url is not an http:// or https:// URL"),
    ],
)  # fmt: skip
def test_of_the_cluster(tmp_path: Path, cluster: Json, complaint: str) -> None:
    assert complaint in fault(tmp_path, json.dumps(config(cluster=cluster)))


@pytest.mark.parametrize(
    ("user", "complaint"),
    [
        *(({"token": text}, "the token contains invalid characters") for text in (
            "secret\nlines", "secret\x01", "sëcret secret", "a secret")),
        ({"tokenFile": "absent"}, "cannot read tokenFile {}/absent: No such file or directory"),
        ({"client-certificate-data": "secret", "client-key-data": "c2VjcmV0"}, "client-certificate-data is not base64"),
        ({"client-certificate-data": "c2VjcmV0", "client-key-data": "c2VjcmV0"}, "the certificates cannot be used"),
        ({"client-certificate-data": "c2VjcmV0"}, "user 'u': client-certificate has no client-key"),
        ({"token": "secret", "username": "me"}, "both token and username are given; remove one of them"),
        ({**TOKEN, "as": "root"}, "as: impersonation is not supported"),
        ({"auth-provider": {"name": "gcp"}}, "auth-provider is only supported for oidc with an id-token"),
        (plugin(command=""), "exec has no command"),
        (plugin(apiVersion="v1"), "apiVersion 'v1' is not supported, only client.authentication.k8s.io/v1 and"),
        (plugin(interactiveMode="Always"), "interactiveMode Always needs a terminal"),
        (plugin(interactiveMode="secret"), "interactiveMode must be Never or IfAvailable"),
        (plugin(command="no", installHint="run\nmake"), "plugin no is in no directory of PATH (/bin): run make"),
        (plugin(command="/no"), "exec plugin /no is not an executable file; install it"),
        (shell("echo no session >&2; exit 3"), "exec plugin sh failed with exit code 3: no session"),
        (shell("kill -9 $$"), "exec plugin sh was killed by signal 9: it printed nothing"),
        (plugin(command="echo", args=["secret"]), "exec plugin echo: the output is not a mapping"),
        (plugin(command="echo", args=["{}"]), f"it printed no ExecCredential of {V1}"),
        (plugin(command="echo", args=[f'{{"apiVersion": "{V1}beta1"}}']), f"of {V1}, but of {V1}beta1"),
        (plugin(command="echo", args=['{"apiVersion": {"token": "secret"}}']), f"it printed no ExecCredential of {V1}"),
        (plugin(command="echo", args=[f'{{"apiVersion": "{V1}", "kind": "ExecCredential"}}']), "neither a token nor"),
    ],
)  # fmt: skip
def test_of_the_user(tmp_path: Path, user: Json, complaint: str) -> None:
    assert complaint.format(tmp_path) in fault(tmp_path, json.dumps(config(user, SERVER)))


def test_a_file_that_may_come_is_told_from_a_wrong_kubeconfig(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigUnreadable, match=f"kubeconfig {tmp_path} cannot be read: Is a directory"):
        load(str(tmp_path), {}, runner(process.run, 10))
    for user, cluster in (({"tokenFile": "no"}, SERVER), (TOKEN, {**SERVER, AUTHORITY: "no"})):
        with pytest.raises(KubeconfigUnreadable):
            load_text(tmp_path, json.dumps(config(user, cluster)))


def test_the_id_token_of_a_provider_of_openid_connect_is_used(tmp_path: Path) -> None:
    provider = {"auth-provider": {"name": "oidc", "config": {"id-token": "t", "refresh-token": "secret"}}}
    assert load_text(tmp_path, json.dumps(config(provider, SERVER))).authorization == "Bearer t"
