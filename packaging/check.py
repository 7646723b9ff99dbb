"""Fails if the tree of libraries lacks a module or a licence, or the manual page an option. Usage: check.py TREE MANUAL

Run by each Python that is there, isolated, so that nothing comes from elsewhere.
"""

import importlib
import pkgutil
import sys
from pathlib import Path

tree, manual = sys.argv[1:]
sys.dont_write_bytecode = True
sys.path.insert(0, tree)

import podagent  # noqa: E402
from podagent.config import SETTINGS  # noqa: E402

for module in pkgutil.walk_packages(podagent.__path__, "podagent."):
    if not module.name.endswith(".__main__"):
        importlib.import_module(module.name)
importlib.import_module("tomli")  # which later Pythons have themselves

unlicensed = [each.name for each in Path(tree).glob("*.dist-info") if not [*each.glob("**/LICEN[CS]E*")]]
if unlicensed:
    sys.exit(f"no text of a licence is in {', '.join(unlicensed)}")

text = Path(manual).read_text(encoding="utf-8").replace("\\-", "-")
missing = [f"--{setting.key}" for setting in SETTINGS if f"--{setting.key} " not in text]
if missing:
    sys.exit(f"{manual} does not tell of {', '.join(missing)}")
