"""The network configuration list (CNI SPEC, section 1): every configuration is converted to this form. Pure.

Validates configurations, whether they come from a file or from a network definition.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from podagent import versions
from podagent.errors import NetConfError
from podagent.foreign import Json, json_kind, json_object, optional, require_kinds, shown
from podagent.validate import is_cni_name

_FLAGS = ("disableCheck", "disableGC", "loadOnlyInlinedPlugins")
_LONGEST_NAME = 253  # files and directories are named after it
_PLUGIN_KINDS = {"name": str, "cniVersion": str, "capabilities": dict, "ipam": dict}


class _Fields(NamedTuple):
    json: Json
    version: str
    name: str
    plugins: list[Json]


class NetConf(_Fields):
    """A network configuration list validated by `parse`. Immutable by convention.

    Attributes:
        json: the whole list; flags are booleans, unknown keys are preserved. ``cniVersion`` is "" if none was given:
            then plugins get none, as from libcni.
        version: ``cniVersion``, or the version of the results of plugins that get none.
        name: the network name.
        plugins: plugin configurations in the order of ADD, at least one.
    """

    __slots__ = ()

    def __new__(cls, json: Json) -> NetConf:
        """`json`: a validated list. Raises KeyError if required keys are missing."""
        return super().__new__(cls, json, json["cniVersion"] or versions.OLDEST, json["name"], json["plugins"])

    @property
    def type(self) -> str:
        """Type of the first plugin, which creates the interface."""
        return str(self.plugins[0]["type"])

    def has_flag(self, flag: str) -> bool:
        """Whether the boolean `flag`, such as ``disableCheck``, is set."""
        return self.json.get(flag) is True

    def at_least(self, floor: str) -> bool:
        """Whether ``cniVersion`` is `floor` or newer. Raises NetConfError."""
        try:
            return versions.at_least(self.version, floor)
        except ValueError as fault:
            raise NetConfError(f"network {self.name}: 'cniVersion': {fault}") from None


def parse(raw: Json | str | bytes, origin: str) -> NetConf:
    """Converts a plugin configuration, or a list (with ``plugins``), to a list. Reads no file.

    Args:
        raw: the configuration, as text or decoded.
        origin: its source (a file, a definition), used as the prefix of error messages.

    Raises:
        NetConfError: it is malformed.
    """
    conf = decode(raw, origin)
    return parse_list(conf, origin) if "plugins" in conf else parse_plugin(conf, origin)


def decode(raw: Json | str | bytes, origin: str) -> Json:
    """`raw` as a JSON object. Raises NetConfError."""
    if isinstance(raw, dict):
        return raw
    try:
        return json_object(raw)
    except ValueError as fault:
        raise NetConfError(f"{origin}: {fault}") from None


def parse_plugin(conf: Json, origin: str) -> NetConf:
    """Converts the configuration of one plugin to a list of one. Raises NetConfError."""
    plugin = checked_plugin(conf, origin)
    version = _checked_version(plugin.get("cniVersion") or "", origin)
    return NetConf({"cniVersion": version, "name": network_name(conf, origin), "plugins": [plugin]})


def parse_list(conf: Json, origin: str, more: list[Json] | None = None, where_more: str = "") -> NetConf:
    """Validates a configuration list.

    Args:
        conf: the decoded list.
        origin: prefix of error messages.
        more: validated plugins appended to the inline ones; None to use only those.
        where_more: where `more` was searched for, for the error message if there are no plugins at all.

    Raises:
        NetConfError: it is malformed.
    """
    flags = {key: _flag(conf[key], key, origin) for key in _FLAGS if key in conf}
    name = network_name(conf, origin)
    plugins = [*_inline_plugins(conf, origin), *(more or ())]
    if not plugins:
        hint = f", and {where_more} holds no .conf file" if where_more else ""
        raise NetConfError(f"{origin}: no plugins: 'plugins' is missing or empty{hint}")
    return NetConf({**conf, **flags, "cniVersion": _list_version(conf, origin), "name": name, "plugins": plugins})


def loads_only_inlined_plugins(conf: Json, origin: str) -> bool:
    """Whether the list excludes plugins from its directory (CNI SPEC, section 1). Raises NetConfError."""
    only = "loadOnlyInlinedPlugins" in conf and _flag(conf["loadOnlyInlinedPlugins"], "loadOnlyInlinedPlugins", origin)
    if only and "plugins" not in conf:
        raise NetConfError(f"{origin}: missing 'plugins', though 'loadOnlyInlinedPlugins' is true")
    return only


def checked_plugin(conf: Any, where: str) -> Json:
    """`conf` if it is a valid plugin configuration. Raises NetConfError."""
    if not isinstance(conf, dict):
        raise NetConfError(f"{where}: a plugin must be an object, not {json_kind(conf)}")
    if not conf.get("type"):
        raise NetConfError(f"{where}: missing 'type', the name of the plugin")
    _check_plugin_type(conf["type"], f"{where}: 'type'")
    try:
        require_kinds(conf, _PLUGIN_KINDS)
    except ValueError as fault:
        raise NetConfError(f"{where}: {fault}") from None
    for capability, declared in (conf.get("capabilities") or {}).items():
        if not isinstance(declared, bool):
            raise NetConfError(f"{where}: capability {shown(capability)} must be true or false")
    ipam_type = (conf.get("ipam") or {}).get("type")
    if ipam_type not in (None, ""):
        _check_plugin_type(ipam_type, f"{where}: 'ipam.type'")
    return conf


def network_name(conf: Json, origin: str) -> str:
    """The network name in `conf`. Raises NetConfError."""
    try:
        name = optional(conf, "name", str)
    except ValueError as fault:
        raise NetConfError(f"{origin}: {fault}") from None
    if name is None:
        raise NetConfError(f"{origin}: missing 'name', the name of the network")
    if not is_cni_name(name) or len(name) > _LONGEST_NAME:
        accepted = f"at most {_LONGEST_NAME} letters, digits, '_', '.' and '-'"
        raise NetConfError(f"{origin}: 'name' {name[:80]!r} is not a network name ({accepted})")
    return name


def _inline_plugins(conf: Json, origin: str) -> list[Json]:
    entries = conf.get("plugins", [])
    if not isinstance(entries, list):
        raise NetConfError(f"{origin}: 'plugins' must be a list, not {json_kind(entries)}")
    if "plugins" in conf and not entries:
        raise NetConfError(f"{origin}: 'plugins' is empty: at least one plugin is needed")
    return [checked_plugin(entry, f"{origin}: plugins[{index}]") for index, entry in enumerate(entries)]


def _check_plugin_type(value: Any, what: str) -> None:
    """Plugins execute the IPAM plugin by this name; old ones let ``../`` escape from the plugin directories."""
    if not isinstance(value, str) or not value.isprintable() or "/" in value or value in (".", ".."):
        raise NetConfError(f"{what} must be the bare file name of a plugin, not {str(value)[:80]!r}")


def _list_version(conf: Json, origin: str) -> str:
    declared, offered = conf.get("cniVersion", ""), conf.get("cniVersions", [])
    if not isinstance(declared, str):
        raise NetConfError(f"{origin}: 'cniVersion' must be a string, not {json_kind(declared)}")
    if not isinstance(offered, list) or not all(isinstance(text, str) for text in offered):
        raise NetConfError(f"{origin}: 'cniVersions' must be a list of strings")
    try:
        return _checked_version(versions.choose(declared, offered), origin)
    except ValueError as fault:
        raise NetConfError(f"{origin}: 'cniVersions': {fault}") from None


def _checked_version(text: str, origin: str) -> str:
    try:
        versions.parse(text)
    except ValueError as fault:
        raise NetConfError(f"{origin}: 'cniVersion': {fault}") from None
    return text


def _flag(value: Any, key: str, origin: str) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise NetConfError(f"{origin}: '{key}' must be true or false, not {shown(value)}")
