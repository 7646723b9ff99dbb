"""The certificates are made once; the nodes each time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from unit.kactus.loopback import Authority, make_authority
from unit.kactus.scripted import PodNode


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[PodNode]:
    with PodNode(tmp_path) as made:
        yield made
