"""`make mutations`: fails if a defence can be taken out while all tests stay green."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from mutations.table import MUTATIONS, Mutation

_TREE = Path(__file__).parents[2]
_LONGEST_S = 120
_TESTS_FAILED = 1


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="podagent-mutations-") as directory:
        copy = Path(directory)
        for part in ("src", "tests", "pyproject.toml"):
            (shutil.copytree if (_TREE / part).is_dir() else shutil.copy)(_TREE / part, copy / part)
        faults = [fault for mutation in MUTATIONS if (fault := _try(copy, mutation))]
    print("\n".join(faults) or f"{len(MUTATIONS)} mutations, and tests turned red for each")
    return 1 if faults else 0


def _try(copy: Path, mutation: Mutation) -> str:
    """What is wrong with the mutation; "" if its tests turn red."""
    file = copy / "src/podagent" / mutation.file
    source = file.read_text(encoding="utf-8")
    found = source.count(mutation.text)
    if found != 1:
        return (
            f"{mutation.promise}: {mutation.file} has {found} times, instead of once:\n{mutation.text}\n"
            "Adapt tests/mutations/table.py, so that it takes out what defends the promise now."
        )
    file.write_text(source.replace(mutation.text, mutation.replacement), encoding="utf-8")
    try:
        status, output = _run(copy, mutation)
    finally:
        file.write_text(source, encoding="utf-8")
    print("red  " if status == _TESTS_FAILED else "GREEN", mutation.promise, flush=True)
    if status == _TESTS_FAILED:
        return ""
    tests = " ".join(mutation.tests)
    return f"{mutation.promise}: {tests} did not turn red (pytest ended with {status}):\n{output[-500:]}"


def _run(copy: Path, mutation: Mutation) -> tuple[int, str]:
    tests = [str(copy / "tests/unit" / each) for each in mutation.tests]
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    # CI=true fails a run with skipped tests: that would be no proof.
    environ = {key: value for key, value in os.environ.items() if key != "CI"}
    ended = subprocess.run(
        command, cwd=copy, env=environ, timeout=_LONGEST_S, check=False, capture_output=True, text=True
    )
    return ended.returncode, ended.stdout


if __name__ == "__main__":
    sys.exit(main())
