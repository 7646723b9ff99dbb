"""Finds the node's own network configuration: the first valid file in a CNI configuration directory."""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from podagent.errors import NetConfError, NetConfUnreadable, NoNetConf
from podagent.foreign import Json
from podagent.netconf import (
    NetConf,
    checked_plugin,
    decode,
    loads_only_inlined_plugins,
    network_name,
    parse_list,
    parse_plugin,
)

_PLUGIN_SUFFIXES = (".conf", ".json")
_LIST_SUFFIX = ".conflist"
# Two writes within one tick of the file system's clock yield the same times: do not cache until the tick has passed.
_CLOCK_TICK_NS = 50_000_000
# Errors of symbolic links; all others may be over soon.
_LEADS_NOWHERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})

_Stamp = tuple[tuple[str, int, int, int, int], ...]


def load_file(path: Path) -> NetConf:
    """Loads a configuration as a list: ``.conf`` and ``.json`` hold one plugin, ``.conflist`` a list.

    The plugins in ``<directory>/<name>/*.conf``, sorted by file name, follow the inline ones, unless
    ``loadOnlyInlinedPlugins`` is set (CNI SPEC, section 1).

    Raises:
        NetConfError: unreadable or malformed; one bad file in the plugin directory invalidates the list.
    """
    conf = decode(_read(path), str(path))
    if path.suffix in _PLUGIN_SUFFIXES:
        return parse_plugin(conf, str(path))
    if path.suffix == _LIST_SUFFIX:
        return _list_in(path, conf)
    raise NetConfError(f"{path}: the file name must end in .conf, .json or .conflist")


def first_valid(directories: Sequence[Path]) -> tuple[Path, NetConf]:
    """The first valid configuration, by file name like the kubelet's runtimes, of the first directory that has files.

    Raises:
        NoNetConf: none has a file.
        NetConfUnreadable: one that comes first cannot be read now; a later one may be of another plugin.
        NetConfError: none is valid; the text lists the fault of every file.
    """
    faults: list[str] = []
    found = (_candidates(directory, (*_PLUGIN_SUFFIXES, _LIST_SUFFIX)) for directory in directories)
    for path in next(filter(None, found), []):
        try:
            return path, load_file(path)
        except NetConfError as fault:  # noqa: PERF203 - one bad file must not stop the search
            if isinstance(fault, NetConfUnreadable):
                raise
            faults.append(str(fault))
    what = f"no valid CNI network configuration in {', '.join(map(str, directories))}"
    if not faults:
        raise NoNetConf(f"{what}: no .conf, .conflist or .json file there")
    raise NetConfError(f"{what}: {'; '.join(faults)}")


class SystemConf:
    """The node's own network configuration, reloaded when a directory changes. Thread-safe."""

    def __init__(self, directories: Callable[[], Iterable[str]]) -> None:
        """`directories`: those of `first_valid`, which may change."""
        self._directories = directories
        self._lock = threading.Lock()
        self._stamp: _Stamp | None = None
        self._found: tuple[str, NetConf] | None = None

    def current(self) -> tuple[str, NetConf]:
        """The path of the file and the configuration. Raises NetConfError as `first_valid` does."""
        with self._lock:
            directories = [Path(each) for each in self._directories()]
            stamp = tuple(seen for directory in directories for seen in _stamp(directory))
            if self._found is None or stamp != self._stamp:
                # Taken before reading: a concurrent change is noticed by the next call.
                self._found, self._stamp = None, stamp if _settled(stamp) else None
                path, netconf = first_valid(directories)
                self._found = str(path), netconf
            return self._found


def _list_in(path: Path, conf: Json) -> NetConf:
    """The list in a file, including plugins from its directory unless it excludes them."""
    origin = str(path)
    if loads_only_inlined_plugins(conf, origin):
        return parse_list(conf, origin)
    folder = path.parent / network_name(conf, origin)
    return parse_list(conf, origin, [_load_plugin(each) for each in _candidates(folder, (".conf",))], str(folder))


def _load_plugin(path: Path) -> Json:
    return checked_plugin(decode(_read(path), str(path)), str(path))


def _candidates(directory: Path, suffixes: Sequence[str]) -> list[Path]:
    try:
        with os.scandir(directory) as entries:
            names = [entry.name for entry in entries if not entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as fault:
        raise NetConfUnreadable(f"{directory}: cannot be read: {fault.strerror}") from None
    return [path for path in (directory / name for name in sorted(names)) if path.suffix in suffixes]


def _read(path: Path) -> bytes:
    try:
        # A FIFO would block the reader forever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise NetConfError(f"{path}: not a regular file")
        return path.read_bytes()
    except OSError as fault:
        kind = NetConfError if fault.errno in _LEADS_NOWHERE else NetConfUnreadable
        raise kind(f"{path}: cannot be read: {fault.strerror}") from None


def _stamp(directory: Path) -> _Stamp:
    """The state of all relevant files: those of the directory, and those in the plugin directories of lists."""
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
