"""Finds in the text of a kubeconfig the cluster and the user of its current context. Pure.

It checks the types of all entries as client-go does when it loads a file: a file that kubectl refuses is not half
understood here. Errors never quote a value that may be a credential.
"""

from __future__ import annotations

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


class Current(NamedTuple):
    """The entries of the current context, with their names. The user's is empty if there is none."""

    cluster_name: str
    cluster: Json
    user_name: str
    user: Json


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


def current(document: Json) -> Current:
    """The entries of the current context. Raises KubeconfigError, which names the key, not the file."""
    sections = _checked(document)
    name = document.get("current-context")
    if not name:
        raise KubeconfigError("current-context is missing; set it to one of its contexts")
    context = _named(sections, "contexts", name)
    cluster, user = context.get("cluster") or "", context.get("user") or ""
    # Without a user, as behind `kubectl proxy`, or with one that is not there, client-go is anonymous.
    return Current(cluster, _named(sections, "clusters", cluster), user, sections["users"].get(user, {}))


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
            raise ValueError(f"{section} must hold mappings, not {json_kind(entry)}")  # noqa: TRY004 - one error for all faults
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
        raise ValueError(f"{section}, entry {shown(lenient(entry, 'name', str))}: {fault}") from None
    return entry.get("name") or "", value


def _named(sections: Mapping[str, Mapping[str, Json]], section: str, name: str) -> Json:
    try:
        return sections[section][name]
    except KeyError:
        raise KubeconfigError(f"{section} has no {shown(name)}") from None
