"""On which machines a test runs; without any of these, on all."""

from __future__ import annotations

import pytest


def _on(*kinds: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("booted", kinds, indirect=True, scope="session")


ONE_OF_EACH_FORMAT = _on("deb12", "rpm12")
DEB_12, DEB_13, RPM_12 = _on("deb12"), _on("deb13"), _on("rpm12")
