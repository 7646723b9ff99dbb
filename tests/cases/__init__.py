"""Cases that hold on any node: collected on the stand-in bed by tests/functional and on a real node by tests/e2e."""

import pytest

pytest.register_assert_rewrite("cases.hotplug")
