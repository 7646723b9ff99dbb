"""What follows a session of the watch: the table, cell by cell, and which row an end belongs to."""

from __future__ import annotations

import itertools

import pytest

from podagent.errors import AnswerTooLarge, ApiError, KubeconfigError
from podagent.kube.podlist import GarbledWatch
from podagent.kube.policy import LASTED, POLICY, SHORT, End, Failure, what_ended

# pause, forgive, relist, drop_idle, lost, reload, longest_s
CELLS = {
    (End.ENDED, LASTED): "never forgive",
    (End.ENDED, SHORT): "unless_first",
    (End.BROKE, LASTED): "unless_first forgive drop_idle",
    (End.BROKE, SHORT): "unless_first drop_idle",
    (End.GARBLED, LASTED): "unless_first forgive",
    (End.GARBLED, SHORT): "unless_first",
    (End.GARBLED_AGAIN, LASTED): "unless_first forgive",
    (End.GARBLED_AGAIN, SHORT): "unless_first relist",
    (End.VERSION_REFUSED, LASTED): "unless_first forgive relist",
    (End.VERSION_REFUSED, SHORT): "unless_first relist",
    (End.REFUSED, LASTED): "always forgive lost",
    (End.REFUSED, SHORT): "always lost",
    (End.UNREACHABLE, SHORT): "always lost",
    (End.UNREACHABLE_AGAIN, SHORT): "always lost reload",
    (End.NO_CREDENTIALS, SHORT): "always lost at most 5 s",
}
FAILURES: list[Failure | None] = [
    None,
    KubeconfigError("absent"),
    GarbledWatch("half a line"),
    *(ApiError("refused", status) for status in (0, 400, 401, 403, 404, 410, 429, 500, 503)),
    AnswerTooLarge("a page", 200),
    AnswerTooLarge("a line"),
]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell[0].name}-{'lasted' if cell[1] else 'short'}")
def test_every_cell_of_the_table_says_what_follows(cell: tuple[End, bool]) -> None:
    step = POLICY[cell]
    flags = [flag for flag in ("forgive", "relist", "drop_idle", "lost", "reload") if getattr(step, flag)]
    limit = [] if step.longest_s == float("inf") else [f"at most {step.longest_s:.0f} s"]
    assert " ".join([step.pause.name.lower(), *flags, *limit]) == CELLS[cell]


def test_the_table_has_no_other_cells() -> None:
    assert set(POLICY) == set(CELLS)


def test_a_watch_that_lasted_forgives_what_failed_before_it_and_no_other_does() -> None:
    assert all(step.forgive == lasted for (_, lasted), step in POLICY.items())


def test_everything_that_can_end_a_session_has_a_row() -> None:
    for failure, watching, garbled, lost in itertools.product(FAILURES, *[[False, True]] * 3):
        if isinstance(failure, KubeconfigError) and watching:
            continue  # credentials are read before a watch begins
        end = what_ended(failure, watching=watching, garbled_before=garbled, contact_lost=lost)
        assert (end, SHORT) in POLICY
        assert not watching or (end, LASTED) in POLICY


def ended(failure: Failure | None, *, watching: bool = True, garbled: bool = False, lost: bool = False) -> End:
    return what_ended(failure, watching=watching, garbled_before=garbled, contact_lost=lost)


def test_an_end_without_a_failure_is_the_servers() -> None:
    assert ended(None) is End.ENDED


def test_no_answer_is_a_broken_watch_once_it_had_begun_and_else_a_server_out_of_reach() -> None:
    failure = ApiError("connection reset")
    assert ended(failure) is End.BROKE
    assert ended(failure, watching=False) is End.UNREACHABLE
    assert ended(failure, watching=False, lost=True) is End.UNREACHABLE_AGAIN


@pytest.mark.parametrize("status", [400, 410])
@pytest.mark.parametrize("watching", [False, True])
def test_a_version_can_be_refused_before_and_within_a_watch(status: int, watching: bool) -> None:
    assert ended(ApiError("too old", status), watching=watching) is End.VERSION_REFUSED


@pytest.mark.parametrize("status", [200, 401, 403, 429, 500, 503])
@pytest.mark.parametrize("watching", [False, True])
def test_every_other_answer_is_a_refusal(status: int, watching: bool) -> None:
    assert ended(ApiError("no", status), watching=watching) is End.REFUSED


def test_a_garbled_line_is_told_from_the_next_one() -> None:
    assert ended(GarbledWatch("half a line")) is End.GARBLED
    assert ended(GarbledWatch("half a line"), garbled=True) is End.GARBLED_AGAIN


def test_unusable_credentials_are_no_contact_at_all() -> None:
    assert ended(KubeconfigError("absent"), watching=False, lost=True) is End.NO_CREDENTIALS
