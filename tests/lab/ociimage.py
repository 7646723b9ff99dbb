"""The image of every container of the lab, as an archive that runtimes with CRI import.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Sequence
from typing import Any

from lab.busybox import root_filesystem

Json = dict[str, Any]
_TYPE = "application/vnd.oci.image."
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def archive(name: str, command: Sequence[str]) -> bytes:
    """A tar archive with one image under that name."""
    layer = root_filesystem()
    config: Json = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": list(command)},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }
    files: dict[str, bytes] = {}
    manifest = {
        "schemaVersion": 2,
        "config": _blob(files, "config.v1+json", _json(config)),
        "layers": [_blob(files, "layer.v1.tar", layer)],
    }
    listed = _blob(files, "manifest.v1+json", _json(manifest)) | {"annotations": {"io.containerd.image.name": name}}
    files["index.json"] = _json({"schemaVersion": 2, "manifests": [listed]})
    files["oci-layout"] = _json({"imageLayoutVersion": "1.0.0"})
    return _tar(files)


def _blob(files: dict[str, bytes], kind: str, content: bytes) -> Json:
    """Adds a file, and returns how others refer to it."""
    digest = _digest(content)
    files[f"blobs/{digest.replace(':', '/')}"] = content
    return {"mediaType": _TYPE + kind, "digest": digest, "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(value: Json) -> bytes:
    return json.dumps(value).encode()


def _tar(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return stream.getvalue()
