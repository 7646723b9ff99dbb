"""Renders docs/reliability.md from the marks `promise` of the tests: the fault, what holds all the same, and the test.

To update it: `python tests/reliability.py > docs/reliability.md`.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
# In the order of the page; a fault begins with the name of its group and a colon.
GROUPS = (
    "Agent", "Plugins", "Pods", "API server", "Credentials", "Container runtime",
    "Definitions", "Annotations", "Interfaces", "Load", "State directory", "Node", "Reboot and upgrade", "kactus",
)  # fmt: skip
_MARK = "pytest.mark.promise"
_HEADER = """\
# Reliability

Which fault, what podagent promises all the same, and the test that shows it. The promise is a mark of the test,
`@pytest.mark.promise("group: fault", "promise")`. This page is rendered from these marks: do not edit it, run
`python tests/reliability.py > docs/reliability.md`. [CONTRIBUTING.md](../CONTRIBUTING.md#test) says how to run tests.
"""


class Promise(NamedTuple):
    """One row. `test`: path below the root, and the name of the test, as pytest takes them."""

    group: str
    fault: str
    promise: str
    test: str


def promises_of(source: str, path: str) -> list[Promise]:
    """The promises in the text of a module; ValueError, with the line, for a mark that cannot be a row."""
    tree = ast.parse(source)
    tests = {id(decorator): name for name, decorator in _decorators(tree, "")}
    marks = [each for each in ast.walk(tree) if isinstance(each, ast.Call) and ast.unparse(each.func) == _MARK]
    return [_row(mark, path, tests.get(id(mark))) for mark in marks]


def _decorators(parent: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, ast.expr]]:
    """Those of tests and of classes of tests, each with the name of what it decorates."""
    for node in parent.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name.lower().startswith("test"):
            yield from ((prefix + node.name, decorator) for decorator in node.decorator_list)
            if isinstance(node, ast.ClassDef):
                yield from _decorators(node, f"{prefix}{node.name}::")


def _row(mark: ast.Call, path: str, name: str | None) -> Promise:
    texts = [each.value for each in mark.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    if name and len(texts) == len(mark.args) == 2 and not mark.keywords:
        group, _, fault = texts[0].partition(": ")
        if group in GROUPS and fault.strip() and texts[1].strip() and not set("|\n") & set("".join(texts)):
            return Promise(group, fault, texts[1], f"{path}::{name}")
    wanted = f'two literals of one line, "group: fault" and "promise"; groups: {", ".join(GROUPS)}'
    raise ValueError(f"{path}:{mark.lineno}: {_MARK} has to decorate a test, with {wanted}")


def document() -> str:
    """The page, with all promises of the tests. ValueError: see `promises_of`."""
    texts = {path.relative_to(ROOT).as_posix(): path.read_text() for path in sorted((ROOT / "tests").rglob("*.py"))}
    rows = [row for path, text in texts.items() if _MARK in text for row in promises_of(text, path)]
    return "\n".join([_HEADER, *(_section(group, rows) for group in GROUPS)])


def _section(group: str, rows: list[Promise]) -> str:
    table = [f"| {row.fault} | {row.promise} | `{row.test}` |" for row in rows if row.group == group]
    return "\n".join([f"## {group}\n", "| fault | promise | test |", "|---|---|---|", *table, ""])


if __name__ == "__main__":
    sys.stdout.write(document())
