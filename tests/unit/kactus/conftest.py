from __future__ import annotations

from pathlib import Path

import pytest

from podagent.cni import plugin
from podagent.kactus import pods
from unit.kactus.loopback import Authority, make_authority
from unit.kactus.scripted import PodNode


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PodNode:
    made = PodNode(tmp_path)
    monkeypatch.setattr(plugin, "run", made.run_plugin)
    monkeypatch.setattr(pods, "get_json", made.get_object)
    return made
