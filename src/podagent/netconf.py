"""The network configuration list (CNI SPEC, section 1): the one form that every configuration is brought into. Pure.

Owns what makes a configuration valid. Where one comes from, a file or a network definition, is of no matter here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from podagent import versions
from podagent.errors import NetConfError
from podagent.foreign import Json, json_kind, json_object, optional, require_kinds, shown
from podagent.validate import is_cni_name

_FLAGS = ("disableCheck", "disableGC", "loadOnlyInlinedPlugins")
_PLUGIN_KINDS = {"name": str, "cniVersion": str, "capabilities": dict, "ipam": dict}


class _Fields(NamedTuple):
    json: Json
    version: str
    name: str
    plugins: list[Json]


class NetConf(_Fields):
    """A network configuration list that `parse` has checked. Nothing in it is ever changed.

    Attributes:
        json: all of it; its flags are booleans, and keys that are not known are kept.
        version: ``cniVersion``.
        name: of the network.
        plugins: their configurations in the order of ADD, at least one.
    """

    __slots__ = ()

    def __new__(cls, json: Json) -> NetConf:
        """`json`: a checked list. Raises KeyError when it is none."""
        return super().__new__(cls, json, json["cniVersion"], json["name"], json["plugins"])

    @property
    def type(self) -> str:
        """Type of the first plugin, which makes the interface."""
        return str(self.plugins[0]["type"])

    def says(self, flag: str) -> bool:
        """Whether it has the flag, such as ``disableCheck``."""
        return self.json.get(flag) is True

    def at_least(self, floor: str) -> bool:
        """Whether its version is `floor` or newer. Raises NetConfError."""
        try:
            return versions.at_least(self.version, floor)
        except ValueError as fault:
            raise NetConfError(f"network {self.name}: 'cniVersion': {fault}") from None


def parse(raw: Json | str | bytes, origin: str) -> NetConf:
    """A plugin configuration, or a list (it has ``plugins``), as a list. No file is read.

    Args:
        raw: the configuration, as text or already decoded.
        origin: what it came from (a file, a definition): messages begin with it.

    Raises:
        NetConfError: it is malformed.
    """
    conf = decode(raw, origin)
    return parse_list(conf, origin) if "plugins" in conf else parse_plugin(conf, origin)


def decode(raw: Json | str | bytes, origin: str) -> Json:
    """The JSON object that `raw` is, or holds as text. Raises NetConfError."""
    if isinstance(raw, dict):
        return raw
    try:
        return json_object(raw)
    except ValueError as fault:
        raise NetConfError(f"{origin}: {fault}") from None


def parse_plugin(conf: Json, origin: str) -> NetConf:
    """The configuration of one plugin, as a list of one. Raises NetConfError."""
    plugin = checked_plugin(conf, origin)
    declared = plugin.get("cniVersion") or versions.OLDEST
    version = _checked_version(declared, origin)
    return NetConf({"cniVersion": version, "name": network_name(conf, origin), "plugins": [plugin]})


def parse_list(conf: Json, origin: str, more: list[Json] | None = None, where_more: str = "") -> NetConf:
    """A configuration list.

    Args:
        conf: the list as decoded.
        origin: messages begin with it.
        more: checked plugins that follow its own; None when only its own count.
        where_more: the place that `more` was looked for in, for the message that there are none at all.

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
    """Whether a list keeps the plugins of its folder out (CNI SPEC, section 1). Raises NetConfError."""
    only = "loadOnlyInlinedPlugins" in conf and _flag(conf["loadOnlyInlinedPlugins"], "loadOnlyInlinedPlugins", origin)
    if only and "plugins" not in conf:
        raise NetConfError(f"{origin}: missing 'plugins', though 'loadOnlyInlinedPlugins' is true")
    return only


def checked_plugin(conf: Any, where: str) -> Json:
    """`conf` if it is the configuration of a plugin. Raises NetConfError."""
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
            raise NetConfError(f"{where}: capability {capability!r} must be true or false")
    ipam_type = (conf.get("ipam") or {}).get("type")
    if ipam_type not in (None, ""):
        _check_plugin_type(ipam_type, f"{where}: 'ipam.type'")
    return conf


def network_name(conf: Json, origin: str) -> str:
    """The name of the network that `conf` configures. Raises NetConfError."""
    try:
        name = optional(conf, "name", str)
    except ValueError as fault:
        raise NetConfError(f"{origin}: {fault}") from None
    if name is None:
        raise NetConfError(f"{origin}: missing 'name', the name of the network")
    if not is_cni_name(name):
        raise NetConfError(f"{origin}: 'name' {name[:80]!r} is not a network name (letters, digits, '_', '.' and '-')")
    return name


def _inline_plugins(conf: Json, origin: str) -> list[Json]:
    entries = conf.get("plugins", [])
    if not isinstance(entries, list):
        raise NetConfError(f"{origin}: 'plugins' must be a list, not {json_kind(entries)}")
    if "plugins" in conf and not entries:
        raise NetConfError(f"{origin}: 'plugins' is empty: at least one plugin is needed")
    return [checked_plugin(entry, f"{origin}: plugins[{index}]") for index, entry in enumerate(entries)]


def _check_plugin_type(value: Any, what: str) -> None:
    """Plugins run their IPAM plugin by its name themselves; old ones let ``../`` lead out of the plugin directories."""
    if not isinstance(value, str) or not value.isprintable() or "/" in value or value in (".", ".."):
        raise NetConfError(f"{what} must be the bare file name of a plugin, not {str(value)[:80]!r}")


def _list_version(conf: Json, origin: str) -> str:
    declared, offered = conf.get("cniVersion", ""), conf.get("cniVersions", [])
    if not isinstance(declared, str):
        raise NetConfError(f"{origin}: 'cniVersion' must be a string, not {json_kind(declared)}")
    if not isinstance(offered, list) or not all(isinstance(text, str) for text in offered):
        raise NetConfError(f"{origin}: 'cniVersions' must be a list of strings")
    try:
        return _checked_version(versions.choose(declared, offered) or versions.OLDEST, origin)
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
