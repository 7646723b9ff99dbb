"""A release is prepared up to its tag, or not at all. `make` is a stand-in: its targets have tests of their own."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n- A change.\n\n## [0.4.0] - 2026-11-27\n\n- An older one.\n"
PACKAGE = "src/podagent/__init__.py"


class Checkout:
    """A small repository with the release script, and a `make` that succeeds or fails."""

    def __init__(self, path: Path, make: str = "true") -> None:
        self.path = path
        for file, text in {"CHANGELOG.md": CHANGELOG, PACKAGE: '"""Docs."""\n\n__version__ = "0.4.0"\n'}.items():
            (path / file).parent.mkdir(parents=True, exist_ok=True)
            (path / file).write_text(text)
        (path / "scripts").mkdir()
        shutil.copy(ROOT / "scripts/release.sh", path / "scripts")
        tools = path.with_name("tools")
        tools.mkdir()
        (tools / "make").write_text(f'#!/bin/sh\necho "make $@"; {make}\n')
        (tools / "make").chmod(0o755)
        self._env = {"PATH": f"{tools}:/usr/bin:/bin", "CHECKS": "lint unit", "HOME": str(path), "LC_ALL": "C"}
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.name", "maintainer")
        self.git("config", "user.email", "maintainer@example.invalid")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "The beginning")
        self.git("tag", "v0.4.0")

    def git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.path), *arguments]
        return subprocess.run(command, env=self._env, text=True, capture_output=True, check=True).stdout

    def release(self, version: str) -> tuple[int, str]:
        """Exit code and output."""
        command = [str(self.path / "scripts/release.sh"), version]
        done = subprocess.run(command, env=self._env, text=True, capture_output=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def untouched(self) -> bool:
        clean = not self.git("status", "--porcelain")
        return clean and self.git("log", "--format=%s") == "The beginning\n" and self.git("tag") == "v0.4.0\n"


def test_a_release_is_checked_dated_built_committed_and_tagged(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "checkout")
    code, said = checkout.release("0.5.0")
    assert code == 0, said
    assert re.findall(r"^make .*$", said, re.MULTILINE) == ["make lint unit", "make rpm deb"]
    assert checkout.git("status", "--porcelain") == ""
    assert checkout.git("show", "-s", "--format=%s", "v0.5.0^{commit}") == "Release 0.5.0\n"
    assert '__version__ = "0.5.0"\n' in checkout.git("show", f"v0.5.0:{PACKAGE}")
    dated = r"## \[Unreleased\]\n\n## \[0\.5\.0\] - \d{4}-\d\d-\d\d\n\n- A change\.\n\n## \[0\.4\.0\]"
    assert re.search(dated, checkout.git("show", "v0.5.0:CHANGELOG.md"))


def test_a_failed_check_leaves_the_checkout_as_it_was(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "checkout", make="exit 3")
    code, said = checkout.release("0.5.0")
    assert code == 3
    assert "nothing was released" in said
    assert checkout.untouched()


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("", "Usage"),
        ("v0.5.0", "not a version"),
        ("0.5", "not a version"),
        ("0.4.0", "there already"),
        ("0.3.9", "lower"),
    ],
)
def test_an_unusable_version_is_refused(tmp_path: Path, version: str, reason: str) -> None:
    checkout = Checkout(tmp_path / "checkout")
    code, said = checkout.release(version)
    assert code == 1
    assert reason in said
    assert checkout.untouched()


def test_a_checkout_with_changes_or_without_news_is_refused(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "checkout")
    (checkout.path / "new").touch()
    assert "has changes" in checkout.release("0.5.0")[1]
    (checkout.path / "new").unlink()
    (checkout.path / "CHANGELOG.md").write_text(CHANGELOG.replace("- A change.\n\n", ""))
    checkout.git("commit", "-q", "-am", "No news")
    assert "nothing below '## [Unreleased]'" in checkout.release("0.5.0")[1]
