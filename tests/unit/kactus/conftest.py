from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from podagent.cni import plugin
from podagent.kactus import pods
from unit.kactus.scripted import PodNode
from unit.kube.loopback import Server


@pytest.fixture
def cni_dir(tmp_path: Path) -> Path:
    return tmp_path / "kactus"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as started:
        yield started


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PodNode:
    made = PodNode(tmp_path)
    monkeypatch.setattr(plugin, "run", made.run)
    monkeypatch.setattr(pods, "get_json", made.get_object)
    return made
