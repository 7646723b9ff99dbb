from __future__ import annotations

from typing import Any

import pytest

from podagent.foreign import Json
from podagent.kactus.config import DEFAULT_CNI_DIR, read_config
from podagent.kactus.failure import Failure

BRIDGE: Json = {"type": "bridge", "bridge": "br0", "name": "pods", "cniVersion": "0.3.1"}


def conf(*delegates: Any, **more: Any) -> Json:
    return {"cniVersion": "0.4.0", "name": "cluster", "type": "kactus", "delegates": list(delegates), **more}


def refused(config: Json) -> str:
    with pytest.raises(Failure) as caught:
        read_config(config)
    assert caught.value.code == 7
    return caught.value.message


def test_the_defaults_are_those_of_kaloom() -> None:
    config = read_config(conf({**BRIDGE, "masterPlugin": True}))
    assert (config.kubeconfig, config.cni_dir) == ("", DEFAULT_CNI_DIR) == ("", "/var/lib/cni/kactus")


def test_a_null_is_as_good_as_nothing() -> None:
    assert read_config(conf(BRIDGE, kubeconfig=None, cniDir=None)).cni_dir == DEFAULT_CNI_DIR


@pytest.mark.parametrize("spelling", ["masterPlugin", "masterplugin"])
def test_the_marked_delegate_is_the_master(spelling: str) -> None:
    other = {"type": "macvlan", "name": "other"}
    master = read_config(conf(other, {**BRIDGE, spelling: True})).master
    assert (master["type"], master["masterPlugin"]) == ("bridge", True)


def test_the_only_delegate_needs_no_mark() -> None:
    assert read_config(conf(BRIDGE)).master == {**BRIDGE, "masterPlugin": True}


def test_what_the_master_does_not_say_is_said_by_the_network() -> None:
    master = read_config(conf({"type": "bridge", "masterPlugin": True})).master
    assert (master["name"], master["cniVersion"]) == ("cluster", "0.4.0")


def test_what_the_master_says_itself_stands() -> None:
    master = read_config(conf({**BRIDGE, "masterPlugin": True})).master
    assert (master["name"], master["cniVersion"]) == ("pods", "0.3.1")


def test_a_master_that_is_a_list_is_kept_under_the_type_of_its_first_plugin() -> None:
    chain = {"plugins": [{"type": "bridge"}, {"type": "tuning"}]}
    assert read_config(conf(chain)).master == {
        "cniVersion": "0.4.0", "name": "cluster", "type": "bridge", "masterPlugin": True, **chain,
    }  # fmt: skip


@pytest.mark.parametrize("delegates", [None, [], {}, "bridge", [None], ["bridge"], [[]], [BRIDGE, 3]])
def test_delegates_that_are_no_list_of_objects_are_refused(delegates: Any) -> None:
    assert "delegates must be a list" in refused({**conf(), "delegates": delegates})


def test_missing_delegates_are_refused() -> None:
    assert "delegates must be a list" in refused({"name": "cluster"})


@pytest.mark.parametrize("spellings", [("masterPlugin", "masterPlugin"), ("masterPlugin", "masterplugin")])
def test_two_masters_are_refused(spellings: tuple[str, str]) -> None:
    delegates = [{**BRIDGE, spelling: True} for spelling in spellings]
    assert refused(conf(*delegates)) == "only one delegate can have masterPlugin"


@pytest.mark.parametrize("mark", [None, False, "true", 1])
def test_of_several_delegates_one_has_to_be_marked(mark: Any) -> None:
    assert "must have masterPlugin: true" in refused(conf({**BRIDGE, "masterPlugin": mark}, BRIDGE))


@pytest.mark.parametrize("kind", ["", None, 7, "../bridge", "/usr/lib/cni/bridge", "..", "a\0b", "bri\ndge"])
def test_a_master_whose_type_is_no_bare_name_is_refused(kind: Any) -> None:
    assert "the master delegate" in refused(conf({"type": kind, "masterPlugin": True}))


@pytest.mark.parametrize("key", ["kubeconfig", "cniDir"])
@pytest.mark.parametrize("path", ["relative", "./x", "~/x", "/x\n", "/x\0y", 7, ["/x"], True])
def test_a_path_that_is_not_absolute_is_refused_by_name(key: str, path: Any) -> None:
    assert refused(conf(BRIDGE, **{key: path})).startswith(f"{key} must be an absolute path")


def test_the_networks_of_default_are_for_all_unless_the_configuration_says_otherwise() -> None:
    assert read_config(conf(BRIDGE)).global_namespaces == ("default",)
    assert read_config(conf(BRIDGE, globalNamespaces=["infra", "default"])).global_namespaces == ("infra", "default")
    assert read_config(conf(BRIDGE, globalNamespaces=[])).global_namespaces == ()


@pytest.mark.parametrize("value", ["default", [1], ["a.b"], ["../x"], {"default": True}, None])
def test_global_namespaces_must_be_a_list_of_namespaces(value: Any) -> None:
    assert "globalNamespaces must be a list of namespaces" in refused(conf(BRIDGE, globalNamespaces=value))
