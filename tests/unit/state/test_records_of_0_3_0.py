"""A node goes from 0.3.0 to this version and back: its attachments stay as they are, and are recognised."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from podagent.decide.desired import Desired
from podagent.decide.dialects import kaloom
from podagent.decide.plan import plan_pod
from podagent.model import DefinitionRef, Operation, Phase, Record, Sandbox, Via
from podagent.state.recordfile import decode, encode
from unit.factory import record
from unit.stores import store_in

FILES = sorted((Path(__file__).parent / "records-0.3.0").glob("*.json"))
ENTRIES: list[dict[str, Any]] = [
    {"name": "trunk", "ifMac": "02:00:00:AA:BB:01", "namespace": "infra", "upperLayers": ["data", "red"]},
    {"name": "data"},
    {"name": "red", "ifMac": "02:00:00:aa:bb:02"},
    {"name": "blue"},
    {"name": "green"},
]
READ = {made.attachment.network: made for made in (decode(path.read_bytes()) for path in FILES)}

# What 0.3.0 takes from a record by its name, and what it would do something else with. `str, None`: null is fine too.
READ_BY_0_3_0: dict[str, dict[str, tuple[type | None, ...]]] = {
    "pod": {"namespace": (str,), "name": (str,), "uid": (str,), "static": (bool,)},
    "attachment": {
        **dict.fromkeys(["network", "ifname"], (str,)),
        **dict.fromkeys(["namespace", "mac"], (str, None)),
        **dict.fromkeys(["ips", "upperLayers"], (list,)),
    },
    "netns": {"path": (str,), "inode": (int,), "started": (int,)},
    "invocation": {
        **dict.fromkeys(["netconf", "capabilityArgs"], (dict,)),
        **dict.fromkeys(["path", "args"], (list,)),
        "definition": (str,),
    },
    "": {
        **dict.fromkeys(["phase", "via", "sandboxID", "bootID"], (str,)),
        **dict.fromkeys(["sequence", "ifindex"], (int,)),
        "result": (dict, None),
        "adopted": (bool,),
    },
}


ASKED = kaloom.read(json.dumps(ENTRIES), "default", {"default", "infra"})
SANDBOX = Sandbox(READ["data"].sandbox_id, READ["data"].netns)


def test_all_of_its_records_are_read_and_are_what_the_annotation_asks_for_today() -> None:
    assert {made.attachment.ifname: made.attachment for made in READ.values()} == {
        each.ifname: each for each in ASKED.attachments
    }
    assert sorted(READ) == sorted(str(entry["name"]) for entry in ENTRIES)
    assert {each.pod.name for each in READ.values()} == {"web"}


def test_after_an_upgrade_only_an_attach_that_had_merely_begun_is_done_again() -> None:
    steps = plan_pod(ASKED, READ.values(), SANDBOX)
    assert [(step.operation, step.attachment.network) for step in steps] == [
        (Operation.DETACH, "green"),
        (Operation.ATTACH, "green"),
    ]


def test_its_layers_still_order_detaching() -> None:
    steps = plan_pod(Desired(), READ.values(), SANDBOX)
    assert [step.attachment.network for step in steps] == ["green", "blue", "red", "data", "trunk"]
    above = READ["trunk"]._replace(sequence=99)
    steps = plan_pod(Desired(), [above, READ["data"], READ["red"]], SANDBOX)
    assert steps[-1].record == above, "the trunk goes last, although it was attached last"


def test_the_definitions_that_were_used_have_a_kind_and_a_namespace_and_the_other_fields_are_as_they_were() -> None:
    used = [READ[network].invocation.definition for network in ("trunk", "data", "red", "blue", "green")]
    kind = "networks.kaloom.com/v1"
    own = {name: DefinitionRef(kind, "default", name) for name in ("data", "blue", "green")}
    assert used == [DefinitionRef(kind, "infra", "trunk"), own["data"], None, own["blue"], own["green"]]
    assert (READ["red"].via, READ["data"].via) == (Via.SYSTEM, Via.DELEGATE)
    assert (READ["green"].phase, READ["green"].result, READ["green"].ifindex) == (Phase.ATTACHING, None, 0)
    assert (READ["blue"].adopted, READ["blue"].static, READ["blue"].result) == (True, True, None)
    assert (READ["data"].sequence, READ["data"].ifindex) == (42, 4)
    assert all(not made.extra for made in READ.values())


def test_its_state_directory_is_used_as_it_is(tmp_path: Path) -> None:
    attachments = tmp_path / "attachments"
    shutil.copytree(FILES[0].parent, attachments, ignore=shutil.ignore_patterns("README"))
    before = {path.name: path.read_bytes() for path in attachments.iterdir()}
    with closing(store_in(tmp_path)) as store:
        assert len(store) == len(before) == len(FILES)
        assert {path.name: path.read_bytes() for path in attachments.iterdir()} == before
        assert list((tmp_path / "corrupt").iterdir()) == []
        assert store.next_sequence() == 46
        for made in READ.values():
            store.put(made._replace(phase=Phase.DETACHING))
        assert sorted(path.name for path in attachments.iterdir()) == sorted(before)
        for made in READ.values():
            store.remove(made)
        assert (len(store), list(attachments.iterdir())) == (0, [])


@pytest.mark.parametrize("made", [*READ.values(), record("red")], ids=lambda made: made.attachment.network)
def test_the_way_back_stays_open(made: Record) -> None:
    """0.3.0 finds each field that it insists on, of the type that it expects."""
    document = json.loads(encode(made))
    assert document["schema"] == 1
    for part, fields in READ_BY_0_3_0.items():
        found = document["record"][part] if part else document["record"]
        kinds = {name: None if found[name] is None else type(found[name]) for name in fields}
        assert all(kind in fields[name] for name, kind in kinds.items()), f"{part}: {kinds}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name[:8])
def test_to_0_3_0_the_attachment_is_the_one_that_it_wrote(path: Path) -> None:
    """It compares these four with the annotation; where one differs, it attaches again."""
    old, read = json.loads(path.read_bytes())["record"], decode(path.read_bytes())
    new = json.loads(encode(read))["record"]
    assert decode(encode(read)) == read
    assert (read.invocation.netconf.json, list(read.invocation.path)) == (
        old["invocation"]["netconf"],
        old["invocation"]["path"],
    )
    for name in ("network", "namespace", "mac", "ips"):
        assert new["attachment"][name] == old["attachment"][name]
    assert new["invocation"].items() >= old["invocation"].items()
    since = {"peer": 0, "mac": "", "left": [], "failures": 0}
    assert {**new, "attachment": 0, "invocation": 0} == {**old, "attachment": 0, "invocation": 0, **since}
