"""The root file system of every container of the lab, made out of the host's static busybox."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from lab import programs

_APPLETS = ("sh", "sleep", "ip", "top", "cat", "ls", "ping", "true")
_PACKAGE = "busybox-static"


def root_filesystem() -> bytes:
    """A tar archive."""
    busybox = _static_busybox()
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name in ("bin", "proc", "sys", "dev", "etc", "tmp"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        binary = tarfile.TarInfo("bin/busybox")
        binary.size, binary.mode = len(busybox), 0o755
        tar.addfile(binary, io.BytesIO(busybox))
        for applet in _APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return stream.getvalue()


def _static_busybox() -> bytes:
    content = Path(programs.find("busybox", _PACKAGE)).read_bytes()
    # A dynamically linked program names its loader in its first page.
    if b"/ld-" in content[:4096]:
        raise RuntimeError(f"the busybox of this host is not static: install the package {_PACKAGE}")
    return content
