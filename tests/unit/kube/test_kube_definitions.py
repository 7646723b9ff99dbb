"""When a network definition is read, when a kept one is used, and which pods a change retries."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Collection

import pytest

from podagent.decide.dialects.kaloom_names import API
from podagent.errors import ApiError, DefinitionError
from podagent.foreign import Json
from podagent.kube.api import JSON, KubeApi, Query
from podagent.kube.definitions import NetworkDefinitions, Seen
from podagent.kube.definitionwatch import parse_seen, watch_definitions
from podagent.model import DefinitionRef
from unit.factory import Clock
from unit.kube.kube_script import ScriptedApi

DATA = DefinitionRef(API, "tenant", "data")
MISSING = ApiError("not found", 404)
LARGE = "x" * 5000


class Cluster(KubeApi):
    """The definition `DATA`, and the readings of it. `meanwhile` happens after the server has looked it up."""

    def __init__(self) -> None:
        self.version, self.config = 0, "{}"
        self.fault: ApiError | None = None
        self.meanwhile: Callable[[], None] = lambda: None
        self.readings = 0
        self.clock = Clock()
        self.changes: list[DefinitionRef] = []
        self.definitions = NetworkDefinitions(self, self._note, self.clock)

    def get(self, path: str, query: Query = (), accept: str = JSON) -> Json:
        assert path == "/apis/kaloom.com/v1/namespaces/tenant/networks/data"
        self.readings += 1
        metadata = {"resourceVersion": str(self.version)}
        found = {"kind": "Network", "metadata": metadata, "spec": {"plugin": "bridge", "config": self.config}}
        fault = self.fault or (None if self.version else MISSING)
        self.meanwhile()
        if fault:
            raise fault
        return found

    def read(self, since: float) -> str | None:
        """The version that a pod gets whose request was received at that time."""
        found = self.definitions.read(DATA, since)
        return None if found is None else str(found["spec"]["config"])

    def define(self, *, noticed: bool = True) -> None:
        """The definition is made, or changed."""
        self.version += 1
        self.config = f"form {self.version}"
        if noticed:
            self.definitions.upsert(self.seen())

    def delete(self) -> None:
        seen, self.version = self.seen(), 0
        self.definitions.remove(seen)

    def seen(self) -> Seen:
        return Seen(DATA, str(self.version))

    def _note(self, changed: Collection[DefinitionRef]) -> None:
        self.changes += changed


@pytest.fixture
def cluster() -> Cluster:
    made = Cluster()
    made.definitions.followed = True
    made.clock.now = 10
    return made


def test_a_name_that_no_object_can_have_is_never_asked_for(cluster: Cluster) -> None:
    for namespace, name in [("default", "../secrets/x"), ("a/b", "data"), ("", "data"), ("a.b", "c"), ("a", "")]:
        with pytest.raises(DefinitionError, match="no object can have that name"):
            cluster.definitions.read(DATA._replace(namespace=namespace, name=name), 0)
    assert cluster.readings == 0


def test_it_is_read_once_for_all_requests_received_before_that_reading(cluster: Cluster) -> None:
    cluster.define()
    assert [cluster.read(since) for since in (0, 10, 3)] == ["form 1"] * 3
    assert cluster.readings == 1


@pytest.mark.parametrize("there", [False, True], ids=["there was none", "there was another"])
def test_a_request_gets_no_form_older_than_itself_although_no_change_was_noticed(cluster: Cluster, there: bool) -> None:
    if there:
        cluster.define()
    before = cluster.read(0)
    cluster.define(noticed=False)
    assert cluster.read(5) == before, "a request of before that"
    assert cluster.read(11) == cluster.config


@pytest.mark.parametrize("change", [Cluster.define, Cluster.delete])
def test_a_change_that_is_noticed_has_it_read_again(cluster: Cluster, change: Callable[[Cluster], None]) -> None:
    cluster.define()
    cluster.read(0)
    change(cluster)
    assert cluster.read(0) == (cluster.config if cluster.version else None)


def test_the_notice_of_the_form_that_was_read_already_changes_nothing(cluster: Cluster) -> None:
    cluster.define(noticed=False)
    cluster.read(0)
    cluster.definitions.upsert(cluster.seen())
    assert (cluster.read(0), cluster.readings, cluster.changes) == ("form 1", 1, [DATA])


@pytest.mark.parametrize("change", [Cluster.define, Cluster.delete])
def test_a_form_that_changes_while_it_is_read_is_not_kept(cluster: Cluster, change: Callable[[Cluster], None]) -> None:
    cluster.define()
    cluster.meanwhile = lambda: change(cluster)
    assert cluster.read(0) == "form 1"
    cluster.meanwhile = lambda: None
    assert cluster.read(0) == (cluster.config if cluster.version else None)


def test_that_there_is_none_is_known_too_until_there_is_one(cluster: Cluster) -> None:
    assert [cluster.read(0), cluster.read(0), cluster.readings] == [None, None, 1]
    cluster.define()
    assert cluster.read(0) == "form 1"


@pytest.mark.parametrize(
    ("listed", "readings"), [(["1"], 1), (["2"], 2), ([], 2)], ids=["the same", "another version", "it is gone"]
)
def test_a_list_shows_what_has_changed_unnoticed(cluster: Cluster, listed: list[str], readings: int) -> None:
    cluster.define(noticed=False)
    cluster.read(0)
    others = [Seen(DATA._replace(name=f"n{number}"), "7") for number in range(1200)]
    cluster.definitions.replace(iter([*others, *(Seen(DATA, version) for version in listed)]))
    cluster.read(0)
    assert cluster.readings == readings
    assert len(cluster.changes) == 1200 + (listed == ["2"])


def test_a_reading_that_a_list_overtakes_is_not_kept(cluster: Cluster) -> None:
    cluster.define(noticed=False)

    def overtake() -> None:
        cluster.delete()
        cluster.definitions.replace([])

    cluster.meanwhile = overtake
    assert cluster.read(0) == "form 1"
    assert cluster.read(0) is None


def test_while_nothing_is_followed_only_a_missing_one_is_known_for_a_second(cluster: Cluster) -> None:
    cluster.definitions.followed = False
    assert [cluster.read(0), cluster.read(0), cluster.readings] == [None, None, 1]
    cluster.define(noticed=False)
    assert cluster.read(11) == "form 1", "a later request"
    cluster.version = 0
    assert cluster.read(0) is None, "what is there is read each time"
    cluster.clock.now += 1
    cluster.read(0)
    assert cluster.readings == 4


def test_large_or_malformed_ones_are_read_each_time_and_too_many_push_out_the_oldest(cluster: Cluster) -> None:
    cluster.version = 1
    for config in (LARGE, "", "\N{CAT FACE}" * 1500):
        cluster.config, cluster.readings = config, 0
        assert [cluster.read(0), cluster.read(0)] == [config, config]
        assert cluster.readings == 2
    cluster.config = "small"
    cluster.read(0)
    cluster.definitions._api = ScriptedApi(*[MISSING] * 1024)
    for number in range(1024):
        cluster.definitions.read(DATA._replace(name=f"n{number}"), 0)
    cluster.definitions._api, cluster.readings = cluster, 0
    cluster.read(0)
    assert cluster.readings == 1


@pytest.mark.parametrize("status", [401, 403, 500, 0])
def test_a_failed_reading_is_passed_on_and_not_kept(cluster: Cluster, status: int) -> None:
    cluster.define()
    cluster.fault = ApiError("no", status)
    with pytest.raises(ApiError):
        cluster.read(0)
    cluster.fault = None
    assert cluster.read(0) == "form 1"


@pytest.mark.parametrize("metadata", [None, {}, {"name": "x"}, {"namespace": "a/b", "name": "x"}, {"namespace": "a"}])
def test_an_object_without_a_possible_name_is_no_definition(metadata: object) -> None:
    with pytest.raises(ValueError, match="no object can have that name"):
        parse_seen({"metadata": metadata})


class Watched:
    """A watch of definitions on a scripted server."""

    def __init__(self, *script: Json | list[bytes | float] | ApiError) -> None:
        self.api = ScriptedApi(*script)
        self.definitions = NetworkDefinitions(self.api)
        self.watch = watch_definitions(self.api, self.definitions, self, random.Random(1))
        self.watch._clock = self.api.clock

    def working(self, allowance_s: float) -> None: ...

    def idle(self) -> None: ...

    def run(self) -> list[str]:
        self.watch.run(self.api.clock)
        return self.api.requests


EMPTY = {"kind": "PartialObjectMetadataList", "metadata": {"resourceVersion": "1"}}
FORBIDDEN = ApiError("GET /apis/kaloom.com/v1/networks: 403 Forbidden", 403)
NO_RESOURCE = ApiError("GET /apis/kaloom.com/v1/networks: 404 not found", 404)


@pytest.mark.parametrize(
    ("refusal", "remedy", "longest"),
    [(FORBIDDEN, "apply podagent-serviceaccount-and-rbac.yaml", 36), (NO_RESOURCE, "apply networks-crd.yaml", 5)],
)
def test_a_refusal_is_a_warning_with_its_remedy_once_and_ends(
    caplog: pytest.LogCaptureFixture, refusal: ApiError, remedy: str, longest: float
) -> None:
    caplog.set_level(logging.INFO, "podagent.kube.definitionwatch")
    world = Watched(*[refusal] * 8, EMPTY, [6.0])
    assert world.run() == [*["list"] * 9, "watch from 1"]
    warning, information = caplog.messages
    assert warning.startswith(f"network definitions are not followed, and changes of them noticed late: {refusal}; ")
    assert remedy in warning
    assert information == "network definitions are followed"
    assert max(world.api.clock.waits) <= longest
    assert world.definitions.followed


@pytest.mark.parametrize(("failure", "followed"), [(FORBIDDEN, False), (ApiError("no route to host"), True)])
def test_they_stay_followed_while_the_server_is_out_of_reach_and_not_when_it_refuses(
    failure: ApiError, followed: bool
) -> None:
    world = Watched(EMPTY, [6.0], failure)
    assert world.run() == ["list", "watch from 1", "watch from 1"]
    assert world.definitions.followed is followed


def test_only_names_and_versions_are_asked_for_and_the_credentials_are_left_to_the_watch_of_pods() -> None:
    world = Watched(EMPTY, [6.0], *[ApiError("no route to host")] * 3)
    world.run()
    kinds = ["PartialObjectMetadataList", "PartialObjectMetadata"]
    assert world.api.accepts[:2] == [f"application/json;as={kind};g=meta.k8s.io;v=v1" for kind in kinds]
    assert {"reload", "close idle"}.isdisjoint(world.api.requests)
