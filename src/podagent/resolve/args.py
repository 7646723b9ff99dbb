"""The CNI_ARGS that every attachment of a pod is made with. Pure."""

from __future__ import annotations

from podagent.model import Pod, Sandbox


def pod_args(pod: Pod, sandbox: Sandbox) -> tuple[tuple[str, str], ...]:
    """The arguments that every Kubernetes runtime passes, in the order the kubelet's dockershim used."""
    return (
        ("IgnoreUnknown", "1"),
        ("K8S_POD_NAMESPACE", pod.key.namespace),
        ("K8S_POD_NAME", pod.key.name),
        ("K8S_POD_INFRA_CONTAINER_ID", sandbox.id),
    )
