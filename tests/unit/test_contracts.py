"""The import contracts of pyproject.toml: the tree keeps each, and each finds the imports that it forbids."""

from __future__ import annotations

import configparser
import copy
import re
from pathlib import Path

import grimp
import pytest
from importlinter import Contract, api
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.layers import LayersContract
from importlinter.contracts.protected import ProtectedContract

ROOT = Path(__file__).parents[2]
CONFIGURATION = api.read_configuration(str(ROOT / "pyproject.toml"))
CONTRACTS = {options["name"]: options for options in CONFIGURATION["contracts_options"]}
KINDS: dict[str, type[Contract]] = {
    "layers": LayersContract,
    "forbidden": ForbiddenContract,
    "protected": ProtectedContract,
}
LAYERS = "Dependencies point one way"
EMPTY = "The package itself imports nothing"
CORE = "The core imports no adapter and no third-party package"
PURE = "The core does no I/O"
WIRING = "Only the daemon wires"
CLI = "The command line only starts the agent"
KACTUS = "kactus imports only what it shares with the agent"
DOORS = "Each library has one door"

# For each contract imports that it has to find, each on its own: the importing module, and what it imports.
PLANTED = {
    LAYERS: [
        ("podagent.decide.order", "podagent.resolve.args"),
        ("podagent.resolve.args", "podagent.act.ports"),
        ("podagent.act.ports", "podagent.takeover.kaloom"),
        ("podagent.state.store", "podagent.daemon.health"),
        ("podagent.daemon.rounds", "podagent.kactus.call"),
        ("podagent.runtimes.docker", "podagent.host.netns"),
        ("podagent.errors", "podagent.messages"),
        ("podagent.kubeconfig.plugin", "podagent.cni.plugin"),
    ],
    EMPTY: [("podagent", "podagent.errors")],
    CORE: [
        ("podagent.decide.plan", "yaml"),
        ("podagent.resolve.definition", "podagent.cni.conf"),
        ("podagent.act.executor", "podagent.host.netns"),
        ("podagent.netconf", "systemd"),
    ],
    PURE: [
        ("podagent.decide.plan", "time"),
        ("podagent.resolve.system", "pathlib"),
        ("podagent.act.executor", "os"),
        ("podagent.foreign", "urllib"),
    ],
    WIRING: [
        ("podagent.__main__", "podagent.kube.api"),
        ("podagent.cli", "podagent.report.lines"),
        ("podagent.cli", "podagent.state.store"),
        ("podagent.daemon.workers", "podagent.host.netns"),
        ("podagent.kactus.pods", "podagent.kube.api"),
        ("podagent.kactus.run", "podagent.config"),
        ("podagent.takeover.kaloom", "podagent.state.recordfile"),
    ],
    CLI: [
        ("podagent.cli", "podagent.act.executor"),
        ("podagent.__main__", "podagent.kactus.main"),
    ],
    KACTUS: [
        ("podagent.kactus.run", "podagent.act.outcomes"),
        ("podagent.kactus.credentials", "podagent.kube.credentials"),
        ("podagent.host.netns", "podagent.state.recordfile"),  # kactus imports that module
    ],
    DOORS: [
        ("podagent", "click"),
        ("podagent.config.table", "tomli"),
        ("podagent.daemon.loop", "sdnotify"),
        ("podagent.host.netns", "requests"),
        ("podagent.kactus.requests", "urllib3"),
        ("podagent.kube.api", "yaml"),
        ("podagent.messages", "systemd"),
        ("podagent.runtimes.cri", "h2"),
        ("podagent.runtimes.oncethere", "docker"),
        ("podagent.state.store", "kubernetes"),
    ],
}


@pytest.fixture(scope="module")
def tree() -> grimp.ImportGraph:
    """Who imports whom, with libraries as one module each."""
    return grimp.build_graph("podagent", include_external_packages=True, cache_dir=None)


def kept(contract: str, graph: grimp.ImportGraph) -> bool:
    options = CONTRACTS[contract]
    checked = KINDS[options["type"]](contract, CONFIGURATION["session_options"], options)
    return checked.check(copy.deepcopy(graph), verbose=False).kept  # a check takes the exceptions out of its graph


@pytest.mark.parametrize("contract", CONTRACTS)
def test_the_tree_keeps_a_contract_that_finds_what_it_forbids(tree: grimp.ImportGraph, contract: str) -> None:
    assert kept(contract, tree)
    assert PLANTED.get(contract), f"plant an import that breaks {contract!r}: nothing shows yet that it finds one"
    for importer, imported in PLANTED[contract]:
        graph = copy.deepcopy(tree)
        assert importer in graph.modules
        assert imported in graph.modules or not imported.startswith("podagent")
        graph.add_import(importer=importer, imported=imported)
        assert not kept(contract, graph), f"{importer} -> {imported} is not found"


def test_a_new_package_has_to_be_given_its_layer(tree: grimp.ImportGraph) -> None:
    graph = copy.deepcopy(tree)
    graph.add_module("podagent.newcomer")
    assert not kept(LAYERS, graph)


def test_the_document_shows_the_layers_of_the_contract() -> None:
    expected = "\n".join(["```", *CONTRACTS[LAYERS]["layers"], "```"])
    document = (ROOT / "docs" / "architecture.md").read_text()
    shown = re.search(r"^## Layers$.*?^(```$.*?^```)$", document, re.MULTILINE | re.DOTALL)
    assert shown
    assert shown[1] == expected, f"the block in docs/architecture.md, section Layers, has to be:\n{expected}"


def test_a_contract_about_adapters_lists_all_of_them_and_one_about_the_core_all_below() -> None:
    layers = [{f"podagent.{name}" for name in re.split(" [|:] ", layer)} for layer in CONTRACTS[LAYERS]["layers"]]
    [number] = [number for number, layer in enumerate(layers) if "podagent.kube" in layer]
    adapters = layers[number]
    core = set().union(*layers[layers.index({"podagent.act"}) :])
    assert listed(CORE, "forbidden_modules") >= adapters
    assert listed(WIRING, "protected_modules") >= adapters
    assert listed(KACTUS, "forbidden_modules") >= adapters - {"podagent.cni", "podagent.host"}
    assert listed(CORE, "source_modules") == listed(PURE, "source_modules") == core


def test_a_contract_about_libraries_lists_every_requirement() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    required = re.findall(r"^[a-z0-9_-]+", setup["options"]["install_requires"].lower(), re.MULTILINE)
    packages = {"yaml" if name == "pyyaml" else name for name in required} | {"systemd"}
    assert len(required) > 5
    for contract in (CORE, DOORS):
        assert listed(contract, "forbidden_modules") >= packages


def listed(contract: str, key: str) -> set[str]:
    return set(CONTRACTS[contract][key])
