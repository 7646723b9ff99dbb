"""What is said of a node under whose name no pod is found."""

from __future__ import annotations

import pytest

from podagent.errors import ApiError
from podagent.foreign import Json
from podagent.kube.api import JSON, KubeApi, Query
from podagent.kube.registration import Registration, fitting

NODES = "/api/v1/nodes"
REFUSED = ApiError("GET /api/v1/nodes/w1: 403 nodes is forbidden", 403)
AWAY = ApiError("no answer")


class Bench(KubeApi):
    """An API server that has these nodes; with `refusal` it shows none of them."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.refusal: ApiError | None = None
        self.asked: list[str] = []
        self.shown: list[str] = []
        self.registration = Registration(self, "w1", lambda: self.shown.append(self.registration.doubt))

    def get(self, path: str, query: Query = (), accept: str = JSON) -> Json:
        self.asked.append(path)
        if self.refusal:
            raise self.refusal
        if path == NODES:
            return {"items": [{"metadata": {"name": name}} for name in self.names]}
        if path.removeprefix(f"{NODES}/") not in self.names:
            raise ApiError("not found", 404)
        return {"kind": "Node"}

    def check(self, times: int = 1) -> str:
        for _ in range(times):
            self.registration.check()
        return self.registration.doubt


def test_a_node_that_is_registered_is_looked_for_once_and_nothing_is_said() -> None:
    bench = Bench("w1")
    assert (bench.check(3), bench.shown, bench.asked) == ("", [], [f"{NODES}/w1"])


def test_a_node_that_is_not_registered_is_a_warning_once_with_the_names_that_fit_until_it_is_registered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    bench = Bench("w1.example.com", "\x1b[2J", "db")
    doubt = "no node w1 is registered: set node to its name in `kubectl get nodes`, such as w1.example.com"
    assert bench.check(3) == doubt
    bench.names.append("w1")
    assert bench.check(3) == ""
    assert bench.shown == [doubt, ""]
    assert caplog.messages == [f"there are no pods, and {doubt}", "node w1 is registered"]


def test_a_server_that_shows_no_nodes_is_a_warning_once_with_its_remedy_and_one_that_is_away_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench("w1")
    for refusal in (AWAY, REFUSED, AWAY, REFUSED):
        bench.refusal = refusal
        assert bench.check(2) == "" or "apply podagent-serviceaccount-and-rbac.yaml" in bench.check()
    assert len(caplog.messages) == 1


@pytest.mark.parametrize(
    ("node", "names", "fits"),
    [
        ("w1.example.com", ["w1", "w2"], ["w1"]),
        ("worker-l", ["worker-1", "worker-2", "db"], ["worker-1", "worker-2"]),
        ("w1", ["db", "store"], []),
        ("w1", [f"w1.zone{number}" for number in range(9)], ["w1.zone0", "w1.zone1", "w1.zone2"]),
    ],
)
def test_the_names_that_fit_are_those_of_the_same_host_or_else_similar_ones(
    node: str, names: list[str], fits: list[str]
) -> None:
    assert sorted(fitting(node, names)) == fits
