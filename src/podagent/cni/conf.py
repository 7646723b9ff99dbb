"""Network configurations: parsing, and finding the node's own in the CNI configuration directory.

Owns what makes a configuration valid and the one form everything else works on: a network configuration *list* as JSON
(CNI SPEC, section 1). It runs nothing and never looks into a definition's namespace, annotation or store.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from podagent import versions
from podagent.errors import NetConfError
from podagent.foreign import json_kind, json_object
from podagent.model import Json
from podagent.validate import is_cni_name

if TYPE_CHECKING:
    from pathlib import Path  # kactus never needs one, and importing it takes longer than the rest of this module

_PLUGIN_SUFFIXES = (".conf", ".json")
_LIST_SUFFIX = ".conflist"
_FLAGS = ("disableCheck", "disableGC", "loadOnlyInlinedPlugins")
# A file rewritten twice within one tick of the file system's clock shows the same times: not trusted until it is older.
_CLOCK_TICK_NS = 50_000_000

_Stamp = tuple[tuple[str, int, int, int, int], ...]


def parse_list(raw: Json | str | bytes, origin: str) -> Json:
    """A plugin configuration, or a list (it has ``plugins``), as a network configuration list.

    The answer always has ``cniVersion``, ``name`` and a non-empty ``plugins``; flags are booleans; other keys are kept.
    No file is read: a list's plugin folder counts only for lists that come from a file (`load_file`).

    Args:
        raw: the configuration, as text or already decoded.
        origin: what it came from (a file, a definition): messages begin with it.

    Raises:
        NetConfError: it is malformed.
    """
    conf = _decode(raw, origin)
    return _read_list(conf, origin) if "plugins" in conf else _list_of_one(conf, origin)


def load_file(path: Path) -> Json:
    """The configuration in `path` as a list: ``.conf`` and ``.json`` hold one plugin, ``.conflist`` a list.

    The plugins in ``<directory>/<name>/*.conf`` follow those written in the list, in order of their file names, unless
    it says ``loadOnlyInlinedPlugins``.

    Raises:
        NetConfError: unreadable or malformed; one bad file in the plugin folder spoils the whole list.
    """
    conf = _decode(_read(path), str(path))
    if path.suffix in _PLUGIN_SUFFIXES:
        return _list_of_one(conf, str(path))
    if path.suffix == _LIST_SUFFIX:
        return _read_list(conf, str(path), path.parent)
    raise NetConfError(f"{path}: the file name must end in .conf, .json or .conflist")


def first_valid(directory: Path) -> tuple[Path, Json]:
    """The first valid configuration of `directory` in order of file names, as kubelet's runtimes choose it.

    Raises:
        NetConfError: there is none; the text lists every file with its fault.
    """
    faults: list[str] = []
    for path in _candidates(directory, (*_PLUGIN_SUFFIXES, _LIST_SUFFIX)):
        try:
            return path, load_file(path)
        except NetConfError as fault:  # noqa: PERF203 - one bad file must not stop the search
            faults.append(str(fault))
    reason = "; ".join(faults) or "no .conf, .conflist or .json file there"
    raise NetConfError(f"no valid CNI network configuration in {directory}: {reason}")


class SystemConf:
    """The node's own network configuration, read again whenever the directory changed. Thread-safe."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._stamp: _Stamp | None = None
        self._found: tuple[Path, Json] | None = None

    def current(self) -> tuple[Path, Json]:
        """The file in force and its configuration list. Raises NetConfError as `first_valid` does."""
        with self._lock:
            stamp = _stamp(self._directory)
            if self._found is None or stamp != self._stamp:
                # Stamped before it is read: a change in between is seen at the next call.
                self._found, self._stamp = None, stamp if _settled(stamp) else None
                self._found = first_valid(self._directory)
            return self._found


def _decode(raw: Json | str | bytes, origin: str) -> Json:
    if isinstance(raw, dict):
        return raw
    try:
        return json_object(raw)
    except ValueError as fault:
        raise NetConfError(f"{origin}: {fault}") from None


def _list_of_one(conf: Json, origin: str) -> Json:
    plugin = _checked_plugin(conf, origin)
    declared = plugin.get("cniVersion") or versions.OLDEST
    return {"cniVersion": _checked_version(declared, origin), "name": _network_name(conf, origin), "plugins": [plugin]}


def _read_list(conf: Json, origin: str, directory: Path | None = None) -> Json:
    flags = {key: _flag(conf[key], key, origin) for key in _FLAGS if key in conf}
    name = _network_name(conf, origin)
    plugins = _inline_plugins(conf, origin)
    if flags.get("loadOnlyInlinedPlugins"):
        if "plugins" not in conf:
            raise NetConfError(f"{origin}: missing 'plugins', though 'loadOnlyInlinedPlugins' is true")
    elif directory is not None:
        plugins += [_load_plugin(path) for path in _candidates(directory / name, (".conf",))]
    if not plugins:
        raise NetConfError(f"{origin}: no plugins: 'plugins' is missing or empty" + _folder_hint(directory, name))
    return {**conf, **flags, "cniVersion": _list_version(conf, origin), "name": name, "plugins": plugins}


def _folder_hint(directory: Path | None, name: str) -> str:
    return f", and {directory / name} holds no .conf file" if directory is not None else ""


def _inline_plugins(conf: Json, origin: str) -> list[Json]:
    entries = conf.get("plugins", [])
    if not isinstance(entries, list):
        raise NetConfError(f"{origin}: 'plugins' must be a list, not {json_kind(entries)}")
    if "plugins" in conf and not entries:
        raise NetConfError(f"{origin}: 'plugins' is empty: at least one plugin is needed")
    return [_checked_plugin(entry, f"{origin}: plugins[{index}]") for index, entry in enumerate(entries)]


def _load_plugin(path: Path) -> Json:
    return _checked_plugin(_decode(_read(path), str(path)), str(path))


def _checked_plugin(conf: Any, where: str) -> Json:
    if not isinstance(conf, dict):
        raise NetConfError(f"{where}: a plugin must be an object, not {json_kind(conf)}")
    if not conf.get("type"):
        raise NetConfError(f"{where}: missing 'type', the name of the plugin")
    _check_plugin_type(conf["type"], f"{where}: 'type'")
    for key, kind in (("name", str), ("cniVersion", str), ("capabilities", dict), ("ipam", dict)):
        value = conf.get(key)
        if value is not None and not isinstance(value, kind):
            raise NetConfError(f"{where}: '{key}' must be {json_kind(kind())}, not {json_kind(value)}")
    for capability, declared in (conf.get("capabilities") or {}).items():
        if not isinstance(declared, bool):
            raise NetConfError(f"{where}: capability {capability!r} must be true or false")
    ipam_type = (conf.get("ipam") or {}).get("type")
    if ipam_type:
        _check_plugin_type(ipam_type, f"{where}: 'ipam.type'")
    return conf


def _check_plugin_type(value: Any, what: str) -> None:
    """Plugins run their IPAM plugin by its name themselves; old ones let ``../`` lead out of the plugin directories."""
    if not isinstance(value, str) or not value.isprintable() or "/" in value or value in (".", ".."):
        raise NetConfError(f"{what} must be the bare file name of a plugin, not {str(value)[:80]!r}")


def _network_name(conf: Json, origin: str) -> str:
    name = conf.get("name")
    if name is None:
        raise NetConfError(f"{origin}: missing 'name', the name of the network")
    if not isinstance(name, str):
        raise NetConfError(f"{origin}: 'name' must be a string, not {json_kind(name)}")
    if not is_cni_name(name):
        raise NetConfError(f"{origin}: 'name' {name[:80]!r} is not a network name (letters, digits, '_', '.' and '-')")
    return name


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
    raise NetConfError(f"{origin}: '{key}' must be true or false, not {str(value)[:80]!r}")


def _candidates(directory: Path, suffixes: Sequence[str]) -> list[Path]:
    try:
        with os.scandir(directory) as entries:
            names = [entry.name for entry in entries if not entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as fault:
        raise NetConfError(f"{directory}: cannot be read: {fault.strerror}") from None
    return [path for path in (directory / name for name in sorted(names)) if path.suffix in suffixes]


def _read(path: Path) -> bytes:
    try:
        # A FIFO under such a name would block the reader for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise NetConfError(f"{path}: not a regular file")
        return path.read_bytes()
    except OSError as fault:
        raise NetConfError(f"{path}: cannot be read: {fault.strerror}") from None


def _stamp(directory: Path) -> _Stamp:
    """Everything whose change may change the choice: the files, and those in the plugin folders of lists."""
    found: list[tuple[str, int, int, int, int]] = []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                found.append(_seen(entry))
                if entry.is_dir():
                    with os.scandir(entry.path) as folder:
                        found += [_seen(inner) for inner in folder]
    except OSError:
        return ()
    return tuple(sorted(found))


def _seen(entry: os.DirEntry[str]) -> tuple[str, int, int, int, int]:
    try:
        status = entry.stat()
    except OSError:
        return entry.path, 0, 0, 0, 0
    return entry.path, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _settled(stamp: _Stamp) -> bool:
    return bool(stamp) and time.time_ns() - max(changed for *_, changed in stamp) > _CLOCK_TICK_NS
