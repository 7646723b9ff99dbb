from __future__ import annotations

import pytest

from podagent.model import CniDirectories
from podagent.resolve.directories import NodeDirectories

NONE = CniDirectories()
K3S = CniDirectories(("/k3s/net.d",), ("/k3s/bin",))
SET = CniDirectories(("/set/net.d",), ("/set/bin",))


@pytest.mark.parametrize(
    ("configured", "told", "conf", "bins", "certain"),
    [
        (NONE, None, ("/etc/cni/net.d",), ("/opt/cni/bin",), False),
        (NONE, NONE, ("/etc/cni/net.d",), ("/opt/cni/bin",), True),
        (NONE, K3S, K3S.conf, ("/k3s/bin", "/opt/cni/bin"), True),
        (NONE, CniDirectories((), ("/opt/cni/bin", "/more")), ("/etc/cni/net.d",), ("/opt/cni/bin", "/more"), True),
        (SET, K3S, SET.conf, SET.bin, True),
        (SET, None, SET.conf, SET.bin, True),
        (SET._replace(bin=()), K3S, SET.conf, ("/k3s/bin", "/opt/cni/bin"), True),
    ],
)
def test_the_settings_come_first_then_what_the_runtime_tells_then_kubernetes_own(
    configured: CniDirectories, told: CniDirectories | None, conf: object, bins: object, certain: object
) -> None:
    node = NodeDirectories(configured, lambda: told)
    assert (node.conf(), node.bin(), node.conf_is_certain()) == (conf, bins, certain)
