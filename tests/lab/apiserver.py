"""`ApiServer`: a stand-in for kube-apiserver on loopback, in this process, that tests can drive and break.

It answers list, watch, get, create, patch and delete as the real server does, including its error objects. A
strategic merge patch is treated as a merge patch; objects are not validated against a schema, and nobody is refused for
lack of a role.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import ssl
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

from lab import apistore
from lab.apihttp import HttpServer
from lab.apirequest import RequestLog
from lab.apistore import Resource, Store
from lab.faults import Faults, Match

Json = dict[str, Any]


class ApiServer:
    """Started with `start()` or as a context manager; keeps its port, objects and faults over `stop()`.

    Attributes:
        requests: every request received; ``requests.count("watch", "pods")``.
        store: the objects; most tests use the shorter methods here.
    """

    def __init__(self, *, tls: bool = False, bookmark_seconds: float = 60.0, history: int = 5000) -> None:
        """`bookmark_seconds`: how often watches that allow it get a bookmark; `history`: events kept per resource."""
        self.store = Store(history=history)
        self.requests = RequestLog()
        self.bookmark_seconds = bookmark_seconds
        self._faults = Faults()
        self._port = 0
        self._http: HttpServer | None = None
        self._thread: threading.Thread | None = None
        self._pki = Path(tempfile.mkdtemp(prefix="podagent-lab-pki-")) if tls else None
        self._tls = _tls_context(self._pki) if self._pki else None

    def __enter__(self) -> ApiServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the server ---------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listens (again, on the same port)."""
        if self._http:
            return
        self._http = HttpServer(self._port, self.store, self._faults, self.requests, self._tls)
        self._http.bookmark_seconds = self.bookmark_seconds
        self._port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), name="api", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """The server is away: every connection ends and new ones are refused. The objects stay."""
        if not self._http:
            return
        http, self._http = self._http, None
        http.stopping.set()
        http.shutdown()
        http.server_close()
        for connection in http.connections:
            connection.abort()
        with self.store.changed:
            self.store.changed.notify_all()

    def close(self) -> None:
        """Stops for good and removes what was made for TLS."""
        self.stop()
        if self._pki:
            shutil.rmtree(self._pki, ignore_errors=True)

    def write_kubeconfig(
        self, path: Path | str, token: str | None = None, token_file: Path | str | None = None
    ) -> Path:
        """Writes a kubeconfig for this server (as JSON, which is YAML), file mode 0600."""
        cluster: Json = {"server": self.url}
        if self._pki:
            cluster["certificate-authority"] = str(self._pki / "server.crt")
        user = ({"token": token} if token else {}) | ({"tokenFile": str(token_file)} if token_file else {})
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": "podagent", "user": user}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "podagent"}}],
            "current-context": "lab",
        }
        path = Path(path)
        path.touch(mode=0o600)
        path.write_text(json.dumps(config, indent=2))
        return path

    # --- the objects --------------------------------------------------------------------------------------------

    def resource(self, name: str) -> Resource:
        """The resource with that plural name or kind."""
        for resource in self.store.resources:
            if name in (resource.plural, resource.kind):
                return resource
        raise KeyError(name)

    def create(self, obj: Json) -> Json:
        """Creates the object that its ``kind`` and ``metadata.namespace`` (default ``default``) say."""
        resource = self.resource(obj["kind"])
        namespace = obj["metadata"].get("namespace", "default") if resource.namespaced else ""
        return self.store.create(resource, namespace, obj)

    def get(self, resource: str, namespace: str, name: str) -> Json:
        return self.store.get(self.resource(resource), namespace, name)

    def exists(self, resource: str, namespace: str, name: str) -> bool:
        return any(obj["metadata"]["name"] == name for obj in self.objects(resource, namespace))

    def objects(self, resource: str, namespace: str = "") -> list[Json]:
        return self.store.snapshot(self.resource(resource), namespace)[0]

    def patch(self, resource: str, namespace: str, name: str, patch: Json, part: str = "") -> Json:
        """Merge patch. `part`: "status" for the status subresource."""
        found = self.resource(resource)
        return self.store.edit(found, namespace, name, lambda obj: apistore.merged(obj, patch), part)

    def delete(self, resource: str, namespace: str, name: str) -> Json:
        return self.store.delete(self.resource(resource), namespace, name)

    def patch_annotations(self, namespace: str, name: str, annotations: dict[str, str | None]) -> Json:
        """Sets annotations of a pod; None removes one."""
        return self.patch("pods", namespace, name, {"metadata": {"annotations": annotations}})

    def set_status(self, namespace: str, name: str, status: Json) -> Json:
        """Merges into the status of a pod."""
        return self.patch("pods", namespace, name, {"status": status}, "status")

    def begin_deletion(self, namespace: str, name: str, grace_seconds: int = 30) -> Json:
        """What a graceful delete does first: the pod stays, with a deletionTimestamp, until `delete`."""
        metadata = {"deletionTimestamp": apistore.now(), "deletionGracePeriodSeconds": grace_seconds}
        return self.patch("pods", namespace, name, {"metadata": metadata})

    def events(self, namespace: str = "", name: str = "") -> list[Json]:
        """Event objects about the objects of that namespace and name ("" for any)."""
        found = self.objects("events", namespace)
        return [event for event in found if name in ("", event.get("involvedObject", {}).get("name", ""))]

    # --- the faults ---------------------------------------------------------------------------------------------

    def fail_next(self, count: int, status: int = 500, retry_after: int | None = None, match: Match = None) -> None:
        """See `Faults.fail_next`. A watch that is already running is not a new request: see `drop_connections`."""
        self._faults.fail_next(count, status, retry_after, match)

    def stop_failing(self) -> None:
        self._faults.stop_failing()

    def set_tokens(self, tokens: set[str]) -> None:
        self._faults.set_tokens(tokens)

    def delay_requests(self, seconds: float) -> None:
        """Every request from now on waits so long before it is looked at; 0 ends that."""
        self._faults.delay = seconds

    def expire_history(self, *, running_watches: bool = False) -> None:
        """Every resourceVersion from before now is too old to start from; `running_watches` get their 410 as well."""
        self.store.compact(running_watches=running_watches)

    def truncate_next_watch_line(self) -> None:
        """The next event of any watch is sent half, and its connection closed."""
        self._faults.truncate_next_watch_line()

    def drop_connections(self) -> None:
        """Closes every connection; new ones are served."""
        for connection in self._http.connections if self._http else ():
            connection.abort()

    def go_silent(self, *, new_connections: bool = True) -> None:
        """Nothing is ever sent again on the connections of now (they stay open, the kernel acknowledges).

        With `new_connections`, connections made until `resume()` are accepted and get nothing either.
        """
        self._faults.silences_new_connections = new_connections
        for connection in self._http.connections if self._http else ():
            connection.silenced = True

    def resume(self) -> None:
        """New connections are served again; those that went silent stay so until the client closes them."""
        self._faults.silences_new_connections = False

    def heal(self) -> None:
        """Ends every fault and listens."""
        self.resume()
        self.stop_failing()
        self.set_tokens(set())
        self.delay_requests(0)
        self.start()

    @property
    def open_connections(self) -> int:
        return len(self._http.connections) if self._http else 0


def _tls_context(directory: Path) -> ssl.SSLContext:
    key, certificate = directory / "server.key", directory / "server.crt"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=podagent-lab"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    subprocess.run(
        [*command, *names, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True, timeout=60
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with contextlib.suppress(AttributeError):
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context
