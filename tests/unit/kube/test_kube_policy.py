"""What follows a session of the watch: the table, cell by cell, and which row an end belongs to."""

from __future__ import annotations

import pytest

from podagent.errors import AnswerTooLarge, ApiError, KubeconfigError
from podagent.kube.feed import GarbledWatch
from podagent.kube.policy import LASTED, POLICY, SHORT, End, Failure, what_ended

# Pause, forgive, relist, drop_idle, lost, reload, longest_s: after a watch that was short, or none; and after one that
# had lasted, if there can be one.
FOLLOWS = {
    End.ENDED: ("unless_first", "never forgive"),
    End.BROKE: ("unless_first drop_idle", "unless_first forgive drop_idle"),
    End.GARBLED: ("unless_first", "unless_first forgive"),
    End.GARBLED_AGAIN: ("unless_first relist", "unless_first forgive"),
    End.VERSION_REFUSED: ("unless_first relist", "unless_first forgive relist"),
    End.BAD_REQUEST: ("always relist lost", ""),
    End.NOT_SERVED: ("always relist lost at most 5 s", "always forgive relist lost at most 5 s"),
    End.REFUSED: ("always lost", "always forgive lost"),
    End.UNREACHABLE: ("always lost", ""),
    End.UNREACHABLE_AGAIN: ("always lost reload", ""),
    End.NO_CREDENTIALS: ("always lost at most 5 s", ""),
}
# What ended the session; and the row if it did so within a watch, before one, and before one with contact lost already.
ROWS: list[tuple[Failure | None, tuple[End, End, End]]] = [
    (None, (End.ENDED, End.ENDED, End.ENDED)),
    (ApiError("connection reset"), (End.BROKE, End.UNREACHABLE, End.UNREACHABLE_AGAIN)),
    (AnswerTooLarge("a line"), (End.BROKE, End.UNREACHABLE, End.UNREACHABLE_AGAIN)),
    (ApiError("too old", 410), (End.VERSION_REFUSED,) * 3),
    (ApiError("not valid", 400), (End.VERSION_REFUSED, End.BAD_REQUEST, End.BAD_REQUEST)),
    *[(ApiError("no", status), (End.REFUSED,) * 3) for status in (401, 403, 429, 500, 503)],
    (ApiError("no", 404), (End.NOT_SERVED,) * 3),
    (AnswerTooLarge("a page", 200), (End.REFUSED, End.REFUSED, End.REFUSED)),
    (KubeconfigError("absent"), (End.NO_CREDENTIALS, End.NO_CREDENTIALS, End.NO_CREDENTIALS)),
]


@pytest.mark.parametrize("lasted", [SHORT, LASTED], ids=["short", "lasted"])
@pytest.mark.parametrize("end", End, ids=lambda end: end.name)
def test_every_end_is_followed_by_what_its_cell_of_the_table_has(end: End, lasted: bool) -> None:
    found = ""
    if step := POLICY.get((end, lasted)):
        flags = [flag for flag in ("forgive", "relist", "drop_idle", "lost", "reload") if getattr(step, flag)]
        limit = [] if step.longest_s == float("inf") else [f"at most {step.longest_s:.0f} s"]
        found = " ".join([step.pause.name.lower(), *flags, *limit])
    assert found == FOLLOWS[end][lasted]


@pytest.mark.parametrize(("failure", "rows"), ROWS)
def test_everything_that_can_end_a_session_has_its_row(failure: Failure | None, rows: tuple[End, End, End]) -> None:
    for garbled in (False, True):
        assert rows == tuple(
            what_ended(failure, watching=watching, watched=watching, garbled_before=garbled, contact_lost=lost)
            for watching, lost in [(True, False), (False, False), (False, True)]
        )


def test_a_garbled_line_differs_from_a_second_one() -> None:
    half = GarbledWatch("half a line")
    ends = [
        what_ended(half, watching=True, watched=True, garbled_before=before, contact_lost=False)
        for before in (False, True)
    ]
    assert ends == [End.GARBLED, End.GARBLED_AGAIN]


def test_a_version_from_which_a_watch_had_started_can_be_unknown_to_the_next_server() -> None:
    bad = ApiError("invalid resource version", 400)
    end = what_ended(bad, watching=False, watched=True, garbled_before=False, contact_lost=False)
    assert end is End.VERSION_REFUSED
