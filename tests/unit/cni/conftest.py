"""Executables made on the spot, so that each test shows in full what its plugin does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

MakePlugin = Callable[..., str]


@pytest.fixture
def bin_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "bin"
    directory.mkdir()
    return directory


@pytest.fixture
def make_plugin(bin_dir: Path) -> MakePlugin:
    """Makes an executable from a shell script and returns its path; in the script ``$here`` is the test's directory."""

    def make(script: str, name: str = "plugin", interpreter: str = "/bin/sh") -> str:
        path = bin_dir / name
        path.write_text(f"#!{interpreter}\nhere={bin_dir.parent}\n{script}\n")
        path.chmod(0o755)
        return str(path)

    return make
