"""Fixtures of several packages' unit tests."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from unit.kube.loopback import Authority, make_authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """For tests that set logging up: afterwards it is pytest's again."""
    loggers = [
        logging.getLogger(),
        *(logger for logger in logging.root.manager.loggerDict.values() if isinstance(logger, logging.Logger)),
    ]
    before = [(logger, logger.handlers[:], logger.level) for logger in loggers]
    yield
    for logger, handlers, level in before:
        logger.handlers[:] = handlers
        logger.setLevel(level)
