"""A part of what kactus needs is missing, broken or hostile: the error names it, and nothing is left."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from functional.kactus.sandboxes import SandboxFactory, make_pod
from lab.apiserver import ApiServer
from lab.kactus import Kactus
from lab.networks import FAULTY, Networks
from lab.plugins import PluginDir

pytestmark = pytest.mark.root


def test_a_failing_delegate_and_all_before_it_are_taken_back(
    sandbox: SandboxFactory, networks: Networks, plugins: PluginDir
) -> None:
    red, half = networks.bridge(), networks.bridge(tuning=True)
    plugins.fail("tuning", "ADD", code=11, msg="the switch is away")
    pod = sandbox([{"name": red.name}, {"name": half.name}])
    answer = pod.start()
    assert answer.code == 11
    assert "tuning" in answer.message
    assert "the switch is away" in answer.message
    pod.assert_nothing_left()


def test_earlier_attachments_survive_a_failed_call(
    sandbox: SandboxFactory, networks: Networks, plugins: PluginDir
) -> None:
    red, green = networks.bridge(), networks.bridge()
    pod = sandbox([{"name": red.name}, {"name": green.name}])
    assert pod.attach(red).ok
    before = pod.links()
    plugins.fail("bridge", "ADD")
    for answer in (pod.start(), pod.attach(green)):
        assert not answer.ok
        assert (pod.links(), pod.saved_names()) == (before, [red.name])
    plugins.restore("bridge")


@pytest.mark.promise(
    "kactus: ADD and every DEL of a network or of the default interface fail",
    "the kubelet's second DEL succeeds at the latest: no pod hangs in Terminating",
)
@pytest.mark.parametrize("fault", FAULTY)
@pytest.mark.parametrize("of_eth0", [False, True])
def test_a_pod_ends_although_every_del_fails(
    sandbox: SandboxFactory, kactus: Kactus, networks: Networks, fault: str, of_eth0: bool
) -> None:
    faulty = networks.custom(*FAULTY[fault])
    pod = sandbox([{"name": faulty.name}])
    if of_eth0:  # and nothing is saved, as when ADD could not ask the API server
        kactus.master = faulty.config
    else:
        assert not pod.start().ok
    assert pod.end().ok or pod.end().ok


@pytest.mark.promise(
    "kactus: the API server is away at pod start",
    "the call ends in time with CNI code 11, try again later",
)
def test_a_server_that_is_down_is_an_error_to_try_again_later_within_bounds(
    sandbox: SandboxFactory, networks: Networks, api: ApiServer
) -> None:
    red = networks.bridge()
    pod = sandbox([{"name": red.name}])
    api.stop()
    began = time.monotonic()
    answer = pod.start()
    assert time.monotonic() - began < 20
    assert answer.code == 11
    assert "does not answer" in answer.message
    pod.assert_nothing_left()


def test_the_server_is_asked_over_tls_with_the_token_of_now(
    sandbox: SandboxFactory, kactus: Kactus, workdir: Path
) -> None:
    pod = sandbox()
    token = workdir / "token"
    with ApiServer(tls=True) as secure:
        kactus.kubeconfig = secure.write_kubeconfig(workdir / "tls", token_file=token)
        secure.tokens = {"new"}
        pod.pod = "web"
        make_pod(secure, "web")
        token.write_text("old\n")
        assert pod.start().code == 11
        pod.assert_nothing_left()
        token.write_text("new\n")
        assert pod.start().ok
