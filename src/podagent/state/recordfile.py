"""The format of a record on disk: JSON with a schema version and a checksum. Pure: bytes in, `Record` out, and back."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from podagent.errors import StoreError
from podagent.model import Attachment, Invocation, NetnsRef, Phase, PodKey, Record, Via

SCHEMA = 1
_ROOM = 20


def encode(record: Record) -> bytes:
    """`record` as the content of its file.

    Raises:
        StoreError: its network configuration cannot be written.
    """
    try:
        body = _canonical_with_room(_to_json(record))
    except RecursionError:
        raise StoreError(f"the network configuration of {record.attachment.network} is nested too deeply") from None
    return b'{"schema":%d,"sha256":"%s","record":%s}\n' % (SCHEMA, hashlib.sha256(body).hexdigest().encode(), body)


def decode(content: bytes) -> Record:
    """The record in a file's content.

    Raises:
        StoreError: the content is not a record, was damaged, or has a schema this version does not know.
    """
    try:
        document = json.loads(content)
        schema, checksum, body = document["schema"], document["sha256"], document["record"]
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        raise StoreError(f"not a record ({error!r})") from None
    if schema != SCHEMA:
        raise StoreError(f"schema {schema!r} is not known to this version, which writes {SCHEMA}")
    try:
        if hashlib.sha256(_canonical(body)).hexdigest() != checksum:
            raise StoreError("the checksum does not match: the file was damaged")
        return _from_json(body)
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError) as error:
        raise StoreError(f"a field is missing or has another type ({error!r})") from None


def _canonical(body: Any) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def _canonical_with_room(body: dict[str, Any]) -> bytes:
    """Fails a few levels of nesting early: reading goes deeper than writing, and must not fail on what was written."""
    nested: Any = body
    for _ in range(_ROOM):
        nested = [nested]
    return _canonical(nested)[_ROOM:-_ROOM]


def _to_json(record: Record) -> dict[str, Any]:
    pod, wanted, call = record.pod, record.attachment, record.invocation
    return {
        "pod": {"namespace": pod.namespace, "name": pod.name, "uid": pod.uid, "static": record.static},
        "attachment": {
            "network": wanted.network,
            "ifname": wanted.ifname,
            "namespace": wanted.namespace,
            "mac": wanted.mac,
            "ips": list(wanted.ips),
            "upperLayers": list(wanted.upper_layers),
        },
        "phase": record.phase.value,
        "via": record.via.value,
        "sandboxID": record.sandbox_id,
        "netns": {"path": record.netns.path, "inode": record.netns.inode, "started": record.netns.started},
        "bootID": record.boot_id,
        "sequence": record.sequence,
        "invocation": {
            "netconf": call.netconf,
            "path": list(call.path),
            "args": [list(pair) for pair in call.args],
            "capabilityArgs": dict(call.capability_args),
            "definition": call.definition,
        },
        "result": record.result,
        "ifindex": record.ifindex,
        "adopted": record.adopted,
    }


def _from_json(body: dict[str, Any]) -> Record:
    pod, wanted, netns, call = body["pod"], body["attachment"], body["netns"], body["invocation"]
    return Record(
        pod=PodKey(str(pod["namespace"]), str(pod["name"]), str(pod["uid"])),
        attachment=Attachment(
            network=str(wanted["network"]),
            ifname=str(wanted["ifname"]),
            namespace=wanted["namespace"],
            mac=wanted["mac"],
            ips=tuple(wanted["ips"]),
            upper_layers=tuple(wanted["upperLayers"]),
        ),
        phase=Phase(body["phase"]),
        via=Via(body["via"]),
        sandbox_id=str(body["sandboxID"]),
        netns=NetnsRef(str(netns["path"]), int(netns["inode"]), int(netns["started"])),
        boot_id=str(body["bootID"]),
        sequence=int(body["sequence"]),
        invocation=Invocation(
            netconf=dict(call["netconf"]),
            path=tuple(call["path"]),
            args=tuple((str(key), str(value)) for key, value in call["args"]),
            capability_args=dict(call["capabilityArgs"]),
            definition=str(call["definition"]),
        ),
        result=body["result"],
        ifindex=int(body["ifindex"]),
        adopted=bool(body["adopted"]),
        static=bool(pod["static"]),
    )
