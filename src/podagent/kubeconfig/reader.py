"""Loads credentials from a kubeconfig and the files that it names, or from the service account of a pod.

It never contacts the API server and keeps no state: callers load again when the server rejects the credentials.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from typing import NamedTuple

from podagent.errors import KubeconfigError, KubeconfigUnreadable
from podagent.foreign import printable, shown
from podagent.kubeconfig import document
from podagent.kubeconfig.choice import Chosen, Material, choose
from podagent.kubeconfig.plugin import Run
from podagent.kubeconfig.proxy import proxy_of
from podagent.kubeconfig.url import is_host, is_url

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_LARGEST = 16 << 20


class Credentials(NamedTuple):
    """A server, and what proves its identity and ours.

    Attributes:
        origin: the source, for messages.
        server: an ``https://`` or ``http://`` URL.
        authorization: value of the header, or "".
        authority: certificates in PEM that the server's must lead to; empty for those of the system.
        certificate: client certificate with its key in PEM, or empty.
        insecure: the server's certificate is not checked.
        tls_server_name: name expected in the server's certificate; "" for the host of `server`.
        proxy: URL of the proxy on the way to the server, or "".
    """

    origin: str
    server: str
    authorization: str = ""
    authority: bytes = b""
    certificate: bytes = b""
    insecure: bool = False
    tls_server_name: str = ""
    proxy: str = ""


def load(path: str, environ: Mapping[str, str], run: Run) -> Credentials:
    """The credentials of a kubeconfig's current context.

    Args:
        path: the kubeconfig.
        environ: of this process: its proxies, and for an exec plugin.
        run: runs an exec plugin.

    Raises:
        KubeconfigError: the text names the file and the key; KubeconfigUnreadable if a file cannot be read.
    """
    origin = f"kubeconfig {path}"
    text = _read(path, f"{origin} cannot be read").decode("utf-8", "replace")
    parsed = document.mapping(text, origin)
    directory = os.path.dirname(path) or "."  # noqa: PTH120 - kactus does without pathlib
    try:
        chosen = choose(document.current(parsed), directory)
        _require_server(chosen)
        proxy = proxy_of(chosen.server, chosen.proxy_url, environ)
        return _assembled(origin, chosen, proxy, environ, run)
    except KubeconfigUnreadable as fault:
        raise KubeconfigUnreadable(f"{origin}: {fault}") from None
    except KubeconfigError as fault:
        raise KubeconfigError(f"{origin}: {fault}") from None


def load_service_account(environ: Mapping[str, str], directory: str = SERVICE_ACCOUNT) -> Credentials | None:
    """The credentials of the pod that this process runs in, None outside of a pod. Raises KubeconfigError."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        return None
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    origin = f"service account in {directory}"
    if not is_url(server):
        raise KubeconfigError(f"KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT make no URL: {shown(server)}")
    token = _token(_read(f"{directory}/token", f"{origin}: cannot read {directory}/token"))
    authority = _read(f"{directory}/ca.crt", f"{origin}: cannot read {directory}/ca.crt")
    try:
        return Credentials(origin, server, _bearer(token), authority, proxy=proxy_of(server, "", environ))
    except KubeconfigError as fault:
        raise KubeconfigError(f"{origin}: {fault}") from None


def _assembled(origin: str, chosen: Chosen, proxy: str, environ: Mapping[str, str], run: Run) -> Credentials:
    authorization = _authorization(chosen)
    certificate = _with_key(chosen.certificate, chosen.key)
    if chosen.plugin and not (authorization or certificate):  # as in client-go, they take precedence
        printed = run(chosen.plugin, environ)
        authorization, certificate = _bearer(printed.token), printed.certificate
    return Credentials(
        origin=origin,
        server=chosen.server.rstrip("/"),
        authorization=authorization,
        authority=_content(chosen.authority),
        certificate=certificate,
        insecure=chosen.insecure,
        tls_server_name=chosen.tls_server_name,
        proxy=proxy,
    )


def _require_server(chosen: Chosen) -> None:
    if not chosen.server:
        raise KubeconfigError("the cluster of the current context has no server")
    if not is_url(chosen.server):
        raise KubeconfigError(f"server {shown(chosen.server)} is not an https:// or http:// URL")
    if chosen.tls_server_name and not is_host(chosen.tls_server_name):
        raise KubeconfigError(f"tls-server-name {shown(chosen.tls_server_name)} is not the name of a host")


def _authorization(chosen: Chosen) -> str:
    if chosen.token_file or chosen.token:
        return _bearer(_token_of_file(chosen) if chosen.token_file else chosen.token)
    if not chosen.username and not chosen.password:
        return ""
    pair = f"{chosen.username}:{chosen.password}".encode(errors="replace")
    return f"Basic {base64.b64encode(pair).decode()}"


def _token_of_file(chosen: Chosen) -> str:
    """The token in the file; the one beside it may be older, and is only for a file that has none."""
    try:
        token = _token(_read(chosen.token_file, f"cannot read tokenFile {printable(chosen.token_file, 300)}"))
        if not token:
            raise KubeconfigUnreadable(f"tokenFile {printable(chosen.token_file, 300)} is empty")
    except KubeconfigUnreadable:
        if chosen.token:
            return chosen.token
        raise
    return token


def _token(content: bytes) -> str:
    return content.decode("ascii", "replace").strip()


def _bearer(token: str) -> str:
    """The header's value. The newline at the end of a file is no part of a token."""
    value = token.strip()
    if not value.isascii() or not value.isprintable() or " " in value:
        raise KubeconfigError("the token contains invalid characters")
    return f"Bearer {value}" if value else ""


def _with_key(certificate: Material, key: Material) -> bytes:
    return _content(certificate) + b"\n" + _content(key) if any(certificate) else b""


def _content(material: Material) -> bytes:
    if not material.file:
        return material.data
    return _read(material.file, f"cannot read {printable(material.file, 300)}")


def _read(path: str, failure: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - kactus does without pathlib
            return file.read(_LARGEST)
    except OSError as fault:
        raise KubeconfigUnreadable(f"{failure}: {fault.strerror}") from None
    except ValueError:
        raise KubeconfigError(f"{failure}: this cannot be the name of a file") from None
