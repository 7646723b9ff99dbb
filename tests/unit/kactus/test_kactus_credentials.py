"""The credentials of kactus: where they come from, and the code of what is wrong with them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from podagent.kactus import credentials
from podagent.kactus.credentials import load_credentials
from podagent.kactus.failure import Failure
from podagent.kubeconfig.reader import Credentials
from unit.kube.loopback import kubeconfig
from unit.kubeconfig.table import config, plugin

SERVER = "https://10.0.0.1:6443"


def refused(code: int, path: str, **environ: str) -> str:
    with pytest.raises(Failure) as caught:
        load_credentials(path, environ)
    assert caught.value.code == code
    return caught.value.message


def test_they_are_those_of_the_kubeconfig(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, SERVER)
    assert load_credentials(path, {}) == Credentials(f"kubeconfig {path}", SERVER, "Bearer t")


def test_a_file_that_is_not_there_yet_is_worth_another_attempt_and_a_fault_is_not(tmp_path: Path) -> None:
    assert f"{tmp_path}/nowhere" in refused(11, f"{tmp_path}/nowhere")
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config({"tokenFile": "token"}, {"server": SERVER})))
    assert f"{tmp_path}/token" in refused(11, str(path))
    for text in ("a: [", json.dumps(config({"token": 7}, {"server": SERVER}))):
        path.write_text(text)
        assert f"kubeconfig {path}" in refused(7, str(path))
    path.write_text(json.dumps(config(plugin(command="/bin/false"), {"server": SERVER})))
    assert "exec plugin /bin/false failed with exit code 1" in refused(7, str(path), PATH=os.environ["PATH"])


def test_an_exec_plugin_that_hangs_is_ended_and_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "_LONGEST_PLUGIN_S", 0.5)
    script = ["-c", "echo open https://sso.example >&2; sleep 60"]
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config(plugin(command="sh", args=script), {"server": SERVER})))
    begun = time.monotonic()
    reported = refused(7, str(path), PATH=os.environ["PATH"])
    assert time.monotonic() - begun < 5
    assert "exec plugin sh did not end within 0.5 s" in reported
    assert "open https://sso.example" in reported


def test_without_a_kubeconfig_and_outside_of_a_pod_there_is_no_way() -> None:
    assert "kubeconfig" in refused(7, "")


@pytest.mark.parametrize(
    ("host", "server"), [("10.96.0.1", "https://10.96.0.1:443"), ("fd00::1", "https://[fd00::1]:443")]
)
def test_in_a_pod_its_service_account_is_used(tmp_path: Path, host: str, server: str) -> None:
    (tmp_path / "token").write_text("of-the-pod\n")
    (tmp_path / "ca.crt").write_text("certificates")
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"}
    found = load_credentials("", environ, str(tmp_path))
    assert (found.server, found.authorization, found.authority) == (server, "Bearer of-the-pod", b"certificates")
