"""Parses a call of kactus: the CNI variables, and the configuration on standard input. Pure.

All input is untrusted. The validated values are safe to pass on and to use as file names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from podagent import versions
from podagent.foreign import Json, json_object, printable
from podagent.kactus.failure import DECODING_FAILURE, INCOMPATIBLE_VERSION, INVALID_CONFIG, INVALID_ENVIRONMENT, Failure
from podagent.validate import is_cni_name, is_dns1123_label, is_dns1123_subdomain, is_interface_name, is_mac

_ATTACHMENT = ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH")
_REQUIRED = {
    "ADD": _ATTACHMENT,
    "CHECK": _ATTACHMENT,
    "DEL": ("CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"),
    "GC": ("CNI_PATH",),
    "STATUS": ("CNI_PATH",),
}
COMMANDS = frozenset(_REQUIRED)
"""All commands but VERSION, which has no parameters."""

LONGEST_INPUT = 16 << 20
# File names have at most 255 bytes, and some derived names add a prefix or suffix.
_CONTAINER_ID_LENGTH = 240

Check = Callable[[str], bool]
_KNOWN_ARGS: Mapping[str, Check] = {
    "K8S_POD_NAMESPACE": is_dns1123_label,
    "K8S_POD_NAME": is_dns1123_subdomain,
    "K8S_POD_INFRA_CONTAINER_ID": is_cni_name,
    "K8S_POD_UID": is_cni_name,
    "K8S_POD_NETWORK": is_dns1123_subdomain,
    "K8S_POD_NETWORK_NAMESPACE": is_dns1123_label,
    "K8S_POD_IFMAC": is_mac,
    "IP": str.isprintable,
    "MAC": is_mac,
}


class Call(NamedTuple):
    """One validated call.

    Attributes:
        command: ADD, DEL, CHECK, GC or STATUS.
        container_id: CNI_CONTAINERID, safe as a file name; "" for commands without one.
        netns: CNI_NETNS, "" if not given.
        ifname: CNI_IFNAME, "" for commands without one.
        path: CNI_PATH, split.
        args: CNI_ARGS pairs, in order.
        cni_version: ``cniVersion`` of the configuration, one of `versions.KNOWN`.
        conf: the configuration object.
    """

    command: str
    container_id: str
    netns: str
    ifname: str
    path: tuple[str, ...]
    args: tuple[tuple[str, str], ...]
    cni_version: str
    conf: Json

    def arg(self, name: str) -> str:
        """The value of an argument, "" if not given; the last occurrence wins."""
        return dict(self.args).get(name, "")


def read_call(environ: Mapping[str, str], stdin: bytes) -> Call:
    """Parses the environment and the standard input of a call.

    Raises:
        Failure: a value is missing or invalid; nothing was done (codes 1, 4, 6, 7).
    """
    command = environ.get("CNI_COMMAND", "")
    if command not in _REQUIRED:
        what = (
            f"unknown CNI_COMMAND: {printable(command, 40)}"
            if command
            else "required env variables [CNI_COMMAND] missing"
        )
        raise Failure(INVALID_ENVIRONMENT, what)
    missing = [name for name in _REQUIRED[command] if not environ.get(name)]
    if missing:
        raise Failure(INVALID_ENVIRONMENT, f"required env variables [{','.join(missing)}] missing")
    conf, cni_version = _read_conf(stdin)
    attachment = command in ("ADD", "CHECK", "DEL")
    return Call(
        command=command,
        container_id=_checked("CNI_CONTAINERID", environ, _is_file_name) if attachment else "",
        netns=_checked("CNI_NETNS", environ, _is_path) if attachment else "",
        ifname=_checked("CNI_IFNAME", environ, is_interface_name) if attachment else "",
        path=tuple(entry for entry in _checked("CNI_PATH", environ, str.isprintable).split(":") if entry),
        args=_read_args(environ.get("CNI_ARGS", "")) if attachment else (),
        cni_version=cni_version,
        conf=conf,
    )


def _checked(name: str, environ: Mapping[str, str], valid: Check) -> str:
    value = environ.get(name, "")
    if value and not valid(value):
        raise Failure(INVALID_ENVIRONMENT, f"{name} is unusable: {value[:80]!r}")
    return value


def _is_file_name(text: str) -> bool:
    return is_cni_name(text) and len(text) <= _CONTAINER_ID_LENGTH


def _is_path(text: str) -> bool:
    return text.startswith("/") and text.isprintable()


def _read_args(text: str) -> tuple[tuple[str, str], ...]:
    """Parses CNI_ARGS: ``K=V;K2=V2`` without escaping. Unknown keys require ``IgnoreUnknown``."""
    pairs = []
    for item in text.split(";") if text else []:
        key, equals, value = item.partition("=")
        if not equals or not key or "=" in value or not item.isprintable():
            raise Failure(INVALID_ENVIRONMENT, f"CNI_ARGS: invalid pair {item[:80]!r}")
        pairs.append((key, value))
    given = dict(pairs)
    ignore_unknown = given.get("IgnoreUnknown", "").lower() in ("1", "true")
    unknown = [key for key in given if key not in _KNOWN_ARGS and key != "IgnoreUnknown"]
    if unknown and not ignore_unknown:
        raise Failure(INVALID_ENVIRONMENT, f"CNI_ARGS: unknown args {unknown} (and no IgnoreUnknown=1)"[:400])
    for key, valid in _KNOWN_ARGS.items():
        if given.get(key) and not valid(given[key]):
            raise Failure(INVALID_ENVIRONMENT, f"CNI_ARGS: {key} is unusable: {given[key][:80]!r}")
    return tuple(pairs)


def _read_conf(stdin: bytes) -> tuple[Json, str]:
    if len(stdin) > LONGEST_INPUT:
        raise Failure(DECODING_FAILURE, "the network configuration is longer than 16 MiB")
    try:
        conf = json_object(stdin)
    except ValueError as fault:
        raise Failure(DECODING_FAILURE, f"the network configuration cannot be read: {fault}") from None
    named = conf.get("cniVersion", "") or versions.OLDEST
    if named not in versions.KNOWN:
        known = ", ".join(versions.KNOWN)
        raise Failure(
            INCOMPATIBLE_VERSION, "incompatible CNI versions", f"config is {named!r:.40}, kactus supports {known}"
        )
    name = conf.get("name")
    if not isinstance(name, str) or not is_cni_name(name):
        raise Failure(INVALID_CONFIG, f"invalid network name {str(name)[:80]!r}" if name else "missing network name")
    return conf, str(named)
