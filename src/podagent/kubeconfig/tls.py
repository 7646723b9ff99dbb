"""The TLS context of a connection to the API server, with the checks that client-go makes."""

from __future__ import annotations

import os
import re
import ssl

from podagent.errors import KubeconfigError, KubeconfigUnreadable
from podagent.kubeconfig.reader import Credentials

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----", re.ASCII)


def context(credentials: Credentials) -> ssl.SSLContext:
    """For an ``https://`` server. Raises KubeconfigError if a certificate or key cannot be used."""
    try:
        made = _trusting(credentials)
        if credentials.certificate:
            _show(made, credentials.certificate)
    except (ssl.SSLError, ValueError) as fault:
        raise KubeconfigError(f"{credentials.origin}: the certificates cannot be used: {fault}") from None
    except OSError as fault:
        raise KubeconfigUnreadable(f"{credentials.origin}: the certificates cannot be used now: {fault}") from None
    return made


def _trusting(credentials: Credentials) -> ssl.SSLContext:
    made = ssl.create_default_context(cadata=_authorities(credentials.authority) or None)
    # Python 3.13 has begun to refuse authorities without key identifiers, which many clusters have; Go never did. Both
    # accept an authority that is itself signed by another one.
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if credentials.insecure:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


def _authorities(pem: bytes) -> str:
    """The certificates without the comments around them, which may be in any encoding."""
    found = b"\n".join(_CERTIFICATE.findall(pem))
    if pem and not found:
        raise ValueError("the certificate authority has no certificate in PEM")
    return found.decode("ascii")


def _show(made: ssl.SSLContext, certificate: bytes) -> None:
    """Loads the client certificate. OpenSSL only reads files: this one is in memory, and gone at once."""
    fd = os.memfd_create("client-certificate")
    try:
        _write(fd, certificate)
        made.load_cert_chain(f"/proc/self/fd/{fd}", password="")  # or OpenSSL would ask the terminal for one
    finally:
        os.close(fd)


def _write(fd: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(fd, rest) :]
