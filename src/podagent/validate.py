"""Full-match validation of all strings from outside: annotations, definitions, plugin configuration.

Pure. A valid string is safe as a CNI_ARGS value, an API path segment or an interface name respectively, but is never
used as a file name.
"""

from __future__ import annotations

import posixpath
import re

_DNS1123_LABEL = "[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"{_DNS1123_LABEL}(?:\.{_DNS1123_LABEL})*")
_LABEL = re.compile(_DNS1123_LABEL)
_MAC = re.compile(r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}")
_CNI_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]*")
_UID = re.compile(r"[0-9a-zA-Z_.:\-]{1,253}")
_IFNAME_FORBIDDEN = re.compile(r"[/:\s\x00]")


def is_dns1123_subdomain(text: str) -> bool:
    """Whether `text` is a valid Kubernetes object name: RFC 1123 subdomain, at most 253 characters."""
    return len(text) <= 253 and _SUBDOMAIN.fullmatch(text) is not None


def is_dns1123_label(text: str) -> bool:
    """Whether `text` is a valid Kubernetes namespace name: RFC 1123 label, at most 63 characters."""
    return len(text) <= 63 and _LABEL.fullmatch(text) is not None


def is_pod_key(namespace: str, name: str, uid: str) -> bool:
    """Whether a pod can have these."""
    return is_dns1123_label(namespace) and is_dns1123_subdomain(name) and is_uid(uid)


def is_uid(text: str) -> bool:
    """Whether `text` can be the UID of a pod. For static pods, that is more than a UUID."""
    return _UID.fullmatch(text) is not None


def is_mac(text: str) -> bool:
    """Whether `text` is a non-zero unicast EUI-48 address in colon notation."""
    if _MAC.fullmatch(text) is None:
        return False
    return not int(text[:2], 16) & 1 and text != "00:00:00:00:00:00"


def is_cni_name(text: str) -> bool:
    """Whether `text` is a valid network name or container ID (CNI SPEC, sections 1 and 2)."""
    return _CNI_NAME.fullmatch(text) is not None


def is_container_id(text: str) -> bool:
    """Whether `text` is a valid container ID (CNI SPEC, section 2) of at most 128 characters.

    Runtimes' have 64 digits; file and cgroup names are made of them.
    """
    return len(text) <= 128 and is_cni_name(text)


def is_plain_path(text: str) -> bool:
    """Whether `text` is an absolute path, normalised, of printable characters and not too long for the kernel."""
    return text.startswith("/") and len(text) <= 4096 and text.isprintable() and posixpath.normpath(text) == text


def is_interface_name(text: str) -> bool:
    """Whether Linux and CNI accept `text` as an interface name: 1 to 15 bytes, no '/', ':' or white space."""
    size = len(text.encode("utf-8", "surrogatepass"))
    return 1 <= size <= 15 and text not in (".", "..") and _IFNAME_FORBIDDEN.search(text) is None
