"""Connections of the client library to which all addresses of a server share one time limit."""

from __future__ import annotations

import socket

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

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


POOLS = {"http": _Pool, "https": _TlsPool}
"""For `urllib3.PoolManager.pool_classes_by_scheme`."""
