"""Servers that see with what credentials a client comes."""

from __future__ import annotations

import base64
import json
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from unit.kube.loopback import Authority, Proxy, Server, Server6, make_authority
from unit.kubeconfig.table import REFUSED, Case, Seen, place

Client = Callable[[str, Mapping[str, str]], object]
"""Sends ``GET /x`` with a kubeconfig and an environment."""


class Observer(NamedTuple):
    servers: tuple[Server, ...]
    words: dict[str, str]

    def seen(self, case: Case, directory: Path, client: Client) -> Seen | str:
        """The last request of the client."""
        kubeconfig = place(directory, case, self.words)
        for server in self.servers:
            server.requests.clear()
        proxies = {name: value.replace("<proxy>", self.words["proxy"]) for name, value in case.environ.items()}
        client(str(kubeconfig), {**os.environ, **proxies})
        # Google's kubectl asks for the version first, to choose one of its own.
        requests = [each for server in self.servers for each in server.requests if "/version" not in each.path]
        if not requests:
            return REFUSED
        last = requests[-1]
        return Seen(last.headers.get("authorization"), last.certificate, last.path)


@contextmanager
def observer(directory: Path) -> Iterator[Observer]:
    for name in ("authority", "leaf"):
        (directory / name).mkdir()
    authority = make_authority(directory / "authority", "DNS:authority")
    leaf = make_authority(directory / "leaf", "IP:127.0.0.1,IP:::1,DNS:api.example", by=authority)
    context = leaf.context()
    context.load_verify_locations(authority.certificate)
    context.verify_mode = ssl.CERT_OPTIONAL
    with ExitStack() as stack:
        secure, plain, six = (stack.enter_context(server) for server in (Server(context), Server(), Server6(context)))
        proxy = stack.enter_context(Proxy(secure))
        urls = {"server": secure.url, "plain": plain.url, "v6": six.url, "proxy": proxy.url}
        urls["name"] = secure.url.replace("127.0.0.1", "localhost")
        yield Observer((secure, plain, six), {**urls, **_words(authority, leaf)})


def _words(authority: Authority, leaf: Authority) -> dict[str, str]:
    trusted, certificate, key = (path.read_bytes() for path in (authority.certificate, *leaf))
    status = {"clientCertificateData": certificate.decode(), "clientKeyData": key.decode()}
    return {
        "ca": base64.b64encode(trusted).decode(),
        "commented": base64.b64encode("# Autorität\n".encode() + trusted).decode(),
        "lines": base64.encodebytes(trusted).decode(),
        "crt": base64.b64encode(certificate).decode(),
        "key": base64.b64encode(key).decode(),
        "certificate status": json.dumps(status)[1:-1],
    }
