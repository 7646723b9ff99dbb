"""What lies in a file of the node is a checked value, or an error that names the file, whatever it is."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import example

from podagent.cni.reply import Ended
from podagent.errors import KubeconfigError, StoreError
from podagent.kactus.credentials import load_credentials
from podagent.kactus.failure import Failure
from podagent.kactus.state import SavedDelegates, read_all
from podagent.kube import credentials
from podagent.kubeconfig.choice import ExecPlugin
from podagent.kubeconfig.plugin import Printed, runner
from podagent.state.recordfile import SCHEMA, decode, encode
from podagent.takeover.kaloom import KaloomPredecessor
from podagent.validate import is_dns1123_subdomain, is_mac
from unit.factory import attachment, key, record
from unit.fuzz.hostile import assert_plain, bounded, fuzzed, hostile, mutated

RECORD = record("red", attachment=attachment("red", mac="02:00:00:00:00:01", upper_layers=("green",)))
SECRET = "s3cr3t-of-the-node"
DATA = base64.b64encode(b"a certificate, or a key").decode()
KUBECONFIG = {
    "apiVersion": "v1", "kind": "Config", "current-context": "here",
    "contexts": [{"name": "here", "context": {"cluster": "lab", "user": "me"}}],
    "clusters": [{"name": "lab", "cluster": {
        "server": "https://10.0.0.1:6443", "certificate-authority-data": DATA, "tls-server-name": "api"}}],
    "users": [{"name": "me", "user": {"token": SECRET}}],
}  # fmt: skip
CLIENT = {
    **KUBECONFIG,
    "clusters": [{"name": "lab", "cluster": {"server": "https://10.0.0.1:6443", "insecure-skip-tls-verify": True}}],
    "users": [{"name": "me", "user": {
        "client-certificate-data": DATA, "client-key-data": DATA, "username": "", "password": SECRET,
        "tokenFile": ""}}],
}  # fmt: skip
PRINTED = {
    "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
    "status": {"token": SECRET, "clientCertificateData": DATA, "clientKeyData": DATA},
}  # fmt: skip
YAML = f"""apiVersion: v1
current-context: here
contexts:
- name: here
  context: {{cluster: lab, user: me}}
clusters:
- {{name: lab, cluster: {{server: "https://10.0.0.1:6443"}}}}
users:
- name: me
  user:
    token: {SECRET}
""".encode()
DELEGATES = [
    {"cniVersion": "0.3.1", "name": "data", "type": "bridge", "ipam": {"type": "host-local"}, "networkName": "data",
     "kactusIfName": "net8d777f385d3d", "kactusDefinition": "default/data", "prevResult": {"cniVersion": "0.3.1"}},
    {"type": "flannel", "masterPlugin": True, "kactusAdding": True},
]  # fmt: skip
LEFT = {
    "Namespace": "default", "PodName": "web", "SandboxID": "5a", "NetworkName": "red", "IfMAC": "02:AA:00:00:00:01",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


def sealed(body: bytes) -> bytes:
    """A record's file with a checksum that fits."""
    value = json.loads(body)
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    checksum = hashlib.sha256(canonical).hexdigest()
    return json.dumps({"schema": SCHEMA, "sha256": checksum, "record": value}).encode()


@example(bytes(500))
@example(b"\xff\xfe" + encode(RECORD))
@example(b'{"kind": "cniCacheV1"}')
@example(b"[" * 1_000_000)
@example(encode(RECORD).replace(b'"ATTACHED"', b'"ATTACHING"'))
@fuzzed(hostile(encode(RECORD), json.loads(encode(RECORD))))
def test_a_damaged_record_is_refused_and_never_taken_for_a_record_of_something_else(content: bytes) -> None:
    try:
        with bounded():
            assert decode(content) == RECORD
    except StoreError as error:
        assert_plain(error)


@fuzzed(hostile(json.loads(encode(RECORD))["record"]))
def test_a_record_of_another_version_is_refused_or_read_as_it_is_written_again(body: bytes) -> None:
    with suppress(ValueError, RecursionError):
        content = sealed(body)
        try:
            with bounded():
                read = decode(content)
        except StoreError as error:
            assert_plain(error)
        else:
            assert encode(decode(encode(read))) == encode(read)


class Messages(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def logged(name: str) -> Iterator[list[str]]:
    """What a logger logs meanwhile; pytest's fixture would keep it for all inputs."""
    logger, handler = logging.getLogger(name), Messages()
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield handler.messages
    finally:
        logger.propagate = True
        logger.removeHandler(handler)


def refuse_to_run(plugin: ExecPlugin, environ: Mapping[str, str]) -> Printed:
    raise KubeconfigError(f"kubeconfig: {plugin.command!a} is not run")


def assert_kubeconfig(path: Path, content: bytes, *, secret: str) -> None:
    """Both readers give a server, or an error that names the file and does not have the `secret`."""
    path.write_bytes(content)
    try:
        with bounded():
            assert credentials.load(path, {}, refuse_to_run).host.startswith(("https://", "http://"))
    except KubeconfigError as error:
        assert_plain(error, str(path), secret=secret)
    try:
        with bounded():
            found = load_credentials(str(path), {})
        assert found.server.startswith(("https://", "http://"))
        assert found.authorization.isprintable()
    except Failure as failure:
        assert_plain(failure, secret=secret, codes=(7, 11))


@fuzzed(hostile(KUBECONFIG, CLIENT, YAML), share=0.1)
def test_a_kubeconfig_yields_a_server_or_an_error_that_names_the_file(folder: Path, content: bytes) -> None:
    assert_kubeconfig(folder / "kubeconfig", content, secret="")


@fuzzed(mutated(YAML) | mutated(KUBECONFIG), share=0.1)
def test_no_error_about_a_kubeconfig_shows_a_credential(folder: Path, content: bytes) -> None:
    assert_kubeconfig(folder / "kubeconfig", content, secret=SECRET)


@fuzzed(hostile(PRINTED), share=0.1)
def test_the_output_of_an_exec_plugin_yields_credentials_or_an_error_without_them(content: bytes) -> None:
    plugin = ExecPlugin("true", (), {}, str(PRINTED["apiVersion"]), "", None)
    try:
        with bounded():
            printed = runner(lambda *_: Ended(0, content, b""), 1)(plugin, {"PATH": "/bin"})
        assert printed.token or printed.certificate
    except KubeconfigError as error:
        assert_plain(error, "exec plugin true", secret=SECRET)


@fuzzed(hostile(DELEGATES))
def test_saved_delegates_are_read_or_set_aside(folder: Path, content: bytes) -> None:
    directory = folder / "kactus"
    directory.mkdir(exist_ok=True)
    (directory / "c1").write_bytes(content)
    with bounded():
        listed = [delegate for _, delegate in read_all(str(directory))]
    with bounded(), SavedDelegates(str(directory), "c1") as saved:
        found = saved.delegates
    assert all(isinstance(each["type"], str) for each in (*listed, *found))
    assert (directory / "c1").exists() or (directory / ".c1.unreadable").read_bytes() == content


@fuzzed(hostile({"Running": {"State": "Active", "Data": LEFT}}))
def test_a_record_of_kalooms_podagent_is_taken_over_with_checked_names_or_logged(folder: Path, content: bytes) -> None:
    directory = folder / "configstore"
    directory.mkdir(exist_ok=True)
    (directory / "web-red.json").write_bytes(content)
    with bounded(), logged("podagent.takeover.kaloom") as messages:
        found = KaloomPredecessor(directory).of(key())
    for each in found:
        assert is_dns1123_subdomain(each.attachment.network)
        assert each.attachment.mac is None or is_mac(each.attachment.mac)
    for message in messages:
        assert_plain(message, str(directory / "web-red.json"))
