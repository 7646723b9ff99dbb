"""`podagent forget` for one attachment: only while no agent runs, and with a warning about what may be left."""

from __future__ import annotations

from pathlib import Path

import pytest

from podagent.cni.leases import reserved
from podagent.daemon.forgetting import forget_attachment
from podagent.errors import SettingsError, StoreError
from podagent.model import Record
from podagent.netconf import NetConf
from podagent.state.directory import StateDirectory
from podagent.state.store import Store
from unit.factory import invocation, record


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def store_in(state: Path, *records: Record) -> Store:
    made = Store(StateDirectory(state, state.parent / "locks"))
    made.load()
    for each in records:
        made.put(each)
    return made


def forget(state: Path, pod: str = "web", network: str = "red") -> str:
    return forget_attachment(state, "default", pod, network, reserved, state.parent / "locks")


def with_ipam(state: Path) -> Record:
    """A record whose address is reserved."""
    leases = state.parent / "leases" / "red"
    leases.mkdir(parents=True)
    made = record("red")
    (leases / "10.0.0.2").write_text(f"{made.sandbox_id}\r\n{made.attachment.ifname}")
    ipam = {"type": "host-local", "dataDir": str(leases.parent)}
    conf = NetConf({"cniVersion": "1.0.0", "name": "red", "plugins": [{"type": "bridge", "ipam": ipam}]})
    return made._replace(invocation=invocation("red", netconf=conf))


@pytest.mark.parametrize("by", ["red", record("red").attachment.ifname])
def test_the_record_goes_and_the_others_stay_and_it_says_what_may_be_left(state: Path, by: str) -> None:
    store_in(state, with_ipam(state), record("green")).close()
    said = forget(state, network=by)
    assert "forgot red of pod default/web. Nothing was detached" in said
    assert f"an address may stay reserved in {state.parent}/leases/red" in said
    assert [each.attachment.network for each in store_in(state).all()] == ["green"]


def test_while_an_agent_runs_it_refuses_and_says_how_to_stop_it(state: Path) -> None:
    running = store_in(state, record("red"))
    with pytest.raises(StoreError, match=r"in use by another podagent.*systemctl stop podagent"):
        forget(state)
    assert len(running.all()) == 1


def test_a_network_that_is_not_on_record_is_refused_with_those_that_are(state: Path) -> None:
    store_in(state, record("green")).close()
    with pytest.raises(SettingsError, match=r"no record of network red .* default/web; its networks on record: green"):
        forget(state)
    with pytest.raises(SettingsError, match="on record: none"):
        forget(state, pod="db")


def test_without_a_state_directory_there_is_nothing_to_forget(state: Path) -> None:
    with pytest.raises(StoreError, match="nothing to forget"):
        forget(state)
    assert not state.exists()
