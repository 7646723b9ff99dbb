"""`ApiServer`: a stand-in for kube-apiserver on loopback, in this process, that tests can drive and break.

It answers list, watch, get, create and merge patch as the real server does, including its error objects. There is no
schema to validate objects, and nobody is refused for lack of a role.
"""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import tempfile
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path

from lab.apihttp import HttpServer
from lab.apirequest import RequestLog
from lab.apistore import ApiFailure, Json, Store, now

_REASONS = {403: "Forbidden", 404: "NotFound", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}


@dataclass
class _Failing:
    remaining: int
    part: str
    failure: ApiFailure


class ApiServer(Store):
    """Started with `start()` or as a context manager; keeps its port, objects and faults over `stop()`.

    Attributes:
        requests: every request received; ``requests.count("watch", "pods")``.
        delay_s: every request waits so long before it is looked at.
        tokens: only these bearer tokens are let in; with none, everybody is.
        silent: new connections are accepted, and get nothing.
        empty_lists: so many of the next lists of pods are empty.
        truncates_next: the next event of any watch is sent half, and its connection closed.
        bookmark_s: how often a watch gets a bookmark.
    """

    def __init__(self, *, port: int = 0, tls: bool = False, bookmark_s: float = 20.0, cluster: str = "lab") -> None:
        """`cluster`: servers with the same one are of one cluster."""
        super().__init__()
        uid = str(uuid.uuid5(uuid.NAMESPACE_DNS, cluster))
        self.create({"kind": "Namespace", "metadata": {"name": "kube-system", "uid": uid}})
        self.requests = RequestLog()
        self.bookmark_s = bookmark_s
        self.delay_s = 0.0
        self.tokens: set[str] = set()
        self.silent = False
        self._failing: list[_Failing] = []
        self.truncates_next = False
        self.empty_lists = 0
        self._port = port
        self._http: HttpServer | None = None
        self._pki = Path(tempfile.mkdtemp(prefix="podagent-lab-pki-")) if tls else None
        self._tls = _tls_context(self._pki) if self._pki else None

    def __enter__(self) -> ApiServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._pki:
            shutil.rmtree(self._pki)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    @property
    def open_connections(self) -> int:
        return len(self._http.connections) if self._http else 0

    def start(self) -> None:
        """Listens (again, on the same port)."""
        if not self._http:
            self._http = HttpServer(self._port, self, self._tls)
            self._port = self._http.server_address[1]
            threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """The server is away: every connection ends and new ones are refused. The objects stay."""
        if self._http:
            self._http.shutdown()
            self._http.server_close()
            self.drop_connections()
            self._http = None

    def write_kubeconfig(self, path: Path, token: str | None = None, token_file: Path | None = None) -> Path:
        """Writes a kubeconfig for this server (as JSON, which is YAML), file mode 0600."""
        authority = {"certificate-authority": str(self._pki / "server.crt")} if self._pki else {}
        user = ({"token": token} if token else {}) | ({"tokenFile": str(token_file)} if token_file else {})
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": {"server": self.url} | authority}],
            "users": [{"name": "podagent", "user": user}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "podagent"}}],
            "current-context": "lab",
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(config, indent=2))
        return path

    # --- the objects --------------------------------------------------------------------------------------------

    def annotate(self, namespace: str, name: str, annotations: dict[str, str | None]) -> None:
        """Sets annotations of a pod; None removes one."""
        self.patch("pods", namespace, name, {"metadata": {"annotations": annotations}})

    def set_status(self, namespace: str, name: str, status: Json) -> None:
        """Merges into the status of a pod."""
        self.patch("pods", namespace, name, {"status": status})

    def begin_deletion(self, namespace: str, name: str, grace_seconds: int = 30) -> None:
        """What a graceful delete does first: the pod stays, with a deletionTimestamp, until `delete`."""
        metadata = {"deletionTimestamp": now(), "deletionGracePeriodSeconds": grace_seconds}
        self.patch("pods", namespace, name, {"metadata": metadata})

    def events(self, namespace: str, name: str) -> list[Json]:
        """Event objects about the object of that namespace and name."""
        return [event for event in self.objects("events", namespace) if event["involvedObject"]["name"] == name]

    # --- the faults ---------------------------------------------------------------------------------------------

    def fail_next(self, count: int, status: int, part: str = "", retry_after: int | None = None) -> None:
        """The next `count` requests with that part in their URL fail. A running watch is not a new request."""
        failure = ApiFailure(status, _REASONS[status], "ordered by the test", retry_after)
        self._failing.append(_Failing(count, part, failure))

    def stop_failing(self) -> None:
        self._failing.clear()

    def drop_connections(self) -> None:
        """Closes every connection; new ones are served."""
        for connection in set(self._http.connections) if self._http else ():
            connection.abort()
        with self.changed:
            self.changed.notify_all()

    def go_silent(self, *, new_connections: bool = True, part: str = "") -> None:
        """Nothing is ever sent again on the connections of now (they stay open, the kernel acknowledges).

        With `new_connections`, neither on those made until `silent` is False again. With `part`, only on connections
        whose request has it in its URL.
        """
        self.silent = new_connections
        for connection in set(self._http.connections) if self._http else ():
            connection.silenced |= part in getattr(connection, "path", "")

    def heal(self) -> None:
        """Ends every fault and listens."""
        self.silent, self.tokens, self.delay_s = False, set(), 0.0
        self.stop_failing()
        self.start()

    # --- for its connections ------------------------------------------------------------------------------------

    def check(self, url: str, authorization: str) -> None:
        """Raises the failure that the request is to be answered with, if any."""
        if self.tokens and authorization.removeprefix("Bearer ") not in self.tokens:
            raise ApiFailure(401, "Unauthorized", "Unauthorized")
        with self.changed:
            for each in self._failing:
                if each.remaining and each.part in url:
                    each.remaining -= 1
                    raise each.failure


def _tls_context(directory: Path) -> ssl.SSLContext:
    key, certificate = str(directory / "server.key"), str(directory / "server.crt")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=podagent-lab",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
