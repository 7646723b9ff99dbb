"""Chooses the proxy on the way to the API server, as Go's net/http does. Pure.

Unlike Python's own functions: capital names come first, a loopback address is never behind a proxy of the environment,
``.example`` does not match ``example``, and entries may be networks.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from podagent.errors import KubeconfigError
from podagent.kubeconfig.url import is_url

_PORTS = {"http": 80, "https": 443}
_Network = Any  # of `ipaddress`, or None


def proxy_of(server: str, proxy_url: str, environ: Mapping[str, str]) -> str:
    """The URL of the proxy, "" without one.

    Args:
        server: a URL.
        proxy_url: of the kubeconfig; used without regard to the environment.
        environ: with ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY``, or the same in lower case.

    Raises:
        KubeconfigError: the proxy is not the URL of an HTTP proxy.
    """
    if proxy_url:
        return _checked(proxy_url, "proxy-url")
    url = urlsplit(server)
    name = f"{url.scheme}_proxy".upper()
    value = _variable(environ, name)
    if not value or _passed_by(url, _variable(environ, "NO_PROXY")):
        return ""
    return _checked(value if "://" in value else f"http://{value}", name)


def proxy_authorization(proxy: str) -> str:
    """Value of the header by which the user of a proxy's URL identifies, "" without one."""
    parts = urlsplit(proxy)
    if parts.username is None:
        return ""
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name) or environ.get(name.lower(), "")


def _checked(url: str, source: str) -> str:
    if not is_url(url):
        raise KubeconfigError(f"{source} is not an http:// or https:// URL")  # unseen: it may have a password
    return url


def _passed_by(url: SplitResult, no_proxy: str) -> bool:
    host, port = (url.hostname or "").rstrip("."), url.port or _PORTS[url.scheme]
    address = _network(host)
    if host == "localhost" or (address and address.is_loopback):
        return True
    entries = (entry.strip().lower() for entry in no_proxy.split(","))
    return any(entry == "*" or _matches(entry, host, address, port) for entry in entries)


def _matches(entry: str, host: str, address: _Network, port: int) -> bool:
    if address and (network := _network(entry)):
        return bool(network.version == address.version and address.subnet_of(network))
    name, colon, of_port = entry.rpartition(":") if entry[-1:].isdigit() else (entry, "", "")
    if not colon:
        name = entry
    elif not of_port.isdecimal() or int(of_port) != port:
        return False
    if address:
        return bool(address == _network(name.strip("[]")))
    name = name.removeprefix("*")
    return bool(name) and (host.endswith(name) if name.startswith(".") else f".{host}".endswith(f".{name}"))


def _network(text: str) -> _Network:
    """A network, or an address as a network of its own; None if it is neither."""
    import ipaddress  # noqa: PLC0415 - kactus rarely needs it

    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
