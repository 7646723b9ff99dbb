"""A stand-in for kubectl: what the example and the operator's scripts use of it, against the lab's API server.

Reads KUBECONFIG for the server, as the real one does. What it does not support, it refuses. Output is worded as the
real one words it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_IN_NAMESPACE, _RBAC = "/api/v1/namespaces/{}", "/apis/rbac.authorization.k8s.io/v1"
_COLLECTIONS = {
    "namespace": "/api/v1/namespaces",
    "pod": f"{_IN_NAMESPACE}/pods",
    "secret": f"{_IN_NAMESPACE}/secrets",
    "serviceaccount": f"{_IN_NAMESPACE}/serviceaccounts",
    "network": "/apis/kaloom.com/v1/namespaces/{}/networks",
    "clusterrole": f"{_RBAC}/clusterroles",
    "clusterrolebinding": f"{_RBAC}/clusterrolebindings",
}
# Of these the real one makes the random ends of names too: no vowels, so that no words come out.
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


class Refusal(Exception):
    """Printed on stderr; the exit code is 1."""


def main(argv: list[str]) -> int:
    """Returns the exit code."""
    at = argv.index("--") if "--" in argv else len(argv)
    # Intermixed: words may stand before and after options, as in `exec -t POD`.
    args = _parser().parse_intermixed_args(argv[:at])
    verbs = {"apply": _apply, "config": _config, "run": _run, "get": _get, "patch": _patch, "exec": _exec}
    try:
        if args.verb not in verbs:
            raise Refusal(f"error: this stand-in for kubectl supports {', '.join(verbs)}; not {args.verb}")
        return verbs[args.verb](args, argv[at + 1 :])
    except Refusal as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"Unable to connect to the server: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("kubectl", description="A stand-in for kubectl.", allow_abbrev=False)
    parser.add_argument("verb")
    parser.add_argument("words", nargs="*")
    parser.add_argument("-n", "--namespace", default="default")
    parser.add_argument("-o", "--output", default="")
    parser.add_argument("-l", "--selector", default="")
    parser.add_argument("-f", "--filename", default="")
    parser.add_argument("-p", "--patch", default="")
    parser.add_argument("--type", default="merge", choices=("merge",))
    parser.add_argument("--image", default="")
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("-t", "--tty", action="store_true")
    parser.add_argument("--ignore-not-found", action="store_true")
    parser.add_argument("--minify", action="store_true")
    return parser


def _apply(args: Any, _: list[str]) -> int:
    import yaml  # noqa: PLC0415 - only here, and it takes its time

    with Path("/dev/stdin" if args.filename == "-" else args.filename).open() as file:
        objects = [obj for obj in yaml.safe_load_all(file) if obj]
    for obj in objects:
        kind, name = obj["kind"].lower(), obj["metadata"]["name"]
        collection = _collection(kind, obj["metadata"].get("namespace", args.namespace))
        print(f"{_qualified(kind)}/{name} {_create_or_patch(collection, name, obj)}")
    return 0


def _create_or_patch(collection: str, name: str, obj: Json) -> str:
    try:
        _call("POST", collection, obj)
    except Refusal as error:
        if "(AlreadyExists)" not in str(error):
            raise
        _call("PATCH", f"{collection}/{name}", obj)
        return "configured"
    return "created"


def _config(args: Any, _: list[str]) -> int:
    kubeconfig = _kubeconfig()
    if not kubeconfig.get("current-context"):
        raise Refusal("error: current-context must exist in order to minify")
    _print_objects([kubeconfig], args.output, "config")
    return 0


def _run(args: Any, command: list[str]) -> int:
    """Makes the pods at once: without the Deployment and the ReplicaSet, whose controllers are not part of the demo."""
    (name,) = args.words
    template = _ending(9)
    container = {"name": name, "image": args.image, "args": command}
    for _ in range(args.replicas):
        metadata = {"name": f"{name}-{template}-{_ending(5)}", "labels": {"run": name, "pod-template-hash": template}}
        # There is no scheduler either, and only one node.
        spec = {"nodeName": os.environ["DEMO_NODE"], "containers": [container]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}
        _call("POST", _collection("pod", args.namespace), pod)
    print(f"deployment.apps/{name} created")
    return 0


def _ending(length: int) -> str:
    return "".join(random.choices(_LETTERS, k=length))


def _get(args: Any, _: list[str]) -> int:
    kind, *names = args.words
    collection = _collection(kind, args.namespace)
    if not names:
        query = urllib.parse.urlencode({"labelSelector": args.selector})
        found = _call("GET", f"{collection}?{query}")["items"]
    else:
        found = [obj for name in names for obj in _named(collection, name, args.ignore_not_found)]
    _print_objects(found, args.output, _qualified(kind))
    return 0


def _named(collection: str, name: str, ignore_not_found: bool) -> list[Json]:
    try:
        return [_call("GET", f"{collection}/{name}")]
    except Refusal as error:
        if ignore_not_found and "(NotFound)" in str(error):
            return []
        raise


def _print_objects(objects: list[Json], output: str, kind: str) -> None:
    style, _, path = output.partition("=")
    if style == "json":
        print("\n".join(json.dumps(obj, indent=4) for obj in objects))
    elif style == "name":
        print("".join(f"{kind}/{obj['metadata']['name']}\n" for obj in objects), end="")
    elif style == "jsonpath":
        print(*(_field(obj, path) for obj in objects), end="")
    elif style in ("", "wide"):
        _print_table([_row(pod) for pod in objects], wide=style == "wide")
    else:
        raise Refusal(f"error: this stand-in for kubectl does not support -o {output}")


def _field(obj: Any, path: str) -> Any:
    """What a JSONPath of names and indices, such as {.data.ca\\.crt}, leads to; "" if there is no such field."""
    for part in re.findall(r"(?:[^.\[\]{}\\]|\\.)+", path):
        name = part.replace("\\", "")
        obj = obj[int(name)] if isinstance(obj, list) else obj.get(name, "") if obj else ""
    return obj


def _row(pod: Json) -> Json:
    status = pod.get("status", {})
    containers = status.get("containerStatuses", [])
    created = datetime.fromisoformat(pod["metadata"]["creationTimestamp"].replace("Z", "+00:00"))
    return {
        "NAME": pod["metadata"]["name"],
        "READY": f"{sum(each['ready'] for each in containers)}/{len(pod['spec']['containers'])}",
        "STATUS": status.get("phase", ""),
        "RESTARTS": str(sum(each["restartCount"] for each in containers)),
        "AGE": f"{int((datetime.now(timezone.utc) - created).total_seconds())}s",
        "IP": status.get("podIP", "<none>"),
        "NODE": pod["spec"].get("nodeName", "<none>"),
    }


def _print_table(rows: list[Json], *, wide: bool) -> None:
    columns = ["NAME", "READY", "STATUS", "RESTARTS", "AGE", *(["IP", "NODE"] if wide else [])]
    table = [columns, *([row[column] for column in columns] for row in rows)]
    widths = [max(map(len, column)) + 3 for column in zip(*table, strict=True)]
    for cells in table:
        print("".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def _patch(args: Any, _: list[str]) -> int:
    kind, name = args.words
    _call("PATCH", f"{_collection(kind, args.namespace)}/{name}", json.loads(args.patch))
    print(f"{kind}/{name} patched")
    return 0


def _exec(args: Any, command: list[str]) -> int:
    # Only here, because it takes its time.
    root = Path(__file__).resolve().parents[1]
    sys.path += [str(root), str(root / "tests")]
    from demo import host  # noqa: PLC0415

    (name,) = args.words
    pod = _call("GET", f"{_collection('pod', args.namespace)}/{name}")
    container = pod["status"]["containerStatuses"][0]["containerID"].partition("://")[2]
    code, output = host.private_runtime(os.environ["DEMO_RUNTIME"]).exec(container, command, tty=args.tty)
    sys.stdout.buffer.write(output)
    return code


def _collection(kind: str, namespace: str) -> str:
    """The path of the resource that is called `pod`, `pods` or, with its group, `networks.kaloom.com`."""
    singular = kind.partition(".")[0].removesuffix("s")
    if singular not in _COLLECTIONS:
        raise Refusal(f"error: the server doesn't have a resource type {kind!r}")
    return _COLLECTIONS[singular].format(namespace)


def _qualified(kind: str) -> str:
    """The singular with the group, if it has one."""
    parts = _collection(kind, "").split("/")
    return ".".join([kind.partition(".")[0].removesuffix("s"), *([parts[2]] if parts[1] == "apis" else [])])


def _kubeconfig() -> Json:
    return dict(json.loads(Path(os.environ["KUBECONFIG"]).read_text()))


def _call(method: str, path: str, body: Json | None = None) -> Json:
    url = _kubeconfig()["clusters"][0]["cluster"]["server"] + path
    content_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"Content-Type": content_type}, method=method)
    try:
        # Never through a proxy: the server is on loopback.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        status = json.load(error)
        raise Refusal(f"Error from server ({status['reason']}): {status['message']}") from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
