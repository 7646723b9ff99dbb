"""Kubeconfigs of all kinds with what the server gets to see: one table for kubectl, the agent and kactus.

Texts in ``<>`` are replaced: <server>, <plain> and <v6> are URLs, <ca> its authority, <crt> and <key> a client's
certificate and key, in base64. Beside the kubeconfig are the files of `FILES`.

Over plain HTTP kubectl sends no credentials. The agent and kactus do: a server of that kind is on the same node.
"""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

Json = dict[str, Any]

REFUSED = "refused"
"""No request reaches the server."""


class Seen(NamedTuple):
    """A request."""

    authorization: str | None = None
    certificate: bool = False
    path: str = "/x"


class Case(NamedTuple):
    name: str
    kubeconfig: Json | str
    expected: Seen | str
    environ: Mapping[str, str] = MappingProxyType({})


TOKEN = {"token": "abc"}
ABC = Seen("Bearer abc")
BELOW = ABC._replace(path="/k8s/c-1/x")
CERTIFIED = Seen(None, True)
AUTHORITY, DATA = "certificate-authority", "certificate-authority-data"
CA = {DATA: "<ca>"}
UNCHECKED = "insecure-skip-tls-verify"
BARE = {"server": "<server>"}
CLUSTER = {**BARE, **CA}
V1, BETA = (f"client.authentication.k8s.io/{version}" for version in ("v1", "v1beta1"))
MADE = Seen("Bearer made")
_PLUGIN = """#!/bin/sh
[ "$1" = fail ] && { echo "no session" >&2; exit 3; }
[ -n "$STATUS" ] || STATUS="\\"token\\": \\"made$1$WORD\\""
cat <<END
{"kind": "ExecCredential", "apiVersion": "${VERSION:-client.authentication.k8s.io/v1}", "status": {$STATUS}}
END
"""
FILES = {"token": "fresh\n", "empty": "", "blank": " \n", "d/token": "deep", "plugin": _PLUGIN}


def config(user: object = None, cluster: object = None, context: object = None, **top: object) -> Json:
    """One cluster, one user, one context; `top` replaces keys of the document."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "k", "cluster": CLUSTER if cluster is None else cluster}],
        "users": [{"name": "u", "user": TOKEN if user is None else user}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"} if context is None else context}],
        "current-context": "c",
        **top,
    }


def plugin(*args: str, **more: object) -> Json:
    given = {"apiVersion": V1, "command": "./plugin", "args": list(args), "interactiveMode": "Never", **more}
    return {"exec": {key: value for key, value in given.items() if value is not None}}


def variables(**values: str) -> Json:
    """Of a plugin's environment."""
    return {"env": [{"name": name, "value": value} for name, value in values.items()]}


def at(server: str, **more: object) -> Json:
    """A cluster; ``_`` in keys stands for a hyphen."""
    return {**CLUSTER, "server": server, **{key.replace("_", "-"): value for key, value in more.items()}}


def certificate(file: str = "", key_file: str = "", data: str = "", key: str = "") -> Json:
    keys = ("client-certificate", "client-key", "client-certificate-data", "client-key-data")
    return {name: value for name, value in zip(keys, (file, key_file, data, key), strict=True) if value}


SHOWN = certificate(data="<crt>", key="<key>")
PLAIN = {"server": "<plain>"}
ME = {"name": "u", "user": TOKEN}
OTHER = {"name": "other", "user": {"token": "other"}}
YAML = """apiVersion: v1
kind: Config
clusters: [{name: k, cluster: {server: "<server>", certificate-authority: ca.crt}}]
users:
- name: u
  user: {token: %s}
contexts: [{name: c, context: {cluster: k, user: u}}]
current-context: c
"""

PROXIES = {"HTTPS_PROXY": "<proxy>"}
FAR = config(cluster=at("https://api.example"))

CASES = [
    # Documents and contexts.
    Case("token", config(), ABC),
    Case("YAML", YAML % "abc", ABC),
    Case("YAML in two documents", YAML % "abc" + "---\n" + YAML % "def", ABC),
    Case("a mark of the byte order", "\ufeff" + YAML % "abc", ABC),
    Case("neither apiVersion nor kind", {key: value for key, value in config().items() if key[0] not in "ak"}, ABC),
    Case("another apiVersion", config(apiVersion="v2"), REFUSED),
    Case("another kind", config(kind="Pod"), REFUSED),
    Case("unknown keys", config({**TOKEN, "x": 7}, {**CLUSTER, "y": []}, extensions=[], z={}), ABC),
    Case("no current context", config(**{"current-context": ""}), REFUSED),
    Case("a current context that is not there", config(**{"current-context": "d"}), REFUSED),
    Case("a cluster that is not there", config(context={"cluster": "l", "user": "u"}), REFUSED),
    Case("the second of two users", config(users=[OTHER, ME]), ABC),
    Case("two users of one name", config(users=[ME] * 2), REFUSED),
    Case("two clusters of one name", config(clusters=[{"name": "k", "cluster": CLUSTER}] * 2), REFUSED),
    Case("no user in the context", config(cluster=PLAIN, context={"cluster": "k"}), Seen()),
    Case("an empty user in the context", config(cluster=PLAIN, context={"cluster": "k", "user": ""}), Seen()),
    Case("null for the user in the context", config(cluster=PLAIN, context={"cluster": "k", "user": None}), Seen()),
    Case("null for the user itself", config(cluster=PLAIN, users=[{"name": "u", "user": None}]), Seen()),
    Case("a user without credentials", config({}, PLAIN), Seen()),
    Case("a user that is not there", config(cluster=PLAIN, users=[]), Seen()),
    Case("null for the cluster itself", config(clusters=[{"name": "k", "cluster": None}]), REFUSED),
    Case("an entry that is null", config(users=[None, ME]), ABC),
    Case("an empty document", "", REFUSED),
    # The server.
    Case("no server", config(cluster=CA), REFUSED),
    Case("a path in the server", config(cluster=at("<server>/k8s/c-1/")), BELOW),
    Case("IPv6", config(cluster=at("<v6>")), ABC),
    Case("another name in the certificate", config(cluster=at("<name>", tls_server_name="api.example")), ABC),
    Case("a name that is not in the certificate", config(cluster=at("<server>", tls_server_name="x.example")), REFUSED),
    Case("a server that is not trusted", config(cluster={"server": "<server>"}), REFUSED),
    Case("a server that is not checked", config(cluster={**BARE, UNCHECKED: True}), ABC),
    Case("an authority and no check", config(cluster={**CLUSTER, UNCHECKED: True}), REFUSED),
    Case("an authority in a file beside", config(cluster={**BARE, AUTHORITY: "ca.crt"}), ABC),
    Case("an authority in a file and here", config(cluster={**CLUSTER, AUTHORITY: "ca.crt"}), REFUSED),
    Case("an authority that is not there", config(cluster={**BARE, AUTHORITY: "no.crt"}), REFUSED),
    Case("an authority with comments", config(cluster={**BARE, DATA: "<commented>"}), ABC),
    Case("an authority that is none", config(cluster={**BARE, DATA: "YWJj"}), REFUSED),
    Case("an authority that is not base64", config(cluster={**BARE, DATA: "!"}), REFUSED),
    Case("an authority in lines", config(cluster={**BARE, DATA: "<lines>"}), ABC),
    Case("a proxy", config(cluster=at("<server>", proxy_url="<proxy>")), ABC),
    Case("a proxy for a name", config(cluster=at("https://api.example", proxy_url="<proxy>")), ABC),
    Case("a proxy that is none", config(cluster=at("<server>", proxy_url="gopher://x")), REFUSED),
    Case("a proxy of the environment", FAR, ABC, PROXIES),
    Case("one in lower case", FAR, ABC, {"https_proxy": "<proxy>"}),
    Case("one that is not for this", FAR, REFUSED, {**PROXIES, "NO_PROXY": ".example"}),
    Case("one for others", FAR, ABC, {**PROXIES, "NO_PROXY": "x,.api.example,10.0.0.0/8"}),
    Case("none for this host", config(), ABC, {"HTTPS_PROXY": "http://127.0.0.1:1"}),
    # Ways to identify.
    Case("a token in a file", config({"tokenFile": "token"}), Seen("Bearer fresh")),
    Case("a token in a file elsewhere", config({"tokenFile": "d/token"}), Seen("Bearer deep")),
    Case("a token in an absolute path", config({"tokenFile": "<directory>/token"}), Seen("Bearer fresh")),
    Case("a fresh token beside a stale one", config({"token": "stale", "tokenFile": "token"}), Seen("Bearer fresh")),
    Case("an empty file beside a token", config({**TOKEN, "tokenFile": "empty"}), ABC),
    Case("a file that is not there beside a token", config({**TOKEN, "tokenFile": "no"}), ABC),
    Case("an empty file", config({"tokenFile": "empty"}), REFUSED),
    Case("a blank file", config({"tokenFile": "blank"}), REFUSED),
    Case("a file that is not there", config({"tokenFile": "no"}), REFUSED),
    Case("a password", config({"username": "me", "password": "p:ü"}), Seen("Basic bWU6cDrDvA==")),
    Case("a token and a password", config({**TOKEN, "username": "me", "password": "p"}), REFUSED),
    Case("a client certificate", config(SHOWN), CERTIFIED),
    Case("a client certificate in files", config(certificate("me.crt", "me.key")), CERTIFIED),
    Case("a client certificate in a file, its key here", config(certificate("me.crt", key="<key>")), CERTIFIED),
    Case("a client certificate and a token", config({**SHOWN, **TOKEN}), Seen("Bearer abc", True)),
    Case("a client certificate twice", config({**SHOWN, "client-certificate": "me.crt"}), REFUSED),
    Case("a client certificate without a key", config(certificate(data="<crt>")), REFUSED),
    Case("a key without a client certificate", config({**certificate(key="<key>"), **TOKEN}), ABC),
    Case("a client certificate that is not there", config(certificate("no", "me.key")), REFUSED),
    # Exec plugins.
    Case("a plugin", config(plugin()), MADE),
    Case("a plugin with an argument", config(plugin("-a", **variables(WORD="-b"))), Seen("Bearer made-a-b")),
    Case("a plugin of v1beta1", config(plugin(apiVersion=BETA, interactiveMode=None, **variables(VERSION=BETA))), MADE),
    Case("a plugin that answers in another version", config(plugin(**variables(VERSION=BETA))), REFUSED),
    Case("a plugin of an unknown version", config(plugin(apiVersion="v1")), REFUSED),
    Case("a plugin of v1 without its mode", config(plugin(interactiveMode=None)), REFUSED),
    Case("a plugin that needs a terminal", config(plugin(interactiveMode="Always")), REFUSED),
    Case("a plugin in PATH", config(plugin(command="sh", args=["<directory>/plugin"])), MADE),
    Case("a plugin that is not there", config(plugin(command="podagent-no-such")), REFUSED),
    Case("a plugin without a command", config(plugin(command=None)), REFUSED),
    Case("a plugin that fails", config(plugin("fail")), REFUSED),
    Case("a plugin that prints something else", config(plugin(command="echo", args=["hello"])), REFUSED),
    Case("a plugin that has no credentials", config(plugin(**variables(STATUS='"token": ""'))), REFUSED),
    Case("a plugin beside a token", config({**plugin(), **TOKEN}), ABC),
    Case("a plugin that fails beside a certificate", config({**plugin("fail"), **SHOWN}), CERTIFIED),
    Case("a plugin beside a certificate", config({**plugin(), **SHOWN}), CERTIFIED),
    Case("a plugin with a certificate", config(plugin(**variables(STATUS="<certificate status>"))), CERTIFIED),
    Case("a plugin whose variable has no name", config(plugin(env=[{"name": "", "value": "x"}])), REFUSED),
    Case("a provider of before the plugins", config({"auth-provider": {"name": "gcp"}}), REFUSED),
    # Odd types.
    Case("a number for a token", YAML % "1234", REFUSED),
    Case("a number with zeros for a token", YAML % "0123", REFUSED),
    Case("a truth for a token", YAML % "yes", REFUSED),
    Case("a date for a token", YAML % "2026-11-27", Seen("Bearer 2026-11-27")),
    Case("null for a token", config({"token": None}, PLAIN), Seen()),
    Case("a number for a user's name", config({"username": 7}), REFUSED),
    Case("a number in another user", config(users=[{"name": "o", "user": {"token": 7}}, ME]), REFUSED),
    Case("a text for a truth", config(cluster={**BARE, UNCHECKED: "true"}), REFUSED),
    Case("a mapping for the users", config(users={"u": TOKEN}), REFUSED),
    Case("a text for a user", config(users=[{"name": "u", "user": "abc"}]), REFUSED),
    Case("a number in the arguments", config(plugin(args=[7])), REFUSED),
    Case("null for the lists", config(plugin(args=None, env=None)), MADE),
]  # fmt: skip


def place(directory: Path, case: Case, words: dict[str, str]) -> Path:
    """Writes the kubeconfig, with `words` in the places of those in ``<>``, and the files beside it."""
    for name, content in FILES.items():
        file = directory / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(content)
    (directory / "plugin").chmod(stat.S_IRWXU)
    for name, word in (("ca.crt", "ca"), ("me.crt", "crt"), ("me.key", "key")):
        (directory / name).write_bytes(base64.b64decode(words[word]))
    text = case.kubeconfig if isinstance(case.kubeconfig, str) else json.dumps(case.kubeconfig, ensure_ascii=False)
    for word, value in {**words, "directory": str(directory)}.items():
        text = text.replace(f"<{word}>", value if isinstance(case.kubeconfig, str) else json.dumps(value)[1:-1])
    path = directory / "kubeconfig"
    path.write_text(text)
    return path
