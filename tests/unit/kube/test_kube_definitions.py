"""Network definitions by reference, from an API server in memory."""

from __future__ import annotations

import pytest

from podagent.errors import ApiError, DefinitionError
from podagent.foreign import Json
from podagent.kube.definitions import NetworkDefinitions
from podagent.model import DefinitionRef

DATA = DefinitionRef("networks.kaloom.com/v1", "tenant", "data")


class Definitions:
    """Stands in for KubeApi: objects by path."""

    def __init__(self, objects: dict[str, Json | ApiError]) -> None:
        self._objects = objects
        self.asked: list[str] = []

    def get(self, path: str) -> Json:
        self.asked.append(path)
        found = self._objects.get(path, ApiError("not found", 404))
        if isinstance(found, ApiError):
            raise found
        return found


def read(reference: DefinitionRef, objects: dict[str, Json | ApiError]) -> Json | None:
    return NetworkDefinitions(Definitions(objects)).read(reference)  # type: ignore[arg-type]


def test_a_definition_is_read_by_its_reference() -> None:
    found = {"spec": {"plugin": "bridge"}}
    assert read(DATA, {"/apis/kaloom.com/v1/namespaces/tenant/networks/data": found}) == found


def test_a_definition_that_is_not_there_is_none() -> None:
    assert read(DATA, {}) is None


@pytest.mark.parametrize("status", [0, 401, 403, 500])
def test_every_other_refusal_is_an_error(status: int) -> None:
    with pytest.raises(ApiError):
        read(DATA, {DATA.path: ApiError("refused", status)})


@pytest.mark.parametrize(
    ("namespace", "name"), [("default", "../secrets/x"), ("a/b", "data"), ("", "data"), ("a.b", "c"), ("a", "")]
)
def test_a_name_that_no_object_can_have_never_reaches_the_server(namespace: str, name: str) -> None:
    api = Definitions({})
    with pytest.raises(DefinitionError, match="no object can have that name"):
        NetworkDefinitions(api).read(DATA._replace(namespace=namespace, name=name))  # type: ignore[arg-type]
    assert api.asked == []
