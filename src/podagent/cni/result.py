"""CNI results of all versions: validation, and conversion between versions. Pure.

There are three formats (section "Result" of the respective specification): 0.1/0.2 with ``ip4`` and ``ip6``; 0.3/0.4
with ``interfaces``, and ``ips`` that include an IP version; 1.x without that. Conversion uses the newest format as an
intermediate. A validated result keeps the plugin's spelling, including unknown keys.
"""

from __future__ import annotations

import re
from typing import Any

from podagent import versions
from podagent.errors import PluginError
from podagent.foreign import Json, objects, optional, require_kinds

_INCOMPATIBLE_VERSION, _DECODING_FAILURE = 1, 6
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_LENGTH = re.compile("[0-9]{1,3}")
_INTERFACE_KINDS = {"name": str, "mac": str, "sandbox": str, "socketPath": str, "pciID": str, "mtu": int}
_ADDRESS_KINDS = {"version": str, "interface": int}
_FIRST = ("0.1.0", "0.2.0")
_MIDDLE = ("0.3.0", "0.3.1", "0.4.0")
_FAMILIES = (("ip4", False), ("ip6", True))


def checked(raw: Json, conf_version: str, plugin: str) -> Json:
    """Validates `raw` and fills in its ``cniVersion``, by default that of the configuration.

    Raises:
        PluginError: unknown version (code 1), or malformed for that version (code 6).
    """
    named = raw.get("cniVersion") or conf_version
    result = {**raw, "cniVersion": named}
    _require_known(named, plugin)
    try:
        _require_well_formed(result)
    except ValueError as fault:
        raise PluginError(plugin, f"printed a malformed {named} result: {fault}", _DECODING_FAILURE) from None
    return result


def convert(result: Json, wanted: str, plugin: str) -> Json:
    """Converts `result` to version `wanted`; information without a place in that version is dropped.

    Args:
        result: validated here, unless it already has that version.
        wanted: a version in `versions.KNOWN`.
        plugin: named in errors.

    Raises:
        PluginError: unknown version (code 1), or malformed (code 6).
    """
    if result.get("cniVersion") == wanted:
        return result
    checked_result = checked(result, versions.LATEST, plugin)
    _require_known(wanted, plugin)
    newest = _to_newest(checked_result)
    if wanted in _FIRST:
        return _to_first(newest, wanted)
    if wanted in _MIDDLE:
        return _to_middle(newest, wanted)
    return {"cniVersion": wanted, **newest}


def _require_known(named: Any, plugin: str) -> None:
    if named not in versions.KNOWN:
        known = ", ".join(versions.KNOWN)
        raise PluginError(plugin, f"result version {str(named)[:40]!r} is not one of {known}", _INCOMPATIBLE_VERSION)


def _require_well_formed(result: Json) -> None:
    """Validates `result` according to its ``cniVersion``. Raises ValueError."""
    if result["cniVersion"] in _FIRST:
        for key, _ in _FAMILIES:
            family = optional(result, key, dict)
            if family:
                _require_address(family, key, "ip", "gateway")
                _require_routes(family)
    else:
        for entry in objects(result, "interfaces"):
            require_kinds(entry, _INTERFACE_KINDS)
            if entry.get("name") is None:
                raise ValueError("'interfaces': an interface without a 'name'")
        for entry in objects(result, "ips"):
            require_kinds(entry, _ADDRESS_KINDS)
            _require_address(entry, "ips", "address", "gateway")
        _require_routes(result)
    optional(result, "dns", dict)


def _require_routes(source: Json) -> None:
    for entry in objects(source, "routes"):
        _require_address(entry, "routes", "dst", "gw")


def _require_address(entry: Json, where: str, address: str, gateway: str) -> None:
    """Validates an address with prefix length and an optional gateway address. Raises ValueError."""
    cidr, router = entry.get(address), entry.get(gateway)
    if not isinstance(cidr, str) or not _is_cidr(cidr):
        raise ValueError(f"'{where}': '{address}' {str(cidr)[:80]!r} is not an address with a prefix length")
    if router not in (None, "") and not (isinstance(router, str) and _is_ip(router)):
        raise ValueError(f"'{where}': '{gateway}' {str(router)[:80]!r} is not an IP address")


def _to_newest(result: Json) -> Json:
    """Converts the validated `result` to the 1.x format, without ``cniVersion``."""
    if result["cniVersion"] in _FIRST:
        families = [family for key, _ in _FAMILIES if (family := result.get(key))]
        parts = {
            "ips": [{"address": family["ip"], **_pick(family, "gateway")} for family in families],
            "routes": [route for family in families for route in family.get("routes") or ()],
        }
    else:
        parts = {**_pick(result, "interfaces", "routes"), "ips": [_newest_ip(ip) for ip in result.get("ips") or ()]}
    return {key: value for key, value in {**parts, **_pick(result, "dns")}.items() if value}


def _newest_ip(ip: Json) -> Json:
    return {key: value for key, value in ip.items() if key != "version" and value not in (None, "")}


def _to_middle(newest: Json, wanted: str) -> Json:
    older = {**newest, "cniVersion": wanted}
    if "interfaces" in newest:
        older["interfaces"] = [{"name": each["name"], **_pick(each, "mac", "sandbox")} for each in newest["interfaces"]]
    if "ips" in newest:
        older["ips"] = [{"version": "6" if ":" in ip["address"] else "4", **ip} for ip in newest["ips"]]
    return older


def _to_first(newest: Json, wanted: str) -> Json:
    older: Json = {"cniVersion": wanted}
    for key, is_ipv6 in _FAMILIES:
        ip = next((ip for ip in newest.get("ips", ()) if (":" in ip["address"]) is is_ipv6), None)
        if ip is None:
            continue
        older[key] = {"ip": ip["address"], **_pick(ip, "gateway")}
        routes = [_pick(route, "dst", "gw") for route in newest.get("routes", ()) if (":" in route["dst"]) is is_ipv6]
        if routes:
            older[key]["routes"] = routes
    return {**older, **_pick(newest, "dns")}


def _pick(source: Json, *keys: str) -> Json:
    return {key: source[key] for key in keys if source.get(key)}


def _is_cidr(text: str) -> bool:
    address, _, length = text.partition("/")
    widest = 128 if ":" in address else 32
    return bool(_LENGTH.fullmatch(length)) and int(length) <= widest and _is_ip(address)


def _is_ip(text: str) -> bool:
    if _IPV4.fullmatch(text):
        return True
    if ":" not in text or "%" in text:
        return False
    # A lazy import: kactus starts once per pod operation, and most of its results are IPv4.
    from ipaddress import AddressValueError, IPv6Address  # noqa: PLC0415

    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True
