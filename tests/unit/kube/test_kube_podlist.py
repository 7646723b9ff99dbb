"""Pages of a list and lines of a watch: what they yield, and what is wrong with them."""

from __future__ import annotations

import pytest

from podagent.errors import AnswerTooLarge, ApiError
from podagent.kube.podlist import GarbledWatch, Listing, list_pods, parse_event
from unit.kube.kube_script import Answer, ScriptedApi, TurningClock, page

TOO_LARGE = AnswerTooLarge("too large", 200)


def listing(*script: Answer, page_size: int = 500) -> tuple[Listing, list[str]]:
    """What a list yields, and the limits of the pages asked for."""
    api = ScriptedApi(script, TurningClock())
    found = list_pods(api, "node1", page_size, before_page=lambda: None)  # type: ignore[arg-type]
    return found, [query["limit"] for query in api.queries]


def test_a_page_too_large_to_hold_is_asked_for_in_smaller_ones() -> None:
    found, limits = listing(page("a", more="p2"), TOO_LARGE, TOO_LARGE, page("b", version="2"))
    assert ([pod.key.name for pod in found.pods], found.version) == (["a", "b"], "2")
    assert limits == ["500", "500", "125", "31"]


def test_a_single_pod_too_large_to_hold_is_an_error() -> None:
    with pytest.raises(AnswerTooLarge):
        listing(TOO_LARGE, TOO_LARGE, page_size=3)


def test_a_list_that_never_ends_is_given_up() -> None:
    with pytest.raises(ApiError, match="the list does not end after 1000 pages"):
        listing(*[page("a", more="again")] * 1001)


def test_every_page_is_announced() -> None:
    announced: list[int] = []
    api = ScriptedApi([page(more="p2"), page()], TurningClock())
    list_pods(api, "node1", 500, before_page=lambda: announced.append(len(api.requests)))  # type: ignore[arg-type]
    assert announced == [0, 1]


@pytest.mark.parametrize("items", [None, [], [{}], [7, None, "x"], [{"metadata": {"uid": "1"}}]])
def test_a_list_without_items_or_with_nameless_ones_has_no_pods(items: object) -> None:
    assert listing(page() | {"items": items})[0] == Listing([], "1")


@pytest.mark.parametrize("items", [7, "x", {"a": 1}, True])
def test_items_that_are_no_list_are_an_error_and_nothing_is_taken_as_gone(items: object) -> None:
    with pytest.raises(ApiError, match="the answer is not a list of pods: 'items' must be a list"):
        listing(page() | {"items": items})


@pytest.mark.parametrize("metadata", [None, {}, {"resourceVersion": ""}, {"resourceVersion": 7}, []])
def test_a_list_without_a_version_is_an_error(metadata: object) -> None:
    with pytest.raises(ApiError, match="the list has no resourceVersion"):
        listing(page() | {"metadata": metadata})


def test_reads_an_event() -> None:
    event = parse_event(b'{"type":"MODIFIED","object":{"metadata":{"name":"web","resourceVersion":"7"}}}')
    assert (event.kind, event.version) == ("MODIFIED", "7")
    assert event.pod is not None
    assert event.pod.key.name == "web"


def test_a_bookmark_is_a_version_without_a_pod() -> None:
    event = parse_event(b'{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"9"}}}')
    assert (event.version, event.pod) == ("9", None)


@pytest.mark.parametrize(
    "line",
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
    ],
)
def test_half_a_line_or_what_is_no_event_is_garbled(line: bytes) -> None:
    with pytest.raises(GarbledWatch):
        parse_event(line)


def test_an_error_event_is_raised() -> None:
    with pytest.raises(ApiError, match="410 too old") as caught:
        parse_event(b'{"type":"ERROR","object":{"code":410,"message":"too old"}}')
    assert caught.value.status == 410
