"""Pods whose processes are not in the sandbox's network namespace, but in a guest with interfaces of its own. Pure."""

from __future__ import annotations

# By parts of the names that runtime handlers and runtime types usually have.
_GUESTS = {"kata": "Kata Containers", "runsc": "gVisor", "gvisor": "gVisor"}


def guest(handler: str, runtime_type: str) -> str:
    """The runtime that takes the interfaces over into a guest when the sandbox starts; "" if it does not.

    Args:
        handler: that of the pod's RuntimeClass, such as ``kata-qemu``.
        runtime_type: containerd's name of the runtime, such as ``io.containerd.runsc.v1``.
    """
    names = f"{handler} {runtime_type}".lower()
    return next((name for part, name in _GUESTS.items() if part in names), "")
