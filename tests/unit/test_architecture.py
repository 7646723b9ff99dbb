"""The picture of the layers in docs/architecture.md is the one that the import contracts hold."""

from __future__ import annotations

import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]


def test_the_document_shows_the_layers_of_the_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    expected = "\n".join(["```", *layers, "```"])
    document = (ROOT / "docs" / "architecture.md").read_text()
    shown = re.search(r"^## Layers$.*?^(```$.*?^```)$", document, re.MULTILINE | re.DOTALL)
    assert shown is not None, f"docs/architecture.md needs a section '## Layers' with this block:\n{expected}"
    assert shown[1] == expected, f"the block in docs/architecture.md, section Layers, has to be:\n{expected}"
