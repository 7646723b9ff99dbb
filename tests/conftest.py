"""Tests that need root have the marker `root`; those that are skipped without it are counted at the very end.

With CI=true in the environment a skipped test fails the run: there, everything must be able to run.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

_NEEDS_ROOT = "needs root"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason=_NEEDS_ROOT))


# Outermost, so that this comes after pytest's own last line.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    forbidden = bool(skipped) and os.environ.get("CI") == "true"
    if forbidden and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    yield
    without_root = sum(_NEEDS_ROOT in str(report.longrepr) for report in skipped)
    if reporter and without_root:
        reporter.write_line(f"{without_root} skipped because they need root: run them with sudo", yellow=True)
    if reporter and forbidden:
        reporter.write_line(f"{len(skipped)} skipped, and CI=true allows none", red=True)
