"""Owns the way from a kubeconfig file, or a pod's service account, to a configuration of the client library.

Reads files and, if the kubeconfig asks for it, runs its exec plugin; it must not talk to the API server and keeps no
state: whoever holds a configuration calls `load` again when the server no longer takes the credentials.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml  # type: ignore[import-untyped, unused-ignore]
from kubernetes.client import Configuration
from kubernetes.config.config_exception import ConfigException
from kubernetes.config.incluster_config import InClusterConfigLoader
from kubernetes.config.kube_config import KubeConfigLoader
from kubernetes.utils.keepalive import tcp_keepalive_socket_options

from podagent.errors import KubeconfigError
from podagent.foreign import Json, lenient

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_CREDENTIALS = (
    "token",
    "tokenFile",
    "exec",
    "username",
    "auth-provider",
    "client-certificate",
    "client-certificate-data",
)
# A dead peer of an idle connection is found within idle + interval * count = 30 s.
_KEEPALIVE_IDLE_S, _KEEPALIVE_INTERVAL_S, _KEEPALIVE_COUNT = 15, 5, 3


def load(
    kubeconfig: Path | None,
    environ: Mapping[str, str],
    *,
    connections: int = 12,
    service_account: Path = SERVICE_ACCOUNT,
) -> Configuration:
    """Read the credentials afresh, token files included.

    Args:
        kubeconfig: the file; when it does not exist, or None, a pod's service account is used if we run in a pod.
        environ: the process environment (``KUBERNETES_SERVICE_HOST``, ``KUBERNETES_SERVICE_PORT``).
        connections: how many idle connections are kept; at least the number of threads that call the API server.
        service_account: where a pod's service account is mounted.

    Raises:
        KubeconfigError: no credentials, or unusable ones; the text names the file.
    """
    configuration = Configuration()
    configuration.host = ""
    if kubeconfig is not None and kubeconfig.exists():
        _from_file(kubeconfig, configuration)
    elif "KUBERNETES_SERVICE_HOST" in environ and (service_account / "token").exists():
        _from_service_account(service_account, environ, configuration)
    else:
        raise KubeconfigError(f"kubeconfig {kubeconfig or '(none given)'} does not exist, and this is not a pod")
    _tune(configuration, connections)
    return configuration


def _from_file(path: Path, configuration: Configuration) -> None:
    document = _parse(path)
    try:
        KubeConfigLoader(config_dict=document, config_base_path=str(path.parent)).load_and_set(configuration)
    except ConfigException as error:
        raise KubeconfigError(f"kubeconfig {path}: {error}") from error
    except OSError as error:
        raise KubeconfigError(f"kubeconfig {path}: cannot read {error.filename}: {error.strerror}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # The library reads the document without checking types, so that a wrong shape surfaces as one of these.
        raise KubeconfigError(f"kubeconfig {path} is malformed: {error!r}") from error
    _check_server(path, configuration.host)
    _check_credentials(path, document, configuration)


def _parse(path: Path) -> Json:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise KubeconfigError(f"kubeconfig {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise KubeconfigError(f"kubeconfig {path} is not YAML: {error}") from error
    if not isinstance(document, dict):
        raise KubeconfigError(f"kubeconfig {path} is not a mapping of clusters, contexts and users")
    if not document.get("current-context"):
        raise KubeconfigError(f"kubeconfig {path}: current-context is missing; set it to one of its contexts")
    for section in ("clusters", "contexts", "users"):
        if not isinstance(document.get(section) or [], list):
            raise KubeconfigError(f"kubeconfig {path}: {section} is not a list")
    return document


def _check_server(path: Path, host: str) -> None:
    if not host:
        raise KubeconfigError(f"kubeconfig {path}: the cluster of the current context has no server")
    if not host.startswith(("https://", "http://")):
        raise KubeconfigError(f"kubeconfig {path}: server {host!r} is not an https:// or http:// URL")


def _check_credentials(path: Path, document: Json, configuration: Configuration) -> None:
    """The library goes on without credentials when a token file is empty or an exec plugin failed; going on would
    only turn that into a puzzling 401 or 403 of the user ``system:anonymous``."""
    user = _current_user(document)
    given = [key for key in _CREDENTIALS if user.get(key)]
    if given and not configuration.api_key and not configuration.cert_file:
        raise KubeconfigError(f"kubeconfig {path}: {given[0]} of the current user yields no credentials")


def _current_user(document: Json) -> Json:
    context = lenient(_named(document, "contexts", document["current-context"]), "context", dict)
    return lenient(_named(document, "users", context.get("user")), "user", dict)


def _named(document: Json, section: str, name: str | None) -> Json:
    entries = lenient(document, section, list)
    return next((entry for entry in entries if isinstance(entry, dict) and entry.get("name") == name), {})


def _from_service_account(directory: Path, environ: Mapping[str, str], configuration: Configuration) -> None:
    loader = InClusterConfigLoader(str(directory / "token"), str(directory / "ca.crt"), environ=environ)
    try:
        loader.load_and_set(configuration)
    except (ConfigException, OSError) as error:
        raise KubeconfigError(f"service account in {directory}: {error}") from error


def _tune(configuration: Configuration, connections: int) -> None:
    # Without the library's hook nothing is re-read behind our back on every request; a 401 makes us load again.
    configuration.refresh_api_key_hook = None
    token = configuration.api_key.get("BearerToken")
    if token is not None:
        configuration.api_key["BearerToken"] = _header_value(token)
    configuration.retries = False  # urllib3 would retry at once and wait for Retry-After inside the call
    configuration.connection_pool_maxsize = connections
    configuration.socket_options = tcp_keepalive_socket_options(
        _KEEPALIVE_IDLE_S, _KEEPALIVE_INTERVAL_S, _KEEPALIVE_COUNT
    )


def _header_value(token: str) -> str:
    """A token file usually ends in a newline, which must not reach the Authorization header."""
    value = token.strip()
    if not value.isascii() or not value.isprintable():
        raise KubeconfigError("the bearer token of the kubeconfig contains characters that no token has")
    return value
