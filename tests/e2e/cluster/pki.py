"""Certificates and kubeconfigs of the cluster's components, by openssl."""

from __future__ import annotations

import json
import subprocess

from e2e.cluster.layout import API_URL, NODE_NAME, PKI, kubeconfig

# Who is who to the API server: organisation and common name. Its built-in roles are bound to these.
USERS = {
    "admin": "/O=system:masters/CN=admin",
    "kubelet": f"/O=system:nodes/CN=system:node:{NODE_NAME}",
    "controller-manager": "/CN=system:kube-controller-manager",
    "scheduler": "/CN=system:kube-scheduler",
}
_API_NAMES = "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:kubernetes.default.svc,IP:10.96.0.1"
_NEW = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30"


def make_pki() -> None:
    """Makes the authority, a certificate for each component, and a kubeconfig for each user."""
    PKI.mkdir(parents=True)
    _openssl(f"{_NEW} -keyout ca.key -out ca.crt -subj /CN=podagent-e2e-ca")
    _openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out sa.key")
    _openssl("pkey -in sa.key -pubout -out sa.pub")
    _certificate("apiserver", "/CN=kube-apiserver", f"-addext {_API_NAMES}")
    _certificate("client-kubelet", "/O=system:masters/CN=apiserver-kubelet-client")
    for user, subject in USERS.items():
        _certificate(user, subject)
        _write_kubeconfig(user)


def _certificate(name: str, subject: str, extensions: str = "") -> None:
    usage = "-addext basicConstraints=CA:FALSE -addext extendedKeyUsage=serverAuth,clientAuth"
    signed = f"-CA ca.crt -CAkey ca.key -subj {subject} {usage} {extensions}"
    _openssl(f"{_NEW} -keyout {name}.key -out {name}.crt {signed}")


def _openssl(command: str) -> None:
    subprocess.run(["openssl", *command.split()], cwd=PKI, check=True, capture_output=True, timeout=60)


def _write_kubeconfig(user: str) -> None:
    credentials = {"client-certificate": f"{PKI}/{user}.crt", "client-key": f"{PKI}/{user}.key"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "e2e", "cluster": {"server": API_URL, "certificate-authority": f"{PKI}/ca.crt"}}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": user, "context": {"cluster": "e2e", "user": user}}],
        "current-context": user,
    }
    kubeconfig(user).write_text(json.dumps(config, indent=1))
    kubeconfig(user).chmod(0o600)
