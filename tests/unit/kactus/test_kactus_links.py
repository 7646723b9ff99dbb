from __future__ import annotations

import os
from pathlib import Path

import pytest

from podagent.host import links
from podagent.kactus.failure import Failure
from podagent.kactus.links import link_names, require_foreign

OWN = "/proc/self/ns/net"


def test_our_own_namespace_is_refused_under_any_path(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(OWN)
    for path in (OWN, f"/proc/{os.getpid()}/ns/net", str(tmp_path / "link")):
        with pytest.raises(Failure, match="should not be the same") as caught:
            require_foreign(path)
        assert caught.value.code == 8
    require_foreign(str(tmp_path))


def test_the_links_of_a_process_namespace_are_read() -> None:
    assert link_names(f"/proc/{os.getpid()}/ns/net") == links.link_names()


@pytest.mark.parametrize("path", ["/proc/999999999/ns/net", "/nowhere", "/dev/null"])
def test_a_namespace_that_cannot_be_looked_into_is_an_error_and_not_an_empty_answer(path: str) -> None:
    with pytest.raises(Failure, match="cannot look into") as caught:
        link_names(path)
    assert caught.value.code == 8
