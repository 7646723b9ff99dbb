"""Whether a text can be the URL of a server. One that can raises nothing later, on the way to a connection. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

_LONGEST_LABEL = 63  # RFC 1035, section 2.3.4


def is_url(text: str) -> bool:
    """Whether it is an ``https://`` or ``http://`` URL with a host."""
    if not text.startswith(("https://", "http://")) or not _is_plain(text):
        return False
    try:
        parts = urlsplit(text)
        return is_host(parts.hostname or "") and parts.port != 0
    except ValueError:
        return False


def is_host(text: str) -> bool:
    """Whether it can be looked up: an address, or a name of labels of a length that Python accepts."""
    labels = text.removesuffix(".").split(".")
    return _is_plain(text) and all(0 < len(label) <= _LONGEST_LABEL for label in labels)


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
