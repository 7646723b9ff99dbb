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
from unit.kubeconfig.table import PRINTED, REFUSED, Case, Seen, place

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
    authority = make_authority(directory, "IP:127.0.0.1,IP:::1,DNS:api.example")
    context = authority.context(ask_for_client=True, need=ssl.CERT_OPTIONAL)
    with ExitStack() as stack:
        secure, plain, six = (stack.enter_context(server) for server in (Server(context), Server(), Server6(context)))
        proxy = stack.enter_context(Proxy(secure))
        urls = {"server": secure.url, "plain": plain.url, "v6": six.url, "proxy": proxy.url}
        yield Observer(
            (secure, plain, six), {**urls, "name": secure.url.replace("127.0.0.1", "localhost"), **_words(authority)}
        )


def _words(authority: Authority) -> dict[str, str]:
    certificate, key = (path.read_bytes() for path in authority)
    status = {"clientCertificateData": certificate.decode(), "clientKeyData": key.decode()}
    printed = {**PRINTED, "status": status}
    return {
        "ca": base64.b64encode(certificate).decode(),
        "key": base64.b64encode(key).decode(),
        "commented": base64.b64encode("# Autorität\n".encode() + certificate).decode(),
        "lines": base64.encodebytes(certificate).decode(),
        "certificate status": json.dumps(printed["status"])[1:-1],
    }
