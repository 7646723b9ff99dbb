"""Clients with the TLS context of their credentials. All addresses of a server share the time limit of a connection."""

from __future__ import annotations

import socket

from kubernetes.client import ApiClient, Configuration
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from podagent import __version__
from podagent.timelimit import connect


class _Connecting(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        timeout_s = self.timeout if isinstance(self.timeout, (int, float)) else None
        try:
            return connect(self._dns_host, self.port, timeout_s, self.socket_options or ())
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"connection to {self.host}: {error}") from error
        except OSError as error:
            raise NewConnectionError(self, f"connection to {self.host}: {error}") from error


class _Tls(_Connecting, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connecting


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _Tls


_POOLS = {"http": _Pool, "https": _TlsPool}


def make_client(configuration: Configuration) -> ApiClient:
    """A client for a configuration; its ``tls``, if it has one, is the TLS context."""
    client = ApiClient(configuration)
    client.user_agent = f"podagent/{__version__}"
    pools = client.rest_client.pool_manager
    pools.pool_classes_by_scheme = _POOLS
    if tls := getattr(configuration, "tls", None):
        pools.connection_pool_kw["ssl_context"] = tls
    return client
