"""Turns the credentials of a kubeconfig, or of a pod's service account, into a configuration of the client library."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

from kubernetes.client import Configuration
from kubernetes.utils.keepalive import tcp_keepalive_socket_options

from podagent.errors import KubeconfigError
from podagent.kubeconfig import reader, tls
from podagent.kubeconfig.plugin import Run
from podagent.kubeconfig.proxy import proxy_authorization
from podagent.kubeconfig.reader import SERVICE_ACCOUNT, Credentials

# A dead peer of an idle connection is detected within idle + interval * count = 30 s.
_KEEPALIVE_IDLE_S, _KEEPALIVE_INTERVAL_S, _KEEPALIVE_COUNT = 15, 5, 3


class Connecting(Configuration):  # type: ignore[misc, unused-ignore]
    """A configuration with the TLS context of its connections, None for plain HTTP."""

    tls: ssl.SSLContext | None = None


def load(
    kubeconfig: Path | None,
    environ: Mapping[str, str],
    run: Run,
    *,
    connections: int = 12,
    service_account: str = SERVICE_ACCOUNT,
) -> Connecting:
    """Reads the credentials, including token files.

    Args:
        kubeconfig: the file; if it is None or does not exist, the service account is used inside a pod.
        environ: the process environment, see `reader.load` and `reader.load_service_account`.
        run: runs an exec plugin.
        connections: number of idle connections to keep; at least the number of threads that call the API server.
        service_account: mount point of the service account.

    Raises:
        KubeconfigError: there are no usable credentials; the text names the file.
    """
    if kubeconfig is not None and kubeconfig.exists():
        return _configuration(reader.load(str(kubeconfig), environ, run), connections)
    found = reader.load_service_account(environ, service_account)
    if found is None:
        raise KubeconfigError(f"kubeconfig {kubeconfig or '(none given)'} does not exist, and this is not a pod")
    return _configuration(found, connections)


def stamp(kubeconfig: Path) -> object:
    """Another value after the file was replaced or changed; None if there is none."""
    try:
        status = kubeconfig.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _configuration(credentials: Credentials, connections: int) -> Connecting:
    made = Connecting(host=credentials.server)
    if credentials.authorization:
        made.api_key = {"BearerToken": credentials.authorization}
    if credentials.server.startswith("https://"):
        made.tls = tls.context(credentials)
    made.verify_ssl = not credentials.insecure
    made.tls_server_name = credentials.tls_server_name or None
    made.proxy, made.no_proxy = credentials.proxy or None, ""  # the library's own rules for the environment are others
    if authorization := proxy_authorization(credentials.proxy):
        made.proxy_headers = {"Proxy-Authorization": authorization}
    made.retries = False  # urllib3 would retry at once, and sleep for Retry-After inside the call
    made.connection_pool_maxsize = connections
    made.socket_options = tcp_keepalive_socket_options(_KEEPALIVE_IDLE_S, _KEEPALIVE_INTERVAL_S, _KEEPALIVE_COUNT)
    return made
