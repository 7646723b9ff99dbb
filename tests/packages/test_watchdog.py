"""An agent that hangs is ended by systemd and started again."""

from __future__ import annotations

import pytest

from lab.links import Links
from packages.bed.host import Host
from packages.bed.node import Node
from packages.on import DEB_13

pytestmark = DEB_13

# Starts the agent as its launcher does, but for a reconcile that never returns on demand. How long a step of a
# worker may take before it counts as stuck is three minutes: that is shortened too.
_STUCK = """\
import os, sys, threading
sys.path.insert(0, "/opt/kaloom/lib/podagent")
import podagent.daemon.workers
podagent.daemon.workers.LOOKUP_ALLOWANCE_S = 2.0
import podagent.act.reconciler
reconcile = podagent.act.reconciler.Reconciler.reconcile

def stuck_when_told(*args, **kwargs):
    if os.path.exists("/run/lab-be-stuck"):
        os.unlink("/run/lab-be-stuck")
        threading.Event().wait()
    return reconcile(*args, **kwargs)

podagent.act.reconciler.Reconciler.reconcile = stuck_when_told
from podagent.cli import main
sys.exit(main())
"""


@pytest.mark.promise(
    "Agent: a worker of the agent hangs",
    "systemd restarts the agent; the stack is in the journal, interfaces stay",
)
def test_a_reconcile_that_never_returns_is_noticed_and_its_stack_is_in_the_journal(
    installed: Host, node: Node, attached: Links
) -> None:
    service, machine = installed.service, installed.machine
    machine.write("/root/stuck.py", _STUCK)
    launch = "[Service]\nWatchdogSec=5\nExecStart=\nExecStart=/usr/bin/python3 -I /root/stuck.py run\n"
    service.drop_in(launch)
    service.systemctl("restart")
    before, since = service.pid, machine.now()
    machine.write("/run/lab-be-stuck", "")
    node.annotate("web", ["data", "red"])
    service.wait_for_line("worker", "makes no progress; systemd will restart the agent", since=since)
    service.wait_for_restart(before)
    assert service.lines("in stuck_when_told", since=since)
    assert node.settles(web=["data", "red"])["web"].items() >= attached.items()
