from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from podagent.cni.conf import SystemConf, first_valid, load_file, parse_list
from podagent.errors import NetConfError
from podagent.model import Json

PLUGIN = {"cniVersion": "0.4.0", "name": "data", "type": "bridge", "bridge": "br0"}
LIST = {"cniVersion": "1.0.0", "name": "data", "plugins": [{"type": "bridge"}, {"type": "tuning"}]}


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def types(conf: Json) -> list[str]:
    return [plugin["type"] for plugin in conf["plugins"]]


def test_a_plugin_configuration_becomes_a_list_of_one() -> None:
    assert parse_list(json.dumps(PLUGIN), "x") == {"cniVersion": "0.4.0", "name": "data", "plugins": [PLUGIN]}


@pytest.mark.parametrize("form", [LIST, json.dumps(LIST), json.dumps(LIST).encode()], ids=["decoded", "text", "bytes"])
def test_a_list_is_taken_decoded_as_text_or_as_bytes(form: Json | str | bytes) -> None:
    assert parse_list(form, "x") == LIST


def test_reading_a_list_again_changes_nothing() -> None:
    once = parse_list({**LIST, "cniVersions": ["1.1.0", "0.4.0"], "disableCheck": "True"}, "x")
    assert parse_list(once, "x") == once


def test_keys_it_does_not_know_are_kept() -> None:
    assert parse_list({**LIST, "vendor": {"a": [1]}}, "x")["vendor"] == {"a": [1]}


@pytest.mark.parametrize("conf", [{"name": "n", "type": "t"}, {"name": "n", "plugins": [{"type": "t"}]}])
def test_a_configuration_without_version_is_0_1_0(conf: Json) -> None:
    assert parse_list(conf, "x")["cniVersion"] == "0.1.0"


def test_the_highest_usable_of_the_offered_versions_is_taken() -> None:
    conf = {**LIST, "cniVersion": "0.4.0", "cniVersions": ["0.3.1", "1.1.0", "9.0.0"]}
    assert parse_list(conf, "x")["cniVersion"] == "1.1.0"


@pytest.mark.parametrize("key", ["disableCheck", "disableGC", "loadOnlyInlinedPlugins"])
@pytest.mark.parametrize(("value", "means"), [(True, True), ("TRUE", True), ("false", False), (False, False)])
def test_flags_may_be_booleans_or_their_names(key: str, value: Any, means: bool) -> None:
    assert parse_list({**LIST, key: value}, "x")[key] is means


@pytest.mark.parametrize(
    ("conf", "complaint"),
    [
        ("{not json", "not JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        ("[" * 100_000, "nested too deeply"),
        ('{"name": "n", "type": "t", "x": NaN}', "NaN is not a JSON value"),
        ("[]", "a JSON object is needed, not a list"),
        ("null", "a JSON object is needed, not null"),
        ({"name": "n"}, "missing 'type'"),
        ({"name": "n", "type": ""}, "missing 'type'"),
        ({"name": "n", "type": 1}, "'type' must be the bare file name"),
        ({"name": "n", "type": "../../bin/sh"}, "'type' must be the bare file name"),
        ({"name": "n", "type": "t", "ipam": {"type": "../x"}}, "'ipam.type' must be the bare file name"),
        ({"name": "n", "type": "t", "ipam": []}, "'ipam' must be an object, not a list"),
        ({"name": "n", "type": "t", "capabilities": {"mac": "yes"}}, "capability 'mac' must be true or false"),
        ({"type": "t"}, "missing 'name'"),
        ({"name": 1, "type": "t"}, "'name' must be a string"),
        ({"name": "../x", "type": "t"}, "is not a network name"),
        ({"name": "n\n", "type": "t"}, "is not a network name"),
        ({"name": "n", "type": "t", "cniVersion": "newest"}, "'newest' is not a CNI version"),
        ({"name": "n", "type": "t", "cniVersion": 1.0}, "'cniVersion' must be a string, not a number"),
        ({"plugins": [{"type": "t"}]}, "missing 'name'"),
        ({"name": "n", "plugins": []}, "'plugins' is empty"),
        ({"name": "n", "plugins": None}, "'plugins' must be a list, not null"),
        ({"name": "n", "plugins": {}}, "'plugins' must be a list, not an object"),
        ({"name": "n", "plugins": ["t"]}, r"plugins\[0\]: a plugin must be an object, not a string"),
        ({"name": "n", "plugins": [{"type": "t"}, {}]}, r"plugins\[1\]: missing 'type'"),
        ({**LIST, "cniVersion": 1}, "'cniVersion' must be a string"),
        ({**LIST, "cniVersions": "1.0.0"}, "'cniVersions' must be a list of strings"),
        ({**LIST, "cniVersions": ["1.0.0", "x"]}, "'cniVersions': 'x' is not a CNI version"),
        ({**LIST, "disableCheck": "maybe"}, "'disableCheck' must be true or false, not 'maybe'"),
        ({**LIST, "disableGC": 1}, "'disableGC' must be true or false"),
    ],
)
def test_a_malformed_configuration_is_refused_by_origin_and_key(conf: Any, complaint: str) -> None:
    with pytest.raises(NetConfError, match=f"^Network default/x: .*{complaint}"):
        parse_list(conf, "Network default/x")


def test_text_never_reads_a_plugin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "data" / "10.conf", {"type": "tuning"})
    monkeypatch.chdir(tmp_path)
    assert types(parse_list({"name": "data", "plugins": [{"type": "bridge"}]}, "x")) == ["bridge"]


@pytest.mark.parametrize("name", ["10-data.conf", "10-data.json"])
def test_a_list_in_a_plugin_file_lacks_a_type(tmp_path: Path, name: str) -> None:
    with pytest.raises(NetConfError, match=rf"{name}: missing 'type'"):
        load_file(write(tmp_path / name, LIST))


def test_the_plugin_folder_of_a_list_file_follows_its_inline_plugins_in_order_of_names(tmp_path: Path) -> None:
    path = write(tmp_path / "10.conflist", {"cniVersion": "1.1.0", "name": "data", "plugins": [{"type": "bridge"}]})
    for name, plugin_type in (("20.conf", "second"), ("10.conf", "first"), ("30.conflist", "no"), ("40.json", "no")):
        write(tmp_path / "data" / name, {"type": plugin_type})
    (tmp_path / "data" / "50.conf").mkdir()
    assert types(load_file(path)) == ["bridge", "first", "second"]


def test_a_list_file_may_draw_all_its_plugins_from_its_folder(tmp_path: Path) -> None:
    write(tmp_path / "data" / "10.conf", {"type": "bridge"})
    assert types(load_file(write(tmp_path / "10.conflist", {"name": "data"}))) == ["bridge"]


def test_a_list_file_that_loads_only_inline_plugins_ignores_its_folder(tmp_path: Path) -> None:
    write(tmp_path / "data" / "10.conf", {"type": "tuning"})
    path = write(tmp_path / "10.conflist", {**LIST, "loadOnlyInlinedPlugins": True})
    assert types(load_file(path)) == ["bridge", "tuning"]


@pytest.mark.parametrize(
    ("conf", "complaint"),
    [
        ({"name": "data"}, "no plugins.* holds no .conf file"),
        ({"name": "data", "loadOnlyInlinedPlugins": "true"}, "missing 'plugins', though 'loadOnlyInlinedPlugins'"),
        ({"name": "..", "plugins": [{"type": "t"}]}, "is not a network name"),
    ],
)
def test_a_list_file_without_plugins_is_refused(tmp_path: Path, conf: Json, complaint: str) -> None:
    with pytest.raises(NetConfError, match=complaint):
        load_file(write(tmp_path / "10.conflist", conf))


def test_one_bad_file_in_the_plugin_folder_spoils_the_list_and_is_named(tmp_path: Path) -> None:
    write(tmp_path / "data" / "10.conf", "{")
    with pytest.raises(NetConfError, match=r"data/10\.conf: not JSON"):
        load_file(write(tmp_path / "10.conflist", LIST))


def test_a_fifo_among_the_files_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "10.conf")
    with pytest.raises(NetConfError, match="not a regular file"):
        load_file(tmp_path / "10.conf")


def test_the_first_valid_file_in_order_of_names_wins_whatever_its_kind(tmp_path: Path) -> None:
    write(tmp_path / "00.conflist.bak", LIST)
    write(tmp_path / "01.CONF", PLUGIN)
    (tmp_path / "02.conf").mkdir()
    write(tmp_path / "05.conf", "{")
    write(tmp_path / "06.conflist", PLUGIN)
    expected = write(tmp_path / "10.json", PLUGIN)
    write(tmp_path / "20.conflist", LIST)
    path, conf = first_valid(tmp_path)
    assert (path, types(conf)) == (expected, ["bridge"])


def test_when_no_file_is_valid_each_is_listed_with_its_fault(tmp_path: Path) -> None:
    write(tmp_path / "05.conf", "{")
    write(tmp_path / "06.conflist", {"name": "x"})
    (tmp_path / "07.conf").symlink_to("nowhere")
    with pytest.raises(NetConfError) as raised:
        first_valid(tmp_path)
    text = str(raised.value)
    assert "05.conf: not JSON" in text
    assert "06.conflist: no plugins" in text
    assert "07.conf: cannot be read: No such file or directory" in text


def test_a_missing_directory_has_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(NetConfError, match=r"nowhere: no \.conf, \.conflist or \.json file there"):
        first_valid(tmp_path / "nowhere")


def test_the_system_configuration_follows_every_change_of_the_directory(tmp_path: Path) -> None:
    system = SystemConf(tmp_path / "net.d")
    with pytest.raises(NetConfError):
        system.current()
    write(tmp_path / "net.d" / "10.conf", {**PLUGIN, "type": "aaa"})
    assert types(system.current()[1]) == ["aaa"]
    # Same size, same inode, and usually within the same tick of the clock.
    write(tmp_path / "net.d" / "10.conf", {**PLUGIN, "type": "bbb"})
    assert types(system.current()[1]) == ["bbb"]
    write(tmp_path / "net.d" / "05.conf", {**PLUGIN, "type": "ccc"})
    assert types(system.current()[1]) == ["ccc"]
    (tmp_path / "net.d" / "05.conf").unlink()
    assert types(system.current()[1]) == ["bbb"]


def test_the_system_configuration_follows_a_change_in_a_plugin_folder(tmp_path: Path) -> None:
    write(tmp_path / "10.conflist", LIST)
    system = SystemConf(tmp_path)
    assert types(system.current()[1]) == ["bridge", "tuning"]
    write(tmp_path / "data" / "10.conf", {"type": "portmap"})
    assert types(system.current()[1]) == ["bridge", "tuning", "portmap"]
    (tmp_path / "data" / "10.conf").unlink()
    assert types(system.current()[1]) == ["bridge", "tuning"]


def test_the_system_configuration_is_not_read_again_without_a_change(tmp_path: Path) -> None:
    path = write(tmp_path / "10.conf", PLUGIN)
    os.utime(path, (1, 1))
    system = SystemConf(tmp_path)
    stale = system.current()[1]
    while system.current()[1] is not stale:  # its change time has to be older than a tick first
        stale = system.current()[1]
    assert system.current()[1] is stale
