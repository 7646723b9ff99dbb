"""Exec plugins are children with a deadline: told what to do, ended with all theirs, and heard when they fail."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from lab.waiting import eventually
from podagent.cni import plugin as process
from podagent.errors import KubeconfigError
from podagent.kube.plugins import ExecPlugins
from podagent.kubeconfig.choice import ExecPlugin
from podagent.kubeconfig.plugin import Printed, runner
from podagent.kubeconfig.reader import load
from unit.kubeconfig.table import V1, config, plugin

ENVIRON = {"PATH": os.environ["PATH"], "HOME": "/root", "NOTIFY_SOCKET": "/run/systemd", "CNI_COMMAND": "ADD"}


def shell(script: str) -> ExecPlugin:
    return ExecPlugin("sh", ("-c", script), {}, V1, "", None)


def test_it_is_told_of_the_cluster_if_it_asks_and_nothing_of_the_service_or_the_call(tmp_path: Path) -> None:
    script = 'env > env; printf \'{"apiVersion": "%s", "kind": "ExecCredential", "status": {"token": "t"}}\' ' + V1
    asking = plugin(
        command="sh", args=["-c", f"cd {tmp_path}; {script}"], provideClusterInfo=True,
        env=[{"name": "HOME", "value": "/elsewhere"}],
    )  # fmt: skip
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "us"}}
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config(asking, {"server": "https://10.0.0.1", "extensions": [extension]})))
    assert load(str(path), ENVIRON, runner(process.run, 10)).authorization == "Bearer t"
    given = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    assert json.loads(given["KUBERNETES_EXEC_INFO"]) == {
        "kind": "ExecCredential", "apiVersion": V1,
        "spec": {"interactive": False, "cluster": {"server": "https://10.0.0.1", "config": {"audience": "us"}}},
    }  # fmt: skip
    assert given["HOME"] == "/elsewhere"
    assert not given.keys() & {"NOTIFY_SOCKET", "CNI_COMMAND"}


def test_one_that_hangs_is_ended_with_its_children_and_what_it_said_is_reported(tmp_path: Path) -> None:
    run = runner(process.run, 0.3)
    hanging = shell(f"echo waiting for a login >&2; sleep 600 & echo $! > {tmp_path}/pid; wait")
    with pytest.raises(KubeconfigError, match=r"exec plugin sh did not end within 0\.3 s; .*: waiting for a login"):
        run(hanging, ENVIRON)
    pid = (tmp_path / "pid").read_text().strip()
    eventually(lambda: not Path(f"/proc/{pid}").exists(), what="the end of the child")


def test_one_that_runs_when_the_agent_stops_is_killed_and_later_ones_too(tmp_path: Path) -> None:
    plugins, faults = ExecPlugins(process.run, 600), []

    def run(script: str) -> None:
        try:
            plugins.run(shell(script), ENVIRON)
        except KubeconfigError as error:
            faults.append(str(error))

    thread = threading.Thread(target=run, args=(f"echo $$ > {tmp_path}/pid; sleep 600",))
    thread.start()
    eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    begun = time.monotonic()
    plugins.close()
    pid = (tmp_path / "pid").read_text().strip()
    assert not Path(f"/proc/{pid}").exists()
    thread.join()
    run("sleep 600")
    assert time.monotonic() - begun < 5
    assert faults == ["exec plugin sh was stopped; its process group was killed"] * 2


def test_a_certificate_and_its_key_come_together_or_not_at_all() -> None:
    run = runner(process.run, 10)
    for status, expected in (
        ({"clientCertificateData": "c", "clientKeyData": "k"}, Printed("", b"c\nk")),
        ({"token": "t", "clientCertificateData": "c", "clientKeyData": "k"}, Printed("t", b"c\nk")),
        ({"token": "t", "clientKeyData": "k"}, None),
    ):
        text = json.dumps({"apiVersion": V1, "kind": "ExecCredential", "status": status})
        printing = ExecPlugin("echo", (text,), {}, V1, "", None)
        if expected:
            assert run(printing, ENVIRON) == expected
        else:
            with pytest.raises(KubeconfigError, match="only one of clientCertificateData and clientKeyData"):
                run(printing, ENVIRON)
