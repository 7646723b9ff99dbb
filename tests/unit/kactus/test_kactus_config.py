from __future__ import annotations

from typing import Any

import pytest

from podagent.foreign import Json
from podagent.kactus.config import Config, read_config
from podagent.kactus.failure import Failure

BRIDGE: Json = {"type": "bridge", "bridge": "br0", "name": "pods", "cniVersion": "0.3.1"}
MARKED: Json = {**BRIDGE, "masterPlugin": True}


def conf(*delegates: Any, **more: Any) -> Json:
    return {"cniVersion": "0.4.0", "name": "cluster", "type": "kactus", "delegates": list(delegates), **more}


def refused(config: Json) -> str:
    with pytest.raises(Failure) as caught:
        read_config(config)
    assert caught.value.code == 7
    return caught.value.message


@pytest.mark.parametrize("empty", [{}, {"kubeconfig": None, "cniDir": None}])
def test_the_defaults_are_those_of_kaloom(empty: Json) -> None:
    assert read_config(conf(MARKED, **empty)) == Config("", "/var/lib/cni/kactus", MARKED, ("default",))


@pytest.mark.parametrize("namespaces", [["infra", "default"], []])
def test_the_configuration_is_read(namespaces: list[str]) -> None:
    keys = {"kubeconfig": "/k", "cniDir": "/d", "globalNamespaces": namespaces}
    assert read_config(conf(MARKED, **keys)) == Config("/k", "/d", MARKED, tuple(namespaces))


@pytest.mark.parametrize("spelling", ["masterPlugin", "masterplugin"])
def test_the_marked_delegate_is_the_master(spelling: str) -> None:
    master = read_config(conf({"type": "macvlan", "name": "other"}, {**BRIDGE, spelling: True})).master
    assert (master["type"], master["masterPlugin"]) == ("bridge", True)


def test_the_only_delegate_needs_no_mark() -> None:
    assert read_config(conf(BRIDGE)).master == MARKED


@pytest.mark.parametrize("master", [{"type": "bridge"}, {"plugins": [{"type": "bridge"}, {"type": "tuning"}]}])
def test_name_and_version_of_the_network_serve_a_master_without_and_a_list_has_the_type_of_its_first_plugin(
    master: Json,
) -> None:
    own = {"cniVersion": "0.4.0", "name": "cluster", "type": "bridge", "masterPlugin": True}
    assert read_config(conf(master)).master == {**own, **master}


@pytest.mark.parametrize("delegates", [None, [], {}, "bridge", [None], ["bridge"], [[]], [BRIDGE, 3]])
def test_delegates_that_are_no_list_of_objects_are_refused(delegates: Any) -> None:
    assert "delegates must be a list" in refused({**conf(), "delegates": delegates})


def test_two_masters_are_refused() -> None:
    for other in (MARKED, {**BRIDGE, "masterplugin": True}):
        assert refused(conf(MARKED, other)) == "only one delegate can have masterPlugin"


@pytest.mark.parametrize("mark", [None, False, "true", 1])
def test_of_several_delegates_one_has_to_be_marked(mark: Any) -> None:
    assert "must have masterPlugin: true" in refused(conf({**BRIDGE, "masterPlugin": mark}, BRIDGE))


@pytest.mark.parametrize("kind", ["", None, 7, "../bridge", "..", "bri\ndge"])
def test_a_master_whose_type_is_no_bare_name_is_refused(kind: Any) -> None:
    assert "the master delegate" in refused(conf({"type": kind, "masterPlugin": True}))


@pytest.mark.parametrize("key", ["kubeconfig", "cniDir"])
def test_a_path_that_is_not_absolute_is_refused_by_name(key: str) -> None:
    for path in ("relative", "./x", "~/x", "/x\n", "/x\0y", 7, ["/x"], True):
        assert refused(conf(BRIDGE, **{key: path})).startswith(f"{key} must be an absolute path")


@pytest.mark.parametrize("value", ["default", [1], ["a.b"], ["../x"], {"default": True}, None])
def test_global_namespaces_must_be_a_list_of_namespaces(value: Any) -> None:
    assert "globalNamespaces must be a list of namespaces" in refused(conf(BRIDGE, globalNamespaces=value))
