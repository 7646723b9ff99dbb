"""Certificates and kubeconfigs of the cluster's components, by openssl."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from e2e.cluster.layout import API_URL, NODE_NAME, Layout

# Who is who to the API server: (organisation, common name). The names are those that its built-in roles are bound to.
USERS = {
    "admin": ("system:masters", "admin"),
    "kubelet": ("system:nodes", f"system:node:{NODE_NAME}"),
    "controller-manager": ("", "system:kube-controller-manager"),
    "scheduler": ("", "system:kube-scheduler"),
}
_API_NAMES = "IP:127.0.0.1,DNS:localhost,DNS:kubernetes.default.svc,IP:10.96.0.1"


def make_pki(layout: Layout) -> None:
    """Makes the authority, a certificate for each component, and a kubeconfig for each user."""
    layout.pki.mkdir(parents=True)
    _openssl(
        layout.pki, "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 30 -subj /CN=podagent-e2e-ca"
    )
    _certificate(layout.pki, "apiserver", "/CN=kube-apiserver", _API_NAMES)
    _certificate(layout.pki, "client-kubelet", "/O=system:masters/CN=apiserver-kubelet-client")
    _openssl(layout.pki, "genrsa -out sa.key 2048")
    _openssl(layout.pki, "rsa -in sa.key -pubout -out sa.pub")
    for user, (organisation, name) in USERS.items():
        _certificate(layout.pki, user, f"{f'/O={organisation}' if organisation else ''}/CN={name}")
        _kubeconfig(layout, user)


def _certificate(pki: Path, name: str, subject: str, names: str = "") -> None:
    _openssl(pki, f"req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj {subject}")
    extensions = f"subjectAltName={names}\n" if names else ""
    (pki / f"{name}.ext").write_text(f"{extensions}extendedKeyUsage=serverAuth,clientAuth\n")
    signed = f"x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile {name}.ext"
    _openssl(pki, f"{signed} -out {name}.crt")


def _openssl(pki: Path, command: str) -> None:
    subprocess.run(["openssl", *command.split()], cwd=pki, check=True, capture_output=True, timeout=60)


def _kubeconfig(layout: Layout, user: str) -> None:
    pki = layout.pki
    cluster = {"server": API_URL, "certificate-authority": f"{pki}/ca.crt"}
    credentials = {"client-certificate": f"{pki}/{user}.crt", "client-key": f"{pki}/{user}.key"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "e2e", "cluster": cluster}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": user, "context": {"cluster": "e2e", "user": user}}],
        "current-context": user,
    }
    path = layout.kubeconfig(user)
    path.write_text(json.dumps(config, indent=1))
    path.chmod(0o600)
