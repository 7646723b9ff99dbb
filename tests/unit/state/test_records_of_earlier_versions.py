"""A node goes from an earlier version to this one and back: its attachments stay as they are, and are recognised."""

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

VERSIONS = ("0.3.0", "0.4.0")
OF_EACH = pytest.mark.parametrize("version", VERSIONS)
FILES = {each: sorted((Path(__file__).parent / f"records-{each}").glob("*.json")) for each in VERSIONS}
ENTRIES: list[dict[str, Any]] = [
    {"name": "trunk", "ifMac": "02:00:00:AA:BB:01", "namespace": "infra", "upperLayers": ["data", "red"]},
    {"name": "data"},
    {"name": "red", "ifMac": "02:00:00:aa:bb:02"},
    {"name": "blue"},
    {"name": "green"},
]
Read = dict[str, Record]
READ: dict[str, Read] = {
    version: {made.attachment.network: made for made in (decode(path.read_bytes()) for path in files)}
    for version, files in FILES.items()
}
EACH_READ = pytest.mark.parametrize("read", READ.values(), ids=VERSIONS)

# What 0.3.0 takes from a record by its name, and what it would do something else with. `str, None`: null is fine too.
Fields = dict[str, dict[str, tuple["type | None", ...]]]
READ_BY_0_3_0: Fields = {
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
READ_BY: dict[str, Fields] = {
    "0.3.0": READ_BY_0_3_0,
    "0.4.0": {
        **READ_BY_0_3_0,
        "attachment": {
            **dict.fromkeys(["network", "ifname", "api"], (str,)),
            **dict.fromkeys(["namespace", "mac"], (str, None)),
            "capabilities": (dict,),
            **dict.fromkeys(["args", "upperInterfaces"], (list,)),
        },
        "invocation": {**READ_BY_0_3_0["invocation"], "api": (str,)},
    },
}
# An attachment that differs in one of these from the annotation is made again.
COMPARED = {"0.3.0": {"network", "namespace", "mac", "ips"}}
COMPARED["0.4.0"] = COMPARED["0.3.0"] | {"api", "capabilities", "args", "upperInterfaces"}


ASKED = kaloom.read(json.dumps(ENTRIES), "default", {"default", "infra"})
SANDBOX = Sandbox(READ["0.3.0"]["data"].sandbox_id, READ["0.3.0"]["data"].netns)


@EACH_READ
def test_all_of_its_records_are_read_and_are_what_the_annotation_asks_for_today(read: Read) -> None:
    assert {made.attachment.ifname: made.attachment for made in read.values()} == {
        each.ifname: each for each in ASKED.attachments
    }
    assert sorted(read) == sorted(str(entry["name"]) for entry in ENTRIES)
    assert {each.pod.name for each in read.values()} == {"web"}


@EACH_READ
def test_after_an_upgrade_only_an_attach_that_had_merely_begun_is_done_again(read: Read) -> None:
    steps = plan_pod(ASKED, read.values(), SANDBOX)
    assert [(step.operation, step.attachment.network) for step in steps] == [
        (Operation.DETACH, "green"),
        (Operation.ATTACH, "green"),
    ]


@EACH_READ
def test_its_layers_still_order_detaching(read: Read) -> None:
    steps = plan_pod(Desired(), read.values(), SANDBOX)
    assert [step.attachment.network for step in steps] == ["green", "blue", "red", "data", "trunk"]
    above = read["trunk"]._replace(sequence=99)
    steps = plan_pod(Desired(), [above, read["data"], read["red"]], SANDBOX)
    assert steps[-1].record == above, "the trunk goes last, although it was attached last"


@EACH_READ
def test_the_definitions_that_were_used_have_a_kind_and_a_namespace_and_the_other_fields_are_as_they_were(
    read: Read,
) -> None:
    used = [read[network].invocation.definition for network in ("trunk", "data", "red", "blue", "green")]
    kind = "networks.kaloom.com/v1"
    own = {name: DefinitionRef(kind, "default", name) for name in ("data", "blue", "green")}
    assert used == [DefinitionRef(kind, "infra", "trunk"), own["data"], None, own["blue"], own["green"]]
    assert (read["red"].via, read["data"].via) == (Via.SYSTEM, Via.DELEGATE)
    assert (read["green"].phase, read["green"].result, read["green"].ifindex) == (Phase.ATTACHING, None, 0)
    assert (read["blue"].adopted, read["blue"].static, read["blue"].result) == (True, True, None)
    assert (read["data"].sequence, read["data"].ifindex) == (42, 4)
    assert all(not made.extra for made in read.values())


@OF_EACH
def test_its_state_directory_is_used_as_it_is(tmp_path: Path, version: str) -> None:
    attachments = tmp_path / "attachments"
    shutil.copytree(FILES[version][0].parent, attachments, ignore=shutil.ignore_patterns("README"))
    before = {path.name: path.read_bytes() for path in attachments.iterdir()}
    with closing(store_in(tmp_path)) as store:
        assert len(store) == len(before) == len(FILES[version])
        assert {path.name: path.read_bytes() for path in attachments.iterdir()} == before
        assert list((tmp_path / "corrupt").iterdir()) == []
        assert store.next_sequence() == 46
        for made in READ[version].values():
            store.put(made._replace(phase=Phase.DETACHING))
        assert sorted(path.name for path in attachments.iterdir()) == sorted(before)
        for made in READ[version].values():
            store.remove(made)
        assert (len(store), list(attachments.iterdir())) == (0, [])


@OF_EACH
@pytest.mark.parametrize("network", [*READ["0.3.0"], ""])
def test_the_way_back_stays_open(version: str, network: str) -> None:
    """The earlier version finds each field that it insists on, of the type that it expects."""
    document = json.loads(encode(READ[version][network] if network else record("red")))
    assert document["schema"] == 1
    for part, fields in READ_BY[version].items():
        found = document["record"][part] if part else document["record"]
        kinds = {name: None if found[name] is None else type(found[name]) for name in fields}
        assert all(kind in fields[name] for name, kind in kinds.items()), f"{part}: {kinds}"


@pytest.mark.parametrize(
    ("version", "path"), [(version, path) for version, files in FILES.items() for path in files], ids=str
)
def test_to_an_earlier_version_the_attachment_is_the_one_that_it_wrote(version: str, path: Path) -> None:
    old, read = json.loads(path.read_bytes())["record"], decode(path.read_bytes())
    new = json.loads(encode(read))["record"]
    assert decode(encode(read)) == read
    assert (read.invocation.netconf.json, list(read.invocation.path)) == (
        old["invocation"]["netconf"],
        old["invocation"]["path"],
    )
    for name in COMPARED[version]:
        assert new["attachment"][name] == old["attachment"][name]
    assert new["invocation"].items() >= old["invocation"].items()
    since = {"peer": 0, "mac": "", "left": [], "failures": 0}
    assert {**new, "attachment": 0, "invocation": 0} == {**old, "attachment": 0, "invocation": 0, **since}
