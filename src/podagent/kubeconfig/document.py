"""Finds in the text of a kubeconfig the cluster and the user of its current context. Pure.

It checks types and combinations as client-go does when it loads a file (`clientcmd.ConfirmUsable`), so that a file that
kubectl refuses is not half understood here. Errors never quote a value that may be a credential.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple

from podagent.errors import KubeconfigError
from podagent.foreign import YAML_FAULTS, Json, json_kind, json_object, lenient, require_kinds, shown, yaml_fault

_CLUSTER: Mapping[str, type] = {
    "server": str,
    "tls-server-name": str,
    "insecure-skip-tls-verify": bool,
    "certificate-authority": str,
    "certificate-authority-data": str,
    "proxy-url": str,
    "extensions": list,
}
_USER: Mapping[str, type] = {
    **dict.fromkeys(("client-certificate", "client-certificate-data", "client-key", "client-key-data"), str),
    **dict.fromkeys(("token", "tokenFile", "username", "password", "as", "as-uid"), str),
    "as-groups": list,
    "as-user-extra": dict,
    "auth-provider": dict,
    "exec": dict,
}
_EXEC: Mapping[str, type] = {
    **dict.fromkeys(("command", "apiVersion", "installHint", "interactiveMode"), str),
    "args": list,
    "env": list,
    "provideClusterInfo": bool,
}
_SECTIONS: Mapping[str, tuple[str, Mapping[str, type]]] = {
    "clusters": ("cluster", _CLUSTER),
    "contexts": ("context", {"cluster": str, "user": str}),
    "users": ("user", _USER),
}
_EXEC_GROUP = "client.authentication.k8s.io"
_EXEC_VERSIONS = (f"{_EXEC_GROUP}/v1", f"{_EXEC_GROUP}/v1beta1")
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


def mapping(text: str, what: str) -> Json:
    """The mapping in JSON or YAML `text`. Raises KubeconfigError, which begins with `what`."""
    try:
        return json_object(text)  # the format of create-kubeconfig.sh; loading `yaml` takes a tenth of a call of kactus
    except ValueError:
        return _yaml_mapping(text, what)


def _yaml_mapping(text: str, what: str) -> Json:
    import yaml  # type: ignore[import-untyped, unused-ignore]  # noqa: PLC0415 - see above

    try:
        document = next(yaml.load_all(text, Loader=_loader(yaml)), None)  # the first one, as in client-go
    except (yaml.YAMLError, *YAML_FAULTS) as fault:
        raise KubeconfigError(f"{what} is not YAML: {yaml_fault(fault)}") from None
    if not isinstance(document, dict):
        raise KubeconfigError(f"{what} is not a mapping, as of clusters, contexts and users")
    return document


def _loader(yaml: Any) -> Any:
    """A safe loader to which dates are texts, as to Go's."""
    fast = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the other one takes seconds for what is nested deeply
    resolvers = {
        first: [each for each in candidates if not each[0].endswith(":timestamp")]
        for first, candidates in fast.yaml_implicit_resolvers.items()
    }
    return type("Loader", (fast,), {"yaml_implicit_resolvers": resolvers})


def choose(document: Json, directory: str) -> Chosen:
    """The cluster and the user of the current context.

    Args:
        document: the kubeconfig.
        directory: its own; relative paths begin there.

    Raises:
        KubeconfigError: the text names the key, not the file.
    """
    sections = _checked(document)
    name = document.get("current-context")
    if not name:
        raise KubeconfigError("current-context is missing; set it to one of its contexts")
    context = _named(sections, "contexts", name)
    cluster_name, user_name = context.get("cluster") or "", context.get("user") or ""
    cluster = _named(sections, "clusters", cluster_name)
    # Without a user, as behind `kubectl proxy`, or with one that is not there, client-go is anonymous.
    user = sections["users"].get(user_name, {})
    try:
        return _combined(cluster, user, _Beside(directory))
    except _WrongCluster as fault:
        raise KubeconfigError(f"cluster {shown(cluster_name)}: {fault}") from None
    except ValueError as fault:
        raise KubeconfigError(f"user {shown(user_name)}: {fault}") from None


class _WrongCluster(ValueError):
    """The cluster is at fault, not the user."""


def _checked(document: Json) -> dict[str, dict[str, Json]]:
    """The entries of each section by their names. Raises KubeconfigError if anything is of the wrong type."""
    try:
        require_kinds(document, {"apiVersion": str, "kind": str, "current-context": str})
        for key, only in (("apiVersion", "v1"), ("kind", "Config")):
            if document.get(key) not in (None, "", only):
                raise ValueError(f"{key} must be {only}")
        return {section: _by_name(document, section) for section in _SECTIONS}
    except ValueError as fault:
        raise KubeconfigError(str(fault)) from None


def _by_name(document: Json, section: str) -> dict[str, Json]:
    key, kinds = _SECTIONS[section]
    require_kinds(document, {section: list})
    found: dict[str, Json] = {}
    for entry in document.get(section) or []:
        if not isinstance(entry, dict | None):
            raise ValueError(f"{section} must hold mappings, not {json_kind(entry)}")  # noqa: TRY004 - as below
        name, value = _entry(section, entry or {}, key, kinds)
        if name in found:
            raise ValueError(f"{section} has two entries named {shown(name)}")
        found[name] = value
    return found


def _entry(section: str, entry: Json, key: str, kinds: Mapping[str, type]) -> tuple[str, Json]:
    try:
        require_kinds(entry, {"name": str, key: dict})
        value: Json = entry.get(key) or {}
        require_kinds(value, kinds)
        require_kinds(lenient(value, "exec", dict), _EXEC)
    except ValueError as fault:
        raise ValueError(f"{section}, entry {shown(entry.get('name'))}: {fault}") from None
    return entry.get("name") or "", value


def _named(sections: Mapping[str, Mapping[str, Json]], section: str, name: str) -> Json:
    try:
        return sections[section][name]
    except KeyError:
        raise KubeconfigError(f"{section} has no {shown(name)}") from None


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
        if isinstance(each, dict) and each.get("name") == f"{_EXEC_GROUP}/exec":
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
