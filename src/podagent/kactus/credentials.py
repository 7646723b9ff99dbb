"""Loads the credentials for the API server from a kubeconfig, or from the service account of a pod."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from podagent.foreign import YAML_FAULTS, json_object, printable, yaml_fault
from podagent.kactus.failure import INVALID_CONFIG, TRY_AGAIN_LATER, Failure

_SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_RARE = ("exec", "auth-provider", "username")


class Credentials(NamedTuple):
    """Server address and identity; empty strings for absent values. `origin` is for messages."""

    origin: str
    server: str
    token: str = ""
    ca_file: str = ""
    ca_data: str = ""
    certificate_file: str = ""
    key_file: str = ""
    insecure: bool = False
    tls_server_name: str = ""


def load_credentials(
    kubeconfig: str, environ: Mapping[str, str] = os.environ, service_account: str = _SERVICE_ACCOUNT
) -> Credentials:
    """Loads the credentials. Raises Failure naming the file (code 7 if malformed, 11 if it does not exist yet)."""
    try:
        found = _from_kubeconfig(kubeconfig) if kubeconfig else _from_service_account(environ, service_account)
    except OSError as fault:
        where = printable(str(fault.filename or kubeconfig), 300)
        raise Failure(TRY_AGAIN_LATER, f"cannot read {where}: {fault.strerror}") from None
    _require_usable(found)
    return found


def _require_usable(found: Credentials) -> None:
    # Checked here because the library's error message would contain the whole token.
    if not found.token.isascii() or not found.token.isprintable() or " " in found.token:
        raise Failure(INVALID_CONFIG, f"{found.origin}: the token contains invalid characters")
    if not _is_server(found.server):
        raise Failure(INVALID_CONFIG, f"{found.origin}: server {found.server!r:.80} is not an https:// or http:// URL")


def _from_service_account(environ: Mapping[str, str], directory: str) -> Credentials:
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise Failure(INVALID_CONFIG, "there is no kubeconfig in the configuration, and this is not a pod")
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    token = _text(f"{directory}/token")
    return Credentials(f"service account in {directory}", server, token, ca_file=f"{directory}/ca.crt")


def _from_kubeconfig(path: str) -> Credentials:
    document = _parse(path)
    context = _entry(path, document, "contexts", document.get("current-context"), "context")
    cluster = _entry(path, document, "clusters", context.get("cluster"), "cluster")
    user = _entry(path, document, "users", context.get("user"), "user")
    if any(user.get(key) for key in _RARE):
        return _through_the_library(path, str(cluster.get("tls-server-name") or ""))
    if cluster.get("proxy-url"):
        raise Failure(
            INVALID_CONFIG, f"kubeconfig {path}: proxy-url is not supported: kactus connects to the server directly"
        )
    token_file = user.get("tokenFile")
    return Credentials(
        origin=f"kubeconfig {path}",
        server=str(cluster.get("server") or ""),
        token=_text(_beside(path, token_file)) if token_file else str(user.get("token") or "").strip(),
        ca_file=_beside(path, cluster.get("certificate-authority")),
        ca_data=_decoded(path, cluster.get("certificate-authority-data")).decode("ascii", "replace"),
        certificate_file=_material(path, user, "client-certificate"),
        key_file=_material(path, user, "client-key"),
        insecure=cluster.get("insecure-skip-tls-verify") is True,
        tls_server_name=str(cluster.get("tls-server-name") or ""),
    )


def _is_server(url: str) -> bool:
    if not url.startswith(("https://", "http://")) or not url.isprintable():
        return False
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _parse(path: str) -> Mapping[str, Any]:
    with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
        text = file.read()
    try:
        return json_object(text)  # the format of create-kubeconfig.sh; loading `yaml` takes a tenth of a call
    except ValueError:
        return _parse_yaml(path, text)


def _parse_yaml(path: str, text: str) -> Mapping[str, Any]:
    import yaml  # type: ignore[import-untyped, unused-ignore]  # noqa: PLC0415 - see above

    try:
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - it is a safe one
    except (yaml.YAMLError, *YAML_FAULTS) as fault:
        raise Failure(INVALID_CONFIG, f"kubeconfig {path} is not YAML: {yaml_fault(fault)}") from None
    if not isinstance(document, dict):
        raise Failure(INVALID_CONFIG, f"kubeconfig {path} is not a mapping of clusters, contexts and users")
    return document


def _entry(path: str, document: Mapping[str, Any], section: str, name: object, key: str) -> Mapping[str, Any]:
    entries = document.get(section)
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(key), dict):
            found: Mapping[str, Any] = entry[key]
            return found
    raise Failure(INVALID_CONFIG, f"kubeconfig {path}: {section} has no {name!r:.80}")


def _material(path: str, user: Mapping[str, Any], key: str) -> str:
    """The path of the certificate or key: OpenSSL only reads files. Inline data goes to a file in memory."""
    if data := _decoded(path, user.get(f"{key}-data")):
        fd = os.memfd_create("kactus")  # closed at the end of this short-lived process, and not inherited by delegates
        os.write(fd, data)
        return f"/proc/self/fd/{fd}"
    return _beside(path, user.get(key))


def _decoded(path: str, value: object) -> bytes:
    try:
        return base64.b64decode("".join(str(value).split()), validate=True) if value else b""
    except ValueError:
        raise Failure(INVALID_CONFIG, f"kubeconfig {path}: a certificate or key is not base64") from None


def _beside(path: str, value: object) -> str:
    return os.path.join(os.path.dirname(path), str(value)) if value else ""  # noqa: PTH118, PTH120


def _text(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as file:  # noqa: PTH123
        return file.read().strip()


def _through_the_library(path: str, tls_server_name: str) -> Credentials:
    from pathlib import Path  # noqa: PLC0415

    from podagent.errors import KubeconfigError  # noqa: PLC0415
    from podagent.kube.credentials import load  # noqa: PLC0415 - slow, and rarely needed

    try:
        configuration = load(Path(path), os.environ)
    except KubeconfigError as fault:
        raise Failure(INVALID_CONFIG, str(fault)) from None
    token = str(configuration.api_key.get("BearerToken", ""))
    return Credentials(
        origin=f"kubeconfig {path}",
        server=configuration.host,
        token=token.partition(" ")[2] if token.lower().startswith("bearer ") else token,
        ca_file=configuration.ssl_ca_cert or "",
        certificate_file=configuration.cert_file or "",
        key_file=configuration.key_file or "",
        insecure=not configuration.verify_ssl,
        tls_server_name=tls_server_name,
    )
