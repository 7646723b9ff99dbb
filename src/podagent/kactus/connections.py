"""Connects to the API server, through a proxy if need be, using only the standard library."""

from __future__ import annotations

import http.client
import socket
import ssl
from typing import Any, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from podagent.errors import KubeconfigError
from podagent.kubeconfig import tls
from podagent.kubeconfig.proxy import proxy_authorization
from podagent.kubeconfig.reader import Credentials
from podagent.timelimit import connect

_PORTS = {"http": 80, "https": 443}


class Route(NamedTuple):
    """A connection that is not made yet, and what requests on it need for the proxy.

    Attributes:
        prefix: beginning of each request's target.
        headers: additional ones.
    """

    connection: http.client.HTTPConnection
    prefix: str
    headers: dict[str, str]


def route(credentials: Credentials, silence_s: float) -> Route:
    """The way to the server.

    Args:
        credentials: for the server.
        silence_s: timeout of each operation on the socket, in seconds.

    Raises:
        KubeconfigError: a certificate or the proxy cannot be used.
    """
    url, proxy = urlsplit(credentials.server), urlsplit(credentials.proxy)
    if proxy.scheme == "https":
        raise KubeconfigError(f"{credentials.origin}: kactus reaches a proxy over http:// only, not over https://")
    first, path = _address(proxy if credentials.proxy else url), url.path.rstrip("/")
    authorization = proxy_authorization(credentials.proxy)
    for_proxy = {"Proxy-Authorization": authorization} if authorization else {}
    if url.scheme == "http":
        prefix = f"http://{url.netloc.rpartition('@')[2]}{path}" if credentials.proxy else path
        return Route(_Plain(*first, timeout=silence_s), prefix, for_proxy)
    host, port = _address(url)
    name = credentials.tls_server_name or host
    connection = _Tls(*first, name, timeout=silence_s, context=tls.context(credentials))
    if credentials.proxy:
        connection.set_tunnel(f"[{host}]" if ":" in host else host, port, for_proxy)
    return Route(connection, path, {})


def _address(url: SplitResult) -> tuple[str, int]:
    # http.client would take the end of an IPv6 address for a port that it is not given.
    return unquote(url.hostname or ""), url.port or _PORTS[url.scheme]


def _connected(connection: http.client.HTTPConnection) -> socket.socket:
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    return connect(connection.host, connection.port, connection.timeout, options)


class _Plain(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = _connected(self)


class _Tls(http.client.HTTPSConnection):
    """A connection that may expect another name in the certificate than the host's."""

    def __init__(self, host: str, port: int, server_name: str, *, context: ssl.SSLContext, **more: Any) -> None:
        super().__init__(host, port, context=context, **more)
        self._tls = context
        self._server_name = server_name

    def connect(self) -> None:
        self.sock = _connected(self)
        if self._tunnel_host:  # type: ignore[attr-defined]
            self._tunnel()  # type: ignore[attr-defined]
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._server_name)
