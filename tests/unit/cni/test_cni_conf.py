from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import NoReturn

import pytest

from podagent.cni.conf import SystemConf, first_valid, load_file
from podagent.errors import NetConfError, NetConfUnreadable
from podagent.foreign import Json
from podagent.netconf import NetConf, parse

PLUGIN: Json = {"cniVersion": "0.4.0", "name": "data", "type": "bridge", "bridge": "br0"}
LIST: Json = {"cniVersion": "1.0.0", "name": "data", "plugins": [{"type": "bridge"}, {"type": "tuning"}]}


def write(path: Path, content: Json | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def types(netconf: NetConf) -> list[str]:
    return [plugin["type"] for plugin in netconf.plugins]


def test_text_never_reads_a_plugin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "data" / "10.conf", {"type": "tuning"})
    monkeypatch.chdir(tmp_path)
    assert types(parse({"name": "data", "plugins": [{"type": "bridge"}]}, "x")) == ["bridge"]


@pytest.mark.parametrize(
    ("conf", "expected"),
    [
        (LIST, ["bridge", "tuning", "first", "second"]),
        ({"name": "data"}, ["first", "second"]),
        ({**LIST, "loadOnlyInlinedPlugins": True}, ["bridge", "tuning"]),
    ],
)
def test_the_plugin_folder_of_a_list_file_follows_its_inline_plugins_in_order_of_names(
    tmp_path: Path, conf: Json, expected: list[str]
) -> None:
    for name, plugin_type in (("20.conf", "second"), ("10.conf", "first"), ("30.conflist", "no"), ("40.json", "no")):
        write(tmp_path / "data" / name, {"type": plugin_type})
    (tmp_path / "data" / "50.conf").mkdir()
    assert types(load_file(write(tmp_path / "10.conflist", conf))) == expected


@pytest.mark.parametrize(
    ("name", "conf", "complaint"),
    [
        ("10-data.conf", LIST, "10-data.conf: missing 'type'"),
        ("10-data.json", LIST, "10-data.json: missing 'type'"),
        ("10.conflist.bak", LIST, r"10\.conflist\.bak: the file name must end in"),
        ("10.conflist", {"name": "other"}, "no plugins.* holds no .conf file"),
        ("10.conflist", {"name": "x", "loadOnlyInlinedPlugins": "true"}, "missing 'plugins', though 'loadOnlyInlined"),
        ("10.conflist", {"name": "..", "plugins": [{"type": "t"}]}, "is not a network name"),
        ("10.conflist", LIST, r"data/10\.conf: not JSON"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, name: str, conf: Json, complaint: str) -> None:
    write(tmp_path / "data" / "10.conf", "{")
    with pytest.raises(NetConfError, match=complaint):
        load_file(write(tmp_path / name, conf))


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
    path, conf = first_valid([tmp_path])
    assert (path, types(conf)) == (expected, ["bridge"])


def test_when_no_file_is_valid_each_is_listed_with_its_fault(tmp_path: Path) -> None:
    write(tmp_path / "05.conf", "{")
    write(tmp_path / "06.conflist", {"name": "x"})
    (tmp_path / "07.conf").symlink_to("nowhere")
    with pytest.raises(NetConfError) as raised:
        first_valid([tmp_path])
    for fault in ("05.conf: not JSON", "06.conflist: no plugins", "07.conf: cannot be read: No such file or directory"):
        assert fault in str(raised.value)
    with pytest.raises(NetConfError, match=r"nowhere: no \.conf, \.conflist or \.json file there"):
        first_valid([tmp_path / "nowhere"])


def test_a_file_that_cannot_be_read_now_is_not_passed_over_for_a_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> NoReturn:
        raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))

    expected = write(tmp_path / "10.conf", PLUGIN)
    write(tmp_path / "20.conf", {**PLUGIN, "type": "kactus"})
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", fail)
        with pytest.raises(NetConfUnreadable, match=r"10\.conf: cannot be read: Too many open files"):
            first_valid([tmp_path])
    assert first_valid([tmp_path])[0] == expected


def test_the_first_directory_that_has_configuration_counts(tmp_path: Path) -> None:
    absent, empty, k3s, usual = (tmp_path / name for name in ("absent", "empty", "k3s", "usual"))
    empty.mkdir()
    expected = write(usual / "10.conf", PLUGIN)
    system = SystemConf(lambda: map(str, (absent, empty, k3s, usual)))
    assert system.current()[0] == str(expected)
    write(k3s / "10.conf", {"type": "kactus"})  # invalid: it has no name
    with pytest.raises(NetConfError, match="k3s/10"):
        system.current()
    later = write(k3s / "20.conf", {**PLUGIN, "type": "kactus"})
    assert system.current()[0] == str(later)


def test_the_system_configuration_follows_every_change_of_the_directory(tmp_path: Path) -> None:
    system = SystemConf(lambda: [f"{tmp_path}/net.d"])
    with pytest.raises(NetConfError):
        system.current()
    # Same size, same inode, and usually within the same tick of the clock.
    for kind in ("aaa", "bbb"):
        write(tmp_path / "net.d" / "10.conf", {**PLUGIN, "type": kind})
        assert types(system.current()[1]) == [kind]
    write(tmp_path / "net.d" / "05.conflist", LIST)
    assert types(system.current()[1]) == ["bridge", "tuning"]
    write(tmp_path / "net.d" / "data" / "10.conf", {"type": "portmap"})
    assert types(system.current()[1]) == ["bridge", "tuning", "portmap"]
    (tmp_path / "net.d" / "data" / "10.conf").unlink()
    assert types(system.current()[1]) == ["bridge", "tuning"]
    (tmp_path / "net.d" / "05.conflist").unlink()
    assert types(system.current()[1]) == ["bbb"]


def test_the_system_configuration_is_not_read_again_without_a_change(tmp_path: Path) -> None:
    path = write(tmp_path / "10.conf", PLUGIN)
    os.utime(path, (1, 1))
    system = SystemConf(lambda: [str(tmp_path)])
    stale = system.current()
    while system.current() is not stale:  # its change time has to be older than a tick first
        stale = system.current()
    assert system.current() is stale
