"""Pages of a list and lines of a watch, right ones and wrong ones."""

from __future__ import annotations

import pytest

from podagent.errors import AnswerTooLarge, ApiError, PodNotGone
from podagent.foreign import Json
from podagent.kube.feed import GarbledWatch, Listing, parse_event
from podagent.kube.podlist import confirm_gone, pods_of
from podagent.model import Pod
from unit.factory import key
from unit.kube.kube_script import Answer, ScriptedApi, page

PODS = pods_of("node1")
TOO_LARGE = AnswerTooLarge("too large", 200)


def listed(*script: Answer, page_size: int = 500) -> list[Pod]:
    return list(Listing(ScriptedApi(*script), PODS, page_size, before_page=lambda: None))


def test_a_page_too_large_to_hold_is_announced_and_asked_for_again_in_smaller_ones() -> None:
    announced: list[int] = []
    api = ScriptedApi(page("a", more="p2"), TOO_LARGE, TOO_LARGE, page("b", version="2"))
    found = Listing(api, PODS, 500, before_page=lambda: announced.append(len(api.requests)))
    assert ([pod.key.name for pod in found], found.count, found.version) == (["a", "b"], 2, "2")
    assert [query["limit"] for query in api.queries] == ["500", "500", "125", "31"]
    assert announced == [0, 1, 2, 3]


def test_a_single_pod_too_large_to_hold_is_an_error() -> None:
    with pytest.raises(AnswerTooLarge):
        listed(TOO_LARGE, TOO_LARGE, page_size=3)


def test_a_list_that_never_ends_is_given_up() -> None:
    with pytest.raises(ApiError, match="the list does not end after 1000 pages"):
        listed(*[page("a", more="again")] * 1001)


@pytest.mark.parametrize("items", [None, []])
def test_a_list_without_items_has_no_pods(items: object) -> None:
    assert listed(page() | {"items": items}) == []


@pytest.mark.parametrize("item", [{}, 7, None, "x", {"metadata": {"uid": "1"}}, {"metadata": []}])
def test_an_item_that_is_no_pod_is_an_error_and_nothing_is_taken_as_gone(item: object) -> None:
    with pytest.raises(ApiError, match="an item has no valid namespace, name or UID"):
        listed(page() | {"items": [*page("a")["items"], item]})


@pytest.mark.promise("API server: the answer is a list of another kind", "it is an error; no pod is taken as gone")
@pytest.mark.parametrize("kind", [None, "", "List", "Status", "NodeList", 7])
def test_a_list_of_another_kind_is_an_error(kind: object) -> None:
    with pytest.raises(ApiError, match="the answer is not a list of pods"):
        listed(page() | {"kind": kind})


@pytest.mark.parametrize("items", [7, "x", {"a": 1}, True])
def test_items_that_are_no_list_are_an_error_and_nothing_is_taken_as_gone(items: object) -> None:
    with pytest.raises(ApiError, match="the answer is not a list of pods: 'items' must be a list"):
        listed(page() | {"items": items})


@pytest.mark.parametrize("metadata", [None, {}, {"resourceVersion": ""}, {"resourceVersion": 7}, []])
def test_a_list_without_a_version_is_an_error(metadata: object) -> None:
    with pytest.raises(ApiError, match="the list has no resourceVersion"):
        listed(page() | {"metadata": metadata})


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b'{"type":"ADDED","object":{"metad',
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"type":"ADDED"}',
        b'{"type":7,"object":{}}',
        b'{"type":"ADDED","object":7}',
        b'{"type":"ERROR","object":"x"}',
        b'{"type":"DELETED","object":{"kind":"Node","metadata":{"name":"web"}}}',
    ],
)
def test_half_a_line_or_one_that_is_no_event_is_garbled(text: bytes) -> None:
    with pytest.raises(GarbledWatch):
        parse_event(text, PODS)


def about(uid: str = "uid", phase: str = "Running", kind: str = "Pod", name: str = "web") -> Json:
    return {
        "kind": kind,
        "metadata": {"namespace": "default", "name": name, "uid": uid},
        "status": {"phase": phase},
    }


@pytest.mark.parametrize("answer", [ApiError("no", 404), about("another"), about(phase="Succeeded")])
def test_a_pod_is_gone_if_it_is_not_found_by_name_was_made_again_or_has_ended(answer: Answer) -> None:
    confirm_gone(ScriptedApi(answer), key("uid"))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (about(), PodNotGone),
        (about(kind="Node"), ApiError),
        (about(name="other"), ApiError),
        ({}, ApiError),
        (ApiError("gone?", 410), ApiError),
        (ApiError("unreachable"), ApiError),
    ],
)
def test_any_other_answer_means_that_it_may_exist(answer: Answer, error: type[Exception]) -> None:
    with pytest.raises(error):
        confirm_gone(ScriptedApi(answer), key("uid"))
