"""The file format of a record: JSON with a schema version and a checksum. Pure: bytes to `Record` and back.

The schema version increases only if older readers would misread a record. New fields need no new version: readers use
a default for missing fields and preserve unknown ones, so that a node can be upgraded and downgraded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from podagent.decide.dialects import kaloom_names
from podagent.errors import StoreError, UnknownSchema
from podagent.foreign import Json, json_kind, objects, optional, printable, required, shown
from podagent.model import Attachment, DefinitionRef, Invocation, NetnsRef, Phase, PodKey, Record, Via
from podagent.netconf import NetConf

SCHEMA = 1
_ROOM = 20
_LONGEST_FAULT = 300


def encode(record: Record) -> bytes:
    """Serialises `record`.

    Raises:
        StoreError: its network configuration cannot be serialised.
    """
    try:
        body = _canonical_with_room(_merged(_to_json(record), record.extra))
    except RecursionError:
        raise StoreError(f"the network configuration of {record.attachment.network} is nested too deeply") from None
    return b'{"schema":%d,"sha256":"%s","record":%s}\n' % (SCHEMA, hashlib.sha256(body).hexdigest().encode(), body)


def decode(content: bytes) -> Record:
    """Parses the content of a record file.

    Raises:
        UnknownSchema: a newer version wrote it.
        StoreError: the content is malformed or damaged.
    """
    try:
        document = json.loads(content)
        if not isinstance(document, dict):
            raise StoreError(f"not a record but {json_kind(document)}")
        read = _reader(document)  # first: a newer version may use another layout for the rest
        body = required(document, "record", dict)
        if hashlib.sha256(_canonical(body)).hexdigest() != required(document, "sha256", str):
            raise StoreError("the checksum does not match: the file was damaged")
        record = read(body)
        return record._replace(extra=_unknown(body, _to_json(record)))
    except RecursionError:
        raise StoreError("not a record: nested too deeply") from None
    except ValueError as fault:
        raise StoreError(f"not a record: {printable(str(fault), _LONGEST_FAULT)}") from None


def _reader(document: Json) -> Callable[[Json], Record]:
    schema = required(document, "schema", int)
    if schema > SCHEMA:
        raise UnknownSchema(f"schema {shown(schema)} is not known to this version, which reads up to {SCHEMA}")
    if schema not in _READERS:
        raise StoreError(f"schema {shown(schema)} was never in use: the file was damaged")
    return _READERS[schema]


def _canonical(body: Any) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def _canonical_with_room(body: Json) -> bytes:
    """Refuses deep nesting a few levels early: the parser recurses deeper, and must be able to read it back."""
    nested: Any = body
    for _ in range(_ROOM):
        nested = [nested]
    return _canonical(nested)[_ROOM:-_ROOM]


_PARTS = ("pod", "attachment", "netns", "invocation")


def _unknown(body: Json, known: Json) -> Json:
    """The fields of `body` and of its parts that `known` lacks."""
    found = {key: value for key, value in body.items() if key not in known}
    for part in _PARTS:
        if more := {key: value for key, value in body[part].items() if key not in known[part]}:
            found[part] = more
    return found


def _merged(body: Json, extra: Mapping[str, Any]) -> Json:
    """`body` with the unknown fields of an earlier version of the record; `body` takes precedence."""
    parts = {part: {**extra[part], **body[part]} for part in _PARTS if part in extra}
    return {**extra, **body, **parts}


def _to_json(record: Record) -> Json:
    pod, wanted, call = record.pod, record.attachment, record.invocation
    return {
        "pod": {"namespace": pod.namespace, "name": pod.name, "uid": pod.uid, "static": record.static},
        "attachment": {
            "network": wanted.definition.name,
            "ifname": wanted.ifname,
            "namespace": wanted.definition.namespace or None,
            "api": wanted.definition.api,
            "mac": wanted.mac,
            "capabilities": dict(wanted.capabilities),
            "args": [list(pair) for pair in wanted.args],
            "upperInterfaces": list(wanted.upper_layers),
            # Required by versions up to 0.3.0, which without names detach in the reverse order of ADD.
            "ips": [],
            "upperLayers": [],
        },
        "phase": record.phase.value,
        "via": record.via.value,
        "sandboxID": record.sandbox_id,
        "netns": {"path": record.netns.path, "inode": record.netns.inode, "started": record.netns.started},
        "bootID": record.boot_id,
        "sequence": record.sequence,
        "invocation": {
            "netconf": call.netconf.json,
            "path": list(call.path),
            "args": [list(pair) for pair in call.args],
            "capabilityArgs": dict(call.capability_args),
            "definition": str(call.definition or ""),
            "api": call.definition.api if call.definition else "",
        },
        "result": record.result,
        "ifindex": record.ifindex,
        "peer": record.peer,
        "mac": record.mac,
        "left": list(record.left),
        "failures": record.failures,
        "adopted": record.adopted,
    }


def _read_1(body: Json) -> Record:
    pod, netns, call = (required(body, part, dict) for part in ("pod", "netns", "invocation"))
    return Record(
        pod=PodKey(required(pod, "namespace", str), required(pod, "name", str), required(pod, "uid", str)),
        attachment=_attachment(required(body, "attachment", dict)),
        phase=Phase(required(body, "phase", str)),
        via=Via(required(body, "via", str)),
        sandbox_id=required(body, "sandboxID", str),
        netns=NetnsRef(required(netns, "path", str), required(netns, "inode", int), required(netns, "started", int)),
        boot_id=required(body, "bootID", str),
        sequence=required(body, "sequence", int),
        invocation=_invocation(call),
        result=optional(body, "result", dict),
        ifindex=required(body, "ifindex", int),
        # Absent in 0.4.0.
        peer=optional(body, "peer", int) or 0,
        mac=optional(body, "mac", str) or "",
        left=_positions(body, "left"),
        failures=optional(body, "failures", int) or 0,
        adopted=required(body, "adopted", bool),
        static=required(pod, "static", bool),
    )


_READERS: Mapping[int, Callable[[Json], Record]] = {SCHEMA: _read_1}


def _attachment(wanted: Json) -> Attachment:
    network, ifname = required(wanted, "network", str), required(wanted, "ifname", str)
    namespace, mac = optional(wanted, "namespace", str) or "", optional(wanted, "mac", str)
    if "api" not in wanted:  # written by 0.3.0, which supported only Kaloom's dialect
        stacked = _strings(wanted, "upperLayers")
        return kaloom_names.attachment(network, namespace, mac, stacked)._replace(ifname=ifname)
    return Attachment(
        definition=DefinitionRef(required(wanted, "api", str), namespace, network),
        ifname=ifname,
        mac=mac,
        capabilities=required(wanted, "capabilities", dict),
        args=_pairs(wanted, "args"),
        upper_layers=_strings(wanted, "upperInterfaces"),
    )


def _invocation(call: Json) -> Invocation:
    return Invocation(
        netconf=_netconf(required(call, "netconf", dict)),
        path=_strings(call, "path"),
        args=_pairs(call, "args"),
        capability_args=required(call, "capabilityArgs", dict),
        definition=_definition(call),
    )


def _netconf(recorded: Json) -> NetConf:
    """Not validated again: DEL must run with the configuration of ADD, even if it is invalid today."""
    for key in ("cniVersion", "name"):
        required(recorded, key, str)
    if not objects(recorded, "plugins"):
        raise ValueError("'plugins' is missing")
    return NetConf(recorded)


def _definition(call: Json) -> DefinitionRef | None:
    namespace, _, name = required(call, "definition", str).rpartition("/")
    api = optional(call, "api", str)  # absent in 0.3.0, which supported only Kaloom's definitions
    return DefinitionRef(kaloom_names.API if api is None else api, namespace, name) if name else None


def _strings(source: Json, key: str) -> tuple[str, ...]:
    values = required(source, key, list)
    if not all(isinstance(value, str) for value in values):
        raise ValueError(f"'{key}' must hold strings")
    return tuple(values)


def _positions(source: Json, key: str) -> tuple[int, ...]:
    values = optional(source, key, list) or []
    if not all(type(value) is int for value in values):
        raise ValueError(f"'{key}' must hold numbers")
    return tuple(values)


def _pairs(source: Json, key: str) -> tuple[tuple[str, str], ...]:
    pairs = required(source, key, list)
    if not all(isinstance(pair, list) and [*map(type, pair)] == [str, str] for pair in pairs):
        raise ValueError(f"'{key}' must hold pairs of strings")
    return tuple((name, value) for name, value in pairs)
