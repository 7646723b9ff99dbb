"""Plugins that outlived the agent that started them, beside what only looks like one."""

from __future__ import annotations

import os
import subprocess
import uuid

import pytest

from podagent.host.orphans import await_orphans

SANDBOX, IFNAME = f"sandbox-{uuid.uuid4().hex}", "net0"
ENV = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": SANDBOX, "CNI_IFNAME": IFNAME, "PATH": os.environ["PATH"]}


@pytest.mark.promise(
    "Node: a process of another user looks like a plugin at work",
    "the agent neither waits for it nor ends it",
)
@pytest.mark.root
@pytest.mark.attack
@pytest.mark.parametrize("change", ["--reuid", "--ruid"], ids=["of another user", "set-user-ID"])
def test_a_process_of_another_user_cannot_pass_for_a_plugin(change: str) -> None:
    command = ["setpriv", f"{change}=4242", "--clear-groups", "sh", "-c", "echo; read x"]
    with subprocess.Popen(command, env=ENV, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert await_orphans(SANDBOX, IFNAME, 0)
        assert process.poll() is None
        process.communicate()


@pytest.mark.root
@pytest.mark.attack
def test_a_pods_own_process_cannot_pass_for_a_plugin() -> None:
    assignments = [f"{key}={value}" for key, value in ENV.items()]
    command = ["unshare", "--pid", "--fork", "--kill-child", "env", *assignments, "sh", "-c", "echo; read x"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert await_orphans(SANDBOX, IFNAME, 0)
        assert process.poll() is None
        process.communicate()
