"""The messages of CRI as Google's library has them, made of the field numbers in api.proto."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_FieldProto = descriptor_pb2.FieldDescriptorProto
_SCALARS = {"string": _FieldProto.TYPE_STRING, "int64": _FieldProto.TYPE_INT64, "int32": _FieldProto.TYPE_INT32,
            "bool": _FieldProto.TYPE_BOOL, "uint32": _FieldProto.TYPE_UINT32}  # fmt: skip
# The numbers of enums are int32 on the wire. A "*" repeats, "map" is of strings.
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "VersionRequest": {"version": (1, "string")},
    "VersionResponse": {
        "version": (1, "string"), "runtime_name": (2, "string"), "runtime_version": (3, "string"),
        "runtime_api_version": (4, "string"),
    },
    "PodSandboxStateValue": {"state": (1, "int32")},
    "PodSandboxFilter": {"id": (1, "string"), "state": (2, "PodSandboxStateValue"), "label_selector": (3, "map")},
    "ListPodSandboxRequest": {"filter": (1, "PodSandboxFilter")},
    "PodSandboxMetadata": {
        "name": (1, "string"), "uid": (2, "string"), "namespace": (3, "string"), "attempt": (4, "uint32"),
    },
    "PodSandbox": {
        "id": (1, "string"), "metadata": (2, "PodSandboxMetadata"), "state": (3, "int32"), "created_at": (4, "int64"),
        "labels": (5, "map"), "annotations": (6, "map"), "runtime_handler": (7, "string"),
    },
    "ListPodSandboxResponse": {"items": (1, "*PodSandbox")},
    "PodSandboxStatusRequest": {"pod_sandbox_id": (1, "string"), "verbose": (2, "bool")},
    "NamespaceOption": {"network": (1, "int32"), "pid": (2, "int32"), "ipc": (3, "int32"), "target_id": (4, "string")},
    "Namespace": {"options": (2, "NamespaceOption")},
    "LinuxPodSandboxStatus": {"namespaces": (1, "Namespace")},
    "PodSandboxStatus": {
        "id": (1, "string"), "metadata": (2, "PodSandboxMetadata"), "state": (3, "int32"), "created_at": (4, "int64"),
        "linux": (6, "LinuxPodSandboxStatus"), "labels": (7, "map"), "annotations": (8, "map"),
        "runtime_handler": (9, "string"),
    },
    "PodSandboxStatusResponse": {"status": (1, "PodSandboxStatus"), "info": (2, "map")},
}  # fmt: skip


def message(name: str, /, **values: Any) -> Any:
    """A message of the library's, with these values."""
    return _CLASSES[f"runtime.v1.{name}"](**values)


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="api.proto", package="runtime.v1", syntax="proto3")
    for name, fields in _MESSAGES.items():
        described = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add_field(described, field, number, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)  # type: ignore[attr-defined,unused-ignore]
    return {
        full: message_factory.GetMessageClass(pool.FindMessageTypeByName(full))
        for full in (f"runtime.v1.{name}" for name in _MESSAGES)
    }


def _add_field(described: Any, name: str, number: int, kind: str) -> None:
    field = described.field.add(name=name, number=number, label=_FieldProto.LABEL_OPTIONAL)
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
        return
    field.type = _FieldProto.TYPE_MESSAGE
    if kind == "map" or kind.startswith("*"):
        field.label = _FieldProto.LABEL_REPEATED
    if kind == "map":
        entry = described.nested_type.add(name="".join(part.title() for part in name.split("_")) + "Entry")
        entry.options.map_entry = True
        for number_of, part in enumerate(("key", "value"), 1):
            entry.field.add(name=part, number=number_of, label=_FieldProto.LABEL_OPTIONAL, type=_SCALARS["string"])
        field.type_name = f".runtime.v1.{described.name}.{entry.name}"
    else:
        field.type_name = f".runtime.v1.{kind.removeprefix('*')}"


_CLASSES = _classes()
