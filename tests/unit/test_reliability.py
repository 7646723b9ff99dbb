"""docs/reliability.md has the promises that the tests are marked with, and no others."""

from __future__ import annotations

import pytest

from reliability import ROOT, Promise, document, promises_of

GOOD = '@pytest.mark.promise("Agent: it is killed", "it starts again")\n'


def test_the_document_is_rendered_from_the_marks() -> None:
    committed = (ROOT / "docs" / "reliability.md").read_text()
    assert committed == document(), "run: python tests/reliability.py > docs/reliability.md"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (f"@pytest.mark.root\n{GOOD}@pytest.mark.parametrize('n', [1])\ndef test_a(n): ...", "test_a"),
        (f"{GOOD}class TestA:\n    def test_a(self): ...", "TestA"),
        ("class TestA:\n    " + GOOD + "    def test_a(self): ...", "TestA::test_a"),
    ],
    ids=["a function", "a class", "a method"],
)
def test_a_mark_is_a_row(source: str, name: str) -> None:
    row = Promise("Agent", "it is killed", "it starts again", f"tests/a.py::{name}")
    assert promises_of(source, "tests/a.py") == [row]


@pytest.mark.parametrize(
    "arguments",
    [
        '"Agent: it is killed"',
        '"Agent: it is killed", ""',
        '"Agent: ", "it starts"',
        '"it is killed", "it starts"',
        '"No such group: it is killed", "it starts"',
        '"Agent: it is killed", "a | b"',
        '"Agent: it is killed", "a\\nb"',
        '"Agent: it is killed", PROMISE',
        'f"Agent: {fault}", "it starts"',
        '"Agent: it is killed", promise="it starts"',
    ],
)
def test_a_mark_that_cannot_be_a_row_is_an_error_that_names_its_line(arguments: str) -> None:
    with pytest.raises(ValueError, match=r"tests/a\.py:2: .* with two literals"):
        promises_of(f"\n@pytest.mark.promise({arguments})\ndef test_a(): ...", "tests/a.py")


@pytest.mark.parametrize("source", [f"pytestmark = {GOOD[1:]}", f"{GOOD}def helper(): ..."], ids=["module", "helper"])
def test_a_mark_elsewhere_than_at_a_test_is_an_error(source: str) -> None:
    with pytest.raises(ValueError, match=r"tests/a\.py:1: .* has to decorate a test"):
        promises_of(source, "tests/a.py")
