"""Which namespaces' networks a pod may use, as kactus is configured."""

from __future__ import annotations

import json
from typing import Any

import pytest

from podagent.kactus.config import read_config
from podagent.kactus.failure import INVALID_CONFIG, Failure
from podagent.kactus.networks import delegate_for, read_wanted
from podagent.model import Attachment, interface_name

GREEN = Attachment("green", interface_name("green"))
CONF: dict[str, Any] = {"name": "n", "type": "kactus", "delegates": [{"type": "bridge"}]}


def nowhere(namespace: str, name: str) -> None:
    return None


def test_the_networks_of_default_are_for_all_unless_the_configuration_says_otherwise() -> None:
    assert read_config(CONF).global_namespaces == ("default",)
    assert read_config(CONF | {"globalNamespaces": ["infra", "default"]}).global_namespaces == ("infra", "default")
    assert read_config(CONF | {"globalNamespaces": []}).global_namespaces == ()


@pytest.mark.parametrize("value", ["default", [1], ["a.b"], ["../x"], {"default": True}, None])
def test_global_namespaces_must_be_a_list_of_namespaces(value: Any) -> None:
    with pytest.raises(Failure, match="globalNamespaces must be a list of namespaces") as raised:
        read_config(CONF | {"globalNamespaces": value})
    assert raised.value.code == INVALID_CONFIG


def test_a_network_of_another_namespace_needs_that_to_be_global() -> None:
    annotation = json.dumps([{"name": "green", "namespace": "infra"}])
    (wanted,) = read_wanted(annotation, "shop", ("infra",)).others
    assert wanted.namespace == "infra"
    with pytest.raises(Failure, match="networks of namespace infra may not be used"):
        read_wanted(annotation, "shop")


def test_default_is_looked_into_only_where_it_is_for_all() -> None:
    with pytest.raises(Failure, match=r"no networks\.kaloom\.com in shop or default \["):
        delegate_for(GREEN, "shop", nowhere)
    with pytest.raises(Failure, match=r"no networks\.kaloom\.com in shop \["):
        delegate_for(GREEN, "shop", nowhere, ("infra",))
