"""Resolves flags, environment and settings file to validated `Settings`.

Every error names the setting, the source of the value and the accepted values. Unknown names are errors too: a misspelt
setting that is silently ignored would be noticed much later.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from podagent.config.table import SETTINGS, Setting, Settings
from podagent.errors import SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULT_TOML = Path("/opt/kaloom/etc/podagent.toml")
EXTRA_ARGS_VARIABLE = "PODAGENT_EXTRA_ARGS"
CONFIG_VARIABLE = "PODAGENT_CONFIG"
# The original's podagent.conf uses PODAGENT_HOSTNAME for the node.
_ALIASES = {"PODAGENT_NODE": "PODAGENT_HOSTNAME", "PODAGENT_CRI_ENDPOINT": "PODAGENT_CRIO_ENDPOINT"}
# Kubernetes injects variables for every Service into pods; a Service "podagent" or "podagent-..." must be tolerated.
_SERVICE_VARIABLE = re.compile(
    r"PODAGENT(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)?)"
)

Found = tuple[str, str]  # source of the value, in words, and its text
Layer = Callable[[Setting], Found | None]


def load(
    flags: Mapping[str, str | None],
    environ: Mapping[str, str],
    toml_path: Path | None = None,
    *,
    extra_flags: Mapping[str, str | None] | None = None,
) -> Settings:
    """Resolves and validates all settings.

    Args:
        flags: text of the command-line flags by field name of `Settings`, None for flags not given.
        environ: the process environment; empty variables count as unset.
        toml_path: the settings file, which must exist; by default the file in ``PODAGENT_CONFIG``, else
            `DEFAULT_TOML` if that exists.
        extra_flags: flags in PODAGENT_EXTRA_ARGS; they precede the environment, and `flags` precede them.

    Raises:
        SettingsError: a value, a name or the file is invalid.
    """
    _refuse_unknown_variables(environ)
    layers = (
        _flags("flag --{}", flags),
        _flags(EXTRA_ARGS_VARIABLE + " --{}", extra_flags or {}),
        _environment(environ),
        _settings_file(*_toml_location(toml_path, environ)),
    )
    chosen: dict[str, Any] = {setting.field: _parsed(setting, *_find(setting, layers)) for setting in SETTINGS}
    return Settings(**chosen)


def _find(setting: Setting, layers: Sequence[Layer]) -> Found:
    """The first layer's text for the setting; the default if there is none."""
    for layer in layers:
        found = layer(setting)
        if found is not None:
            return found
    if setting.like:
        return _find(next(other for other in SETTINGS if other.key == setting.like), layers)
    return "the default", setting.default if isinstance(setting.default, str) else setting.default()


def _flags(origin: str, given: Mapping[str, str | None]) -> Layer:
    def layer(setting: Setting) -> Found | None:
        text = given.get(setting.field)
        return None if text is None else (origin.format(setting.key), text)

    return layer


def _environment(environ: Mapping[str, str]) -> Layer:
    def layer(setting: Setting) -> Found | None:
        for variable in (setting.variable, _ALIASES.get(setting.variable, "")):
            if environ.get(variable):
                return f"variable {variable}", environ[variable]
        return None

    return layer


def _settings_file(path: Path, must_exist: bool) -> Layer:
    table = _read_toml(path, must_exist)

    def layer(setting: Setting) -> Found | None:
        for key in setting.names:
            if key in table:
                return str(path), _toml_text(setting, str(path), table[key])
        return None

    return layer


def _parsed(setting: Setting, origin: str, text: str) -> object:
    try:
        return setting.kind.parse(text)
    except ValueError as error:
        raise _refusal(setting, origin, text, str(error)) from None


def _refusal(setting: Setting, origin: str, value: object, why: str = "") -> SettingsError:
    shown = repr(value)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    because = f" ({why})" if why else ""
    return SettingsError(
        f"{setting.key}, from {origin}: {shown} is not accepted{because}: expected {setting.kind.accepts}"
    )


def _toml_text(setting: Setting, origin: str, value: object) -> str:
    """Converts the TOML value to text, so that all sources share one parser."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, setting.kind.natives):
        raise _refusal(setting, origin, value)
    if not isinstance(value, list):
        return str(value)
    if not all(isinstance(item, str) and item and "," not in item for item in value):
        raise _refusal(setting, origin, value)
    return ",".join(value)


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    known = {setting.variable for setting in SETTINGS} | set(_ALIASES.values()) | {EXTRA_ARGS_VARIABLE, CONFIG_VARIABLE}
    for name in sorted(environ):
        if name.startswith("PODAGENT_") and name not in known and not _SERVICE_VARIABLE.fullmatch(name):
            raise SettingsError(f"variable {name}: there is no such setting{_did_you_mean(name, known)}")


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    candidates = sorted(known)
    close = difflib.get_close_matches(name, candidates, n=1)
    return f"; did you mean {close[0]}?" if close else f"; valid names are {', '.join(candidates)}"


def _toml_location(toml_path: Path | None, environ: Mapping[str, str]) -> tuple[Path, bool]:
    """The path of the settings file, and whether it must exist."""
    if toml_path is not None:
        return toml_path, True
    named = environ.get(CONFIG_VARIABLE)
    return (Path(named), True) if named else (DEFAULT_TOML, False)


def _read_toml(path: Path, must_exist: bool) -> dict[str, Any]:
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if must_exist:
            raise SettingsError(f"{path}: the settings file does not exist") from None
        return {}
    except OSError as error:
        raise SettingsError(f"{path}: the settings file cannot be read: {error.strerror}") from error
    except ValueError as error:  # TOML syntax and UTF-8 errors
        raise SettingsError(f"{path}: not a TOML file: {error}") from error
    known = [name for setting in SETTINGS for name in setting.names]
    for key in table:
        if key not in known:
            raise SettingsError(f"{path}: {key!r}: there is no such setting{_did_you_mean(key, known)}")
    return table
