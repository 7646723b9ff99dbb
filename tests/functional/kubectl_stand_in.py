"""What the scripts use of kubectl, for machines without it: a few verbs against the API stand-in.

Run as `kubectl`; KUBECTL_SERVER is the server, KUBECTL_NOTES a directory: what is applied is noted there, and every
token secret gets its token at the second look, as from a controller that is slower than the script.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

NOTES = Path(os.environ["KUBECTL_NOTES"])
PATHS = {"pod": "api/v1/namespaces/{}/pods/{}", "networks.kaloom.com": "apis/kaloom.com/v1/namespaces/{}/networks/{}"}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("words", nargs="+")
    parser.add_argument("-n", dest="namespace", default="default")
    parser.add_argument("-o", dest="output", default="json")
    parser.add_argument("-p", dest="patch")
    parser.add_argument("-f", dest="file")
    parser.add_argument("--type")
    parser.add_argument("--ignore-not-found", action="store_true")
    parser.add_argument("--minify", action="store_true")
    args = parser.parse_args()
    if args.words[:1] == ["apply"]:
        return apply()
    if args.words == ["config", "view"]:
        return view_config(args.output)
    verb, kind, name = args.words
    if kind == "namespace":
        return 0 if name != "missing" else fail(f"Error from server (NotFound): namespaces {name!r} not found")
    if kind == "secret":
        return secret(args.output)
    return api(verb, PATHS[kind].format(args.namespace, name), args)


def apply() -> int:
    with (NOTES / "applied.yaml").open("a") as notes:
        notes.write(sys.stdin.read() + "---\n")
    return 0


def view_config(output: str) -> int:
    server = os.environ["KUBECTL_SERVER"]
    if not server:
        return fail("error: current-context must exist in order to minify")
    name_check = os.environ.get("KUBECTL_TLS_SERVER_NAME", "")
    print(server if output.endswith(".server}") else name_check, end="")
    return 0


def secret(output: str) -> int:
    looks = NOTES / "looks"
    seen = int(looks.read_text()) if looks.exists() else 0
    looks.write_text(str(seen + 1))
    if seen:
        print(base64.b64encode(b"to.k.en" if "token" in output else b"CERTIFICATE").decode(), end="")
    return 0


def api(verb: str, path: str, args: Any) -> int:
    url = f"{os.environ['KUBECTL_SERVER']}/{path}"
    headers = {"Content-Type": "application/merge-patch+json"}
    data = args.patch.encode() if verb == "patch" else None
    method = "PATCH" if verb == "patch" else "GET"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method)) as answer:
            found = json.load(answer)
    except urllib.error.HTTPError as error:
        status = json.load(error)
        if error.code == 404 and args.ignore_not_found:
            return 0
        return fail(f"Error from server ({status['reason']}): {status['message']}")
    print(found["metadata"]["name"] if args.output == "name" else json.dumps(found))
    return 0


def fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
