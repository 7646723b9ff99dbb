"""The table of kubeconfigs says what kubectl does; the unit tests show that the agent and kactus do the same."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from unit.kubeconfig.observed import Observer, observer
from unit.kubeconfig.table import CASES, Case, Seen


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observer]:
    with observer(tmp_path_factory.mktemp("servers")) as made:
        yield made


def kubectl(path: str, environ: Mapping[str, str]) -> None:
    # Without a terminal or a home of its own, and with nothing to answer the question for a user's name.
    env = {**environ, "HOME": str(Path(path).parent)}
    command = ["kubectl", "get", "--raw", "/x", "--kubeconfig", path]
    subprocess.run(command, stdin=subprocess.DEVNULL, env=env, capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_table_of_kubeconfigs_says_what_kubectl_does(observed: Observer, tmp_path: Path, case: Case) -> None:
    expected, seen = case.expected, observed.seen(case, tmp_path, kubectl)
    # `--raw` is an absolute path.
    assert seen == (expected._replace(path="/x") if isinstance(expected, Seen) else expected)
