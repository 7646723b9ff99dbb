"""Changes while the agent runs are taken up, by itself or on SIGHUP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from lab.waiting import eventually
from podagent.cni import plugin
from podagent.daemon.nodewatch import NodeWatch
from podagent.daemon.reload import Reload
from podagent.kube.api import KubeApi
from podagent.kube.credentials import load, stamp
from podagent.kubeconfig.plugin import runner
from unit.kube.loopback import kubeconfig


class Bench:
    """The thread at work, with the kubeconfig of `directory`; there is one pod."""

    def __init__(self, directory: Path) -> None:
        self.path = Path(kubeconfig(directory, "http://old.example"))
        self.api = KubeApi(partial(load, self.path, {}, runner(plugin.run, 5)), stamp=partial(stamp, self.path))
        self.api.reload()
        self.retried: list[str] = []
        self.done, self._stop = threading.Event(), threading.Event()
        node = NodeWatch(lambda: "attach-via auto", lambda: None, lambda: None)
        self.reload = Reload(self.api, node, lambda: self.retried.append("all"), self.done.set, look_every_s=0.02)
        self._thread = threading.Thread(target=self.reload.run, args=(self._stop,))

    def __enter__(self) -> Bench:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.reload.close()
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path) as made:
        yield made


@pytest.mark.promise(
    "Credentials: the kubeconfig is replaced while the agent runs",
    "the agent takes the new one within a minute, or keeps the old one and says why",
)
def test_a_kubeconfig_that_is_replaced_is_loaded_by_itself_or_the_old_one_kept(
    bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "podagent")
    bad = tmp_path / "bad"
    bad.write_text("{[")
    bad.replace(bench.path)
    eventually(lambda: f"the old credentials stay in use: kubeconfig {bench.path} is not YAML" in caplog.text)
    assert bench.api.server == "http://old.example"
    good = tmp_path / "good"
    good.mkdir()
    Path(kubeconfig(good, "http://new.example")).replace(bench.path)
    eventually(lambda: bench.api.server == "http://new.example")
    assert len(caplog.messages) == 2


def test_on_sighup_all_is_taken_up_that_can_be(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "podagent")
    bench.path.unlink()
    bench.reload.soon()
    assert bench.done.wait(10)
    assert "reload: the old credentials stay in use: kubeconfig" in caplog.text
    assert "attach-via auto" in caplog.text
    assert bench.retried == ["all"]
