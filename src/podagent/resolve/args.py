"""The CNI_ARGS common to the attachments of a pod. Pure."""

from __future__ import annotations

from podagent.model import Pod, Sandbox


def pod_args(pod: Pod, sandbox: Sandbox) -> tuple[tuple[str, str], ...]:
    """The arguments that Kubernetes runtimes pass, in the order of the kubelet's dockershim."""
    return (
        ("IgnoreUnknown", "1"),
        ("K8S_POD_NAMESPACE", pod.key.namespace),
        ("K8S_POD_NAME", pod.key.name),
        ("K8S_POD_INFRA_CONTAINER_ID", sandbox.id),
    )


def delegate_args(pod: Pod, sandbox: Sandbox) -> tuple[tuple[str, str], ...]:
    """Those of containerd and CRI-O, which tell the pod's UID too. Kaloom's kactus gets it from no caller."""
    return (*pod_args(pod, sandbox), ("K8S_POD_UID", pod.key.uid))
