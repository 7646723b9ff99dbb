"""CNI results of every version: checking what a plugin printed, and converting between the versions. Pure.

Three shapes exist (the "Result" section of each version of the specification): 0.1/0.2 with ``ip4`` and ``ip6``; 0.3
and 0.4 with ``interfaces`` and ``ips`` that name their IP version; 1.x without that. Converting goes through the newest
shape. A checked result is passed on as the plugin wrote it, unknown keys included.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from podagent import versions
from podagent.errors import PluginError
from podagent.foreign import json_kind
from podagent.model import Json

_INCOMPATIBLE_VERSION, _DECODING_FAILURE = 1, 6
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_FIRST = ("0.1.0", "0.2.0")
_MIDDLE = ("0.3.0", "0.3.1", "0.4.0")
_FAMILIES = (("ip4", False), ("ip6", True))


def checked(raw: Json, conf_version: str, plugin: str) -> Json:
    """`raw` with its ``cniVersion`` filled in: a result that names none has the configuration's.

    Raises:
        PluginError: unknown version (code 1), or not a result of that version (code 6).
    """
    named = raw.get("cniVersion") or conf_version
    result = {**raw, "cniVersion": named}
    _require_known(named, plugin)
    try:
        _to_newest(result)
    except ValueError as fault:
        raise PluginError(plugin, f"printed a malformed {named} result: {fault}", _DECODING_FAILURE) from None
    return result


def convert(result: Json, wanted: str, plugin: str) -> Json:
    """`result` as a result of version `wanted`; what that version cannot express is dropped.

    Args:
        result: a checked result.
        wanted: a version in `versions.KNOWN`.
        plugin: whom an error names.

    Raises:
        PluginError: unknown version (code 1); malformed, or without the address that 0.1/0.2 require (code 6).
    """
    if result.get("cniVersion") == wanted:
        return result
    checked_result = checked(result, versions.LATEST, plugin)
    _require_known(wanted, plugin)
    newest = _to_newest(checked_result)
    if wanted in _FIRST:
        return _to_first(newest, wanted, plugin)
    if wanted in _MIDDLE:
        return _to_middle(newest, wanted)
    return {"cniVersion": wanted, **newest}


def _require_known(named: Any, plugin: str) -> None:
    if named not in versions.KNOWN:
        known = ", ".join(versions.KNOWN)
        raise PluginError(plugin, f"result version {str(named)[:40]!r} is not one of {known}", _INCOMPATIBLE_VERSION)


def _to_newest(result: Json) -> Json:
    """The parts of `result` in the 1.x shape, without ``cniVersion``. Raises ValueError when it is malformed."""
    if result["cniVersion"] in _FIRST:
        families = {key: _optional(result, key, dict) or {} for key, _ in _FAMILIES}
        parts = {
            "ips": [_first_address(entry, key) for key, entry in families.items() if entry],
            "routes": [route for key, entry in families.items() for route in _objects(entry, "routes", _route)],
        }
    else:
        middle = result["cniVersion"] in _MIDDLE
        parts = {
            "interfaces": _objects(result, "interfaces", _old_interface if middle else _interface),
            "ips": _objects(result, "ips", _address),
            "routes": _objects(result, "routes", _route),
        }
    dns = _optional(result, "dns", dict)
    return {key: value for key, value in {**parts, "dns": dns}.items() if value}


def _to_middle(newest: Json, wanted: str) -> Json:
    older = {**newest, "cniVersion": wanted}
    if "interfaces" in newest:
        older["interfaces"] = [_old_interface(interface) for interface in newest["interfaces"]]
    if "ips" in newest:
        older["ips"] = [{"version": "6" if ":" in ip["address"] else "4", **ip} for ip in newest["ips"]]
    return older


def _to_first(newest: Json, wanted: str, plugin: str) -> Json:
    older: Json = {"cniVersion": wanted}
    for key, is_ipv6 in _FAMILIES:
        ip = next((ip for ip in newest.get("ips", ()) if (":" in ip["address"]) is is_ipv6), None)
        if ip is None:
            continue
        older[key] = {"ip": ip["address"], **_pick(ip, "gateway")}
        routes = [_pick(route, "dst", "gw") for route in newest.get("routes", ()) if (":" in route["dst"]) is is_ipv6]
        if routes:
            older[key]["routes"] = routes
    if len(older) == 1:
        raise PluginError(plugin, f"a result without addresses cannot be a {wanted} result", _DECODING_FAILURE)
    return {**older, **_pick(newest, "dns")}


def _pick(source: Json, *keys: str) -> Json:
    return {key: source[key] for key in keys if source.get(key)}


def _interface(entry: Json) -> Json:
    if not isinstance(entry.get("name"), str):
        raise ValueError("'interfaces': an interface without a 'name'")  # noqa: TRY004 - one error for the caller
    for key in ("mac", "sandbox", "socketPath", "pciID"):
        _optional(entry, key, str)
    _optional(entry, "mtu", int)
    return entry


def _old_interface(entry: Json) -> Json:
    return {"name": _interface(entry)["name"], **_pick(entry, "mac", "sandbox")}


def _address(entry: Json) -> Json:
    _require_cidr(entry.get("address"), "'ips': 'address'")
    _optional_ip(entry, "gateway")
    _optional(entry, "version", str)
    index = _optional(entry, "interface", int)
    found = {key: value for key, value in entry.items() if key not in ("version", "interface", "gateway")}
    return {**found, **_pick(entry, "gateway"), **({} if index is None else {"interface": index})}


def _first_address(entry: Json, key: str) -> Json:
    _require_cidr(entry.get("ip"), f"'{key}': 'ip'")
    _optional_ip(entry, "gateway")
    return {"address": entry["ip"], **_pick(entry, "gateway")}


def _route(entry: Json) -> Json:
    _require_cidr(entry.get("dst"), "'routes': 'dst'")
    _optional_ip(entry, "gw")
    return entry


def _objects(source: Json, key: str, read: Callable[[Json], Json]) -> list[Json]:
    entries = _optional(source, key, list) or []
    for entry in entries:
        if not isinstance(entry, dict):
            raise ValueError(f"'{key}' must hold objects, not {json_kind(entry)}")  # noqa: TRY004 - as above
    return [read(entry) for entry in entries]


def _optional(source: Json, key: str, kind: type[Any]) -> Any:
    value = source.get(key)
    if value is not None and type(value) is not kind:
        raise ValueError(f"'{key}' must be {json_kind(kind())}, not {json_kind(value)}")
    return value


def _optional_ip(source: Json, key: str) -> None:
    value = _optional(source, key, str)
    if value and not _is_ip(value):
        raise ValueError(f"'{key}' {value[:80]!r} is not an IP address")


def _require_cidr(value: Any, what: str) -> None:
    address, slash, length = value.partition("/") if isinstance(value, str) else ("", "", "")
    widest = 128 if ":" in address else 32
    if not slash or not re.fullmatch("[0-9]{1,3}", length) or int(length) > widest or not _is_ip(address):
        raise ValueError(f"{what} {str(value)[:80]!r} is not an address with a prefix length")


def _is_ip(text: str) -> bool:
    if _IPV4.fullmatch(text):
        return True
    if ":" not in text or "%" in text:
        return False
    # Imported where IPv6 is met: kactus starts once per pod operation, and most of its results are IPv4.
    from ipaddress import AddressValueError, IPv6Address  # noqa: PLC0415

    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True
