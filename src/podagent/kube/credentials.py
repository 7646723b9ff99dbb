"""Loads credentials from a kubeconfig file, or a pod's service account, into a client library configuration.

Reads files and runs the kubeconfig's exec plugin, if any. It never contacts the API server and keeps no state: callers
call `load` again when the server rejects the credentials.
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
from podagent.foreign import YAML_FAULTS, Json, lenient, printable, shown, yaml_fault
from podagent.timelimit import TimeLimit

_LONGEST_FAULT = 300
# The other one takes seconds for what is nested deeply.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
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
LONGEST_LOAD_S = 15.0
"""Upper bound in seconds for `load`: the agent's main loop, which a reload blocks, must still ping its watchdog."""
_KILL_AFTER_S = 1.0
# A dead peer of an idle connection is detected within idle + interval * count = 30 s.
_KEEPALIVE_IDLE_S, _KEEPALIVE_INTERVAL_S, _KEEPALIVE_COUNT = 15, 5, 3


def load(
    kubeconfig: Path | None,
    environ: Mapping[str, str],
    *,
    connections: int = 12,
    service_account: Path = SERVICE_ACCOUNT,
) -> Configuration:
    """Reads the credentials, including token files.

    Args:
        kubeconfig: the file; if it is None or does not exist, the service account is used inside a pod.
        environ: the process environment (``KUBERNETES_SERVICE_HOST``, ``KUBERNETES_SERVICE_PORT``).
        connections: number of idle connections to keep; at least the number of threads that call the API server.
        service_account: mount point of the service account.

    Raises:
        KubeconfigError: there are no usable credentials; the text names the file.
    """
    configuration = Configuration()
    configuration.host = ""
    if kubeconfig is not None and kubeconfig.exists():
        _from_file(kubeconfig, configuration)
        origin = f"kubeconfig {kubeconfig}"
    elif "KUBERNETES_SERVICE_HOST" in environ and (service_account / "token").exists():
        _from_service_account(service_account, environ, configuration)
        origin = f"service account in {service_account}"
    else:
        raise KubeconfigError(f"kubeconfig {kubeconfig or '(none given)'} does not exist, and this is not a pod")
    _tune(configuration, connections, origin)
    return configuration


def stamp(kubeconfig: Path) -> object:
    """Another value after the file was replaced or changed; None if there is none."""
    try:
        status = kubeconfig.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _from_file(path: Path, configuration: Configuration) -> None:
    document = _parse(path)
    _limit_exec_plugin(_current_user(document))
    try:
        with TimeLimit(LONGEST_LOAD_S):  # of the requests that an auth-provider may need
            KubeConfigLoader(config_dict=document, config_base_path=str(path.parent)).load_and_set(configuration)
    except ConfigException as error:
        raise KubeconfigError(f"kubeconfig {path}: {printable(str(error), _LONGEST_FAULT)}") from error
    except OSError as error:
        raise KubeconfigError(
            f"kubeconfig {path}: cannot read {printable(str(error.filename), _LONGEST_FAULT)}: {error.strerror}"
        ) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # The library does not validate types: a malformed document surfaces as one of these.
        raise KubeconfigError(f"kubeconfig {path} is malformed: {printable(repr(error), _LONGEST_FAULT)}") from error
    _check_server(path, configuration.host)
    _check_credentials(path, document, configuration)


def _parse(path: Path) -> Json:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 - it is a safe one
    except OSError as error:
        raise KubeconfigError(f"kubeconfig {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, *YAML_FAULTS) as error:
        raise KubeconfigError(f"kubeconfig {path} is not YAML: {yaml_fault(error)}") from None
    if not isinstance(document, dict):
        raise KubeconfigError(f"kubeconfig {path} is not a mapping of clusters, contexts and users")
    if not document.get("current-context"):
        raise KubeconfigError(f"kubeconfig {path}: current-context is missing; set it to one of its contexts")
    for section in ("clusters", "contexts", "users"):
        if not isinstance(document.get(section) or [], list):
            raise KubeconfigError(f"kubeconfig {path}: {section} is not a list")
    return document


def _limit_exec_plugin(user: Json) -> None:
    """Has timeout(1) run the exec plugin in a process group of its own: the library would wait for it without end."""
    plugin = lenient(user, "exec", dict)
    if command := lenient(plugin, "command", str):
        limits = [f"--kill-after={_KILL_AFTER_S:g}", f"{LONGEST_LOAD_S - _KILL_AFTER_S:g}"]
        plugin.update(command="timeout", args=[*limits, command, *lenient(plugin, "args", list)])


def _check_server(path: Path, host: str) -> None:
    if not host:
        raise KubeconfigError(f"kubeconfig {path}: the cluster of the current context has no server")
    if not host.startswith(("https://", "http://")):
        raise KubeconfigError(f"kubeconfig {path}: server {shown(host)} is not an https:// or http:// URL")


def _check_credentials(path: Path, document: Json, configuration: Configuration) -> None:
    """Rejects empty token files and failed exec plugins. The library ignores them, and the requests would fail with a
    confusing 401 or 403 for user ``system:anonymous``."""
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


def _tune(configuration: Configuration, connections: int, origin: str) -> None:
    # The library's hook would re-read files on every request; we reload after a 401 instead.
    configuration.refresh_api_key_hook = None
    token = configuration.api_key.get("BearerToken")
    if token is not None:
        configuration.api_key["BearerToken"] = _header_value(token, origin)
    configuration.retries = False  # urllib3 would retry at once, and sleep for Retry-After inside the call
    configuration.connection_pool_maxsize = connections
    configuration.socket_options = tcp_keepalive_socket_options(
        _KEEPALIVE_IDLE_S, _KEEPALIVE_INTERVAL_S, _KEEPALIVE_COUNT
    )


def _header_value(token: str, origin: str) -> str:
    """Strips the trailing newline of token files, which is invalid in the Authorization header."""
    value = token.strip()
    if not value.isascii() or not value.isprintable():
        raise KubeconfigError(f"{origin}: the bearer token contains invalid characters")
    return value
