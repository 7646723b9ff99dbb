"""What the entries of a kubeconfig mean: how to reach the server and how to identify. Pure.

It refuses the combinations that client-go refuses (`clientcmd.ConfirmUsable`). Errors never quote a value that may be a
credential.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple

from podagent.errors import KubeconfigError
from podagent.foreign import Json, json_kind, lenient, shown
from podagent.kubeconfig.document import Current

EXEC_GROUP = "client.authentication.k8s.io"
_EXEC_VERSIONS = (f"{EXEC_GROUP}/v1", f"{EXEC_GROUP}/v1beta1")
_IMPERSONATION = ("as", "as-uid", "as-groups", "as-user-extra")


class Material(NamedTuple):
    """A certificate or key: in a file, or in the kubeconfig itself. Both are empty if there is none."""

    file: str = ""
    data: bytes = b""


class ExecPlugin(NamedTuple):
    """A command that prints credentials. `cluster_info`: the ``cluster`` that it asks to be told, or None."""

    command: str
    args: tuple[str, ...]
    env: Mapping[str, str]
    api_version: str
    hint: str
    cluster_info: Json | None


class Chosen(NamedTuple):
    """The cluster and the user of the current context. Absent texts are empty."""

    server: str
    tls_server_name: str
    insecure: bool
    authority: Material
    proxy_url: str
    certificate: Material
    key: Material
    token: str
    token_file: str
    username: str
    password: str
    plugin: ExecPlugin | None


def choose(current: Current, directory: str) -> Chosen:
    """The meaning of the current context's entries.

    Args:
        current: the entries.
        directory: the kubeconfig's; relative paths begin there.

    Raises:
        KubeconfigError: the text names the entry and the key, not the file.
    """
    try:
        return _combined(current.cluster, current.user, _Beside(directory))
    except _WrongCluster as fault:
        raise KubeconfigError(f"cluster {shown(current.cluster_name)}: {fault}") from None
    except ValueError as fault:
        raise KubeconfigError(f"user {shown(current.user_name)}: {fault}") from None


class _WrongCluster(ValueError):
    """The cluster is at fault, not the user."""


def _combined(cluster: Json, user: Json, beside: _Beside) -> Chosen:
    try:
        authority = beside.material(cluster, "certificate-authority")
        insecure = cluster.get("insecure-skip-tls-verify") is True
        if insecure and any(authority):
            raise ValueError("certificate-authority contradicts insecure-skip-tls-verify; remove one of them")
    except ValueError as fault:
        raise _WrongCluster(str(fault)) from None
    certificate, key = beside.material(user, "client-certificate"), beside.material(user, "client-key")
    if any(certificate) and not any(key):
        raise ValueError("client-certificate has no client-key; add client-key or client-key-data")
    _refuse_what_is_not_understood(user)
    return Chosen(
        server=cluster.get("server") or "",
        tls_server_name=cluster.get("tls-server-name") or "",
        insecure=insecure,
        authority=authority,
        proxy_url=cluster.get("proxy-url") or "",
        certificate=certificate,
        key=key,
        token=_token(user),
        token_file=beside.path(user.get("tokenFile")),
        username=user.get("username") or "",
        password=user.get("password") or "",
        plugin=_plugin(user, cluster, beside),
    )


def _refuse_what_is_not_understood(user: Json) -> None:
    if found := next((key for key in _IMPERSONATION if user.get(key)), None):
        raise ValueError(f"{found}: impersonation is not supported; use credentials of that user")
    if user.get("token") and (user.get("username") or user.get("password")):
        raise ValueError("both token and username are given; remove one of them")


def _token(user: Json) -> str:
    """The token. That of the provider "oidc" is not renewed here; clients of today have no other providers."""
    provider = user.get("auth-provider")
    if provider is None:
        return user.get("token") or ""
    if user.get("exec") is not None:
        raise ValueError("both auth-provider and exec are given; remove one of them")
    token = lenient(lenient(provider, "config", dict), "id-token", str)
    if provider.get("name") != "oidc" or not token:
        raise ValueError("auth-provider is only supported for oidc with an id-token; use exec, token or tokenFile")
    return user.get("token") or token


def _plugin(user: Json, cluster: Json, beside: _Beside) -> ExecPlugin | None:
    plugin: Json | None = user.get("exec")
    if plugin is None:
        return None
    command, version = plugin.get("command"), plugin.get("apiVersion")
    if not command:
        raise ValueError("exec has no command")
    if version not in _EXEC_VERSIONS:
        raise ValueError(f"exec: apiVersion {shown(version)} is not supported, only {' and '.join(_EXEC_VERSIONS)}")
    _check_interaction(plugin, version)
    return ExecPlugin(
        command=beside.path(command) if "/" in command else command,
        args=tuple(_text("args", each) for each in plugin.get("args") or ()),
        env=dict(_variable(each) for each in plugin.get("env") or ()),
        api_version=version,
        hint=plugin.get("installHint") or "",
        cluster_info=_cluster_info(cluster) if plugin.get("provideClusterInfo") else None,
    )


def _check_interaction(plugin: Json, version: str) -> None:
    mode = plugin.get("interactiveMode") or ("IfAvailable" if version.endswith("beta1") else "")
    if mode == "Always":
        raise ValueError("exec: interactiveMode Always needs a terminal, and there is none")
    if mode not in ("Never", "IfAvailable"):
        raise ValueError("exec: interactiveMode must be Never or IfAvailable")


def _text(key: str, value: object) -> str:
    if not isinstance(value, str | None):
        raise ValueError(f"exec: {key} must hold strings, not {json_kind(value)}")  # noqa: TRY004 - one error for all
    return value or ""


def _variable(entry: object) -> tuple[str, str]:
    name = _text("env", entry.get("name")) if isinstance(entry, dict) else ""
    if not isinstance(entry, dict) or not name or "=" in name:
        raise ValueError("exec: env must hold mappings with name and value")
    return name, _text("env", entry.get("value"))


def _cluster_info(cluster: Json) -> Json:
    """``spec.cluster`` of an ExecCredential, see client-authentication.v1."""
    told = ("server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data", "proxy-url")
    info = {key: cluster[key] for key in told if cluster.get(key)}
    for each in cluster.get("extensions") or ():
        if isinstance(each, dict) and each.get("name") == f"{EXEC_GROUP}/exec":
            info["config"] = each.get("extension")
    return info


class _Beside:
    """Resolves relative paths."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def path(self, value: str | None) -> str:
        return f"{self._directory}/{value}" if value and not value.startswith("/") else value or ""

    def material(self, source: Mapping[str, Any], key: str) -> Material:
        """What is at `key`, or `key` and "-data". Raises ValueError if both are there, or the data is not base64."""
        file, data = self.path(source.get(key)), source.get(f"{key}-data") or ""
        if file and data:
            raise ValueError(f"both {key} and {key}-data are given; remove one of them")
        try:
            return Material(file, base64.b64decode(data.replace("\n", "").replace("\r", ""), validate=True))
        except ValueError:
            raise ValueError(f"{key}-data is not base64") from None
