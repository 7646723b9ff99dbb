"""The import contracts of pyproject.toml: the tree keeps each, and none lets through what it is there to stop."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
CONTRACTS: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]
LAYERS = [set(re.split(" [|:] ", layer)) for layer in CONTRACTS[0]["layers"]]
ADAPTERS = {f"podagent.{name}" for layer in LAYERS if "kube" in layer for name in layer}
NAMES_OF_REQUIREMENTS = {"pyyaml": "yaml"}
OPTIONAL = {"systemd", "yaml"}

# For each contract imports that it has to find: the module that gets the import, and what it imports there.
PLANTED = {
    "Dependencies point one way": [
        ("podagent.decide.order", "podagent.resolve.args"),
        ("podagent.resolve.args", "podagent.act.ports"),
        ("podagent.act.ports", "podagent.takeover.kaloom"),
        ("podagent.state.store", "podagent.daemon.health"),
        ("podagent.daemon.rounds", "podagent.kactus.call"),
        ("podagent.runtimes.docker", "podagent.host.netns"),
        ("podagent.errors", "podagent.messages"),
    ],
    "The package itself imports nothing": [("podagent", "podagent.errors")],
    "The core imports no adapter and no third-party package": [
        ("podagent.decide.plan", "yaml"),
        ("podagent.resolve.definition", "podagent.cni.conf"),
        ("podagent.act.executor", "podagent.host.netns"),
        ("podagent.netconf", "systemd"),
    ],
    "The core does no I/O": [
        ("podagent.decide.plan", "time"),
        ("podagent.resolve.system", "pathlib"),
        ("podagent.act.executor", "os"),
        ("podagent.foreign", "urllib.parse"),
    ],
    "Only the daemon wires": [
        ("podagent.__main__", "podagent.kube.api"),
        ("podagent.cli", "podagent.report.lines"),
        ("podagent.cli", "podagent.state.store"),
        ("podagent.daemon.workers", "podagent.host.netns"),
        ("podagent.kactus.pods", "podagent.kube.api"),
        ("podagent.kactus.run", "podagent.config"),
        ("podagent.takeover.kaloom", "podagent.state.recordfile"),
    ],
    "The command line only starts the agent": [
        ("podagent.cli", "podagent.act.executor"),
        ("podagent.__main__", "podagent.kactus.main"),
    ],
    "kactus imports only what it shares with the agent": [
        ("podagent.kactus.run", "podagent.act.outcomes"),
        ("podagent.host.netns", "podagent.state.recordfile"),  # kactus imports that module
    ],
    "Each library has one door": [
        ("podagent", "click"),
        ("podagent.config.table", "tomli"),
        ("podagent.daemon.loop", "sdnotify"),
        ("podagent.host.netns", "requests"),
        ("podagent.kactus.requests", "urllib3"),
        ("podagent.kube.api", "yaml"),
        ("podagent.messages", "systemd"),
        ("podagent.runtimes.oncethere", "docker"),
        ("podagent.state.store", "kubernetes.client"),
    ],
}


def lint_imports(source: Path) -> str:
    """What lint-imports says about the contracts in the tree below `source`."""
    command = [Path(sys.executable).with_name("lint-imports"), "--config", ROOT / "pyproject.toml", "--no-cache"]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)  # it imports from there
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def plant(source: Path, imports: Iterable[tuple[str, str]]) -> None:
    for importer, imported in imports:
        path = source / importer.replace(".", "/")
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        file.write_text(f"{file.read_text()}\nimport {imported}\n")


def arrow(importer: str, imported: str) -> str:
    """An import as the report shows it: of foreign packages it knows the name only."""
    return f"{importer} -> {imported if imported.startswith('podagent') else imported.partition('.')[0]} "


def violations(report: str, contract: str) -> str:
    """The part of the report that tells how the contract is broken."""
    found = re.search(rf"^{re.escape(contract)}\n-+\n(.*?)(?=^[^\n]+\n-+\n|\Z)", report, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of src."""
    return Path(shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__")))


def test_the_tree_keeps_every_contract() -> None:
    assert f"Contracts: {len(CONTRACTS)} kept, 0 broken." in lint_imports(ROOT / "src")


@pytest.mark.parametrize("contract", [contract["name"] for contract in CONTRACTS])
def test_a_contract_finds_the_imports_that_it_forbids(source: Path, contract: str) -> None:
    assert contract in PLANTED, f"plant an import that breaks {contract!r}: nothing shows yet that it finds one"
    plant(source, PLANTED[contract])
    report = lint_imports(source)
    found = violations(report, contract)
    assert not [each for each in PLANTED[contract] if arrow(*each) not in found], report


def test_a_new_package_has_to_be_given_its_layer(source: Path) -> None:
    (source / "podagent" / "newcomer").mkdir()
    (source / "podagent" / "newcomer" / "__init__.py").touch()
    assert "- podagent.newcomer" in violations(lint_imports(source), "Dependencies point one way")


@pytest.mark.parametrize(
    ("contract", "key", "exceptions"),
    [
        ("The core imports no adapter and no third-party package", "forbidden_modules", set()),
        ("Only the daemon wires", "protected_modules", set()),
        ("kactus imports only what it shares with the agent", "forbidden_modules", {"podagent.cni", "podagent.host"}),
    ],
)
def test_a_contract_about_the_adapters_lists_them_all(contract: str, key: str, exceptions: set[str]) -> None:
    assert listed(contract, key) >= ADAPTERS - exceptions


@pytest.mark.parametrize(
    "contract", ["The core imports no adapter and no third-party package", "Each library has one door"]
)
def test_a_contract_about_libraries_lists_every_requirement(contract: str) -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    required = {re.split("[^a-z0-9_-]", line.lower())[0] for line in setup["options"]["install_requires"].split("\n")}
    packages = {NAMES_OF_REQUIREMENTS.get(name, name) for name in required if name}
    assert listed(contract, "forbidden_modules") >= packages | OPTIONAL


@pytest.mark.parametrize("contract", ["The core imports no adapter and no third-party package", "The core does no I/O"])
def test_the_core_is_all_that_stands_below_the_adapters(contract: str) -> None:
    below = LAYERS[1 + next(number for number, layer in enumerate(LAYERS) if "kube" in layer) :]
    assert listed(contract, "source_modules") == {f"podagent.{name}" for layer in below for name in layer}


def listed(contract: str, key: str) -> set[str]:
    return next(set(each[key]) for each in CONTRACTS if each["name"] == contract)
