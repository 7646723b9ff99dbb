"""Every message that has an ID is explained by the catalog, and nothing else is in there."""

from __future__ import annotations

import re
from pathlib import Path

from podagent.messages import Message

CATALOG = (Path(__file__).parents[2] / "systemd" / "podagent.catalog").read_text()
ENTRIES = re.findall(
    r"^-- ([0-9a-f]{32})\nSubject: ([^\n]+)\nDefined-By: podagent\n(.*?)(?=^-- |\Z)", CATALOG, re.MULTILINE | re.DOTALL
)


def test_every_message_is_explained_once_and_nothing_else_is() -> None:
    assert sorted(entry for entry, _, _ in ENTRIES) == sorted(message.value for message in Message)


def test_an_explanation_has_some_lines_about_what_to_do_and_names_only_fields_that_messages_have() -> None:
    assert [subject for _, subject, text in ENTRIES if len(text.split()) < 30] == []
    assert set(re.findall(r"@(\w+)@", CATALOG)) <= {"POD", "POD_NAMESPACE", "NETWORK", "IFNAME"}
