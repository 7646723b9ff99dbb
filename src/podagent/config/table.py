"""The table of settings, the source of all flags, variables, keys of the settings file and their documentation.

To add a setting, add a row here and a field to `Settings`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from podagent.config import kinds
from podagent.config.kinds import Kind
from podagent.resolve.directories import BIN_DIRECTORY, CONF_DIRECTORY
from podagent.resolve.reach import HOST_OPTIONS
from podagent.resolve.rules import ANY, DEFAULT_PLUGINS, NONE, OWN_NAMESPACE

# Measured with bridge + host-local: throughput of the plugin levels off between four and eight parallel runs. One
# namespace has at most half of the workers.
DEFAULT_WORKERS = 16


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of the agent, validated. `SETTINGS` documents each; durations are in seconds."""

    kubeconfig: Path
    node: str
    container_type: Literal["auto", "docker", "cri", "containerd", "crio"]
    cri_endpoint: str
    docker_endpoint: str
    cni_bin_path: tuple[str, ...]
    cni_conf_path: tuple[str, ...]
    cni_vendor_name: str
    attach_via: Literal["auto", "system", "delegate"]
    state_dir: Path
    other_cluster: Literal["refuse", "accept"]
    inherit_dir: Path
    workers: int
    resync_period: float
    plugin_timeout: float
    stop_timeout: float
    credential_timeout: float
    log_level: Literal["error", "warning", "info", "debug"]
    global_namespaces: tuple[str, ...]
    definition_policy: Literal["restrict", "trust-all"]
    trusted_namespaces: tuple[str, ...]
    allowed_plugins: tuple[str, ...]
    allowed_options: tuple[str, ...]
    allowed_links: tuple[str, ...]
    allow_mac: Literal["own-namespace", "any", "no"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table.

    Attributes:
        key: name in the settings file; the flag is ``--key``, the variable ``PODAGENT_KEY``.
        kind: type of the value.
        default: text, parsed like any other source, or a callable that returns it.
        help: meaning of the setting.
        reason: rationale of the default, or when to change it.
        default_text: description of a computed default.
        like: key of the setting whose value is the default; `default` is its default.
        also: another name of it, that of the original, "" if there is none.
    """

    key: str
    kind: Kind
    default: str | Callable[[], str]
    help: str
    reason: str
    default_text: str = ""
    like: str = ""
    also: str = ""

    @property
    def field(self) -> str:
        return self.key.replace("-", "_")

    @property
    def names(self) -> tuple[str, ...]:
        """Its keys: any of them may be used."""
        return (self.key, self.also) if self.also else (self.key,)

    @property
    def variable(self) -> str:
        return "PODAGENT_" + self.field.upper()

    @property
    def described_default(self) -> str:
        return self.default_text or (self.default if isinstance(self.default, str) else "")


def _host_name() -> str:
    """The node name that the kubelet registers by default."""
    return socket.gethostname().strip().lower()


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "kubeconfig",
        kinds.PATH,
        "/opt/kaloom/etc/podagent-kubeconfig.yaml",
        "Credentials for the API server, as create-kubeconfig.sh writes them.",
        "The agent waits for the file if it is missing, so the service may be started before it is copied here.",
    ),
    Setting(
        "node",
        kinds.NODE_NAME,
        _host_name,
        "Name of this node as the kubelet registered it. The agent handles only the pods of this node.",
        "Set it if `kubectl get nodes` shows a name other than the host name.",
        "the host name in lower case",
    ),
    Setting(
        "container-type",
        kinds.choice("auto", "docker", "cri", "containerd", "crio"),
        "auto",
        "The container runtime that runs the pods. cri: any that serves the Container Runtime Interface.",
        "auto: the kubelet's where it is known, else the first that answers in its usual place. docker: behind the"
        " kubelet's dockershim or cri-dockerd.",
    ),
    Setting(
        "cri-endpoint",
        kinds.OPTIONAL_UNIX_SOCKET,
        "",
        "The CRI socket of containerd or CRI-O, used for read requests only. Also called crio-endpoint.",
        "If empty: the kubelet's, that in /etc/crictl.yaml, or the usual ones of distributions.",
        also="crio-endpoint",
    ),
    Setting(
        "docker-endpoint",
        kinds.UNIX_SOCKET,
        "unix:///var/run/docker.sock",
        "Docker's API socket, used for read requests only.",
        "Docker's own default.",
    ),
    Setting(
        "cni-bin-path",
        kinds.DIRECTORIES,
        "",
        "Directories of the CNI plugins. The first one that has a plugin is used.",
        "containerd tells its own, so the plugins of k3s and microk8s are found. Set it if Docker or CRI-O looks for"
        " plugins elsewhere, such as in /usr/lib/cni.",
        f"the container runtime's and {BIN_DIRECTORY}",
    ),
    Setting(
        "cni-conf-path",
        kinds.DIRECTORIES,
        "",
        "Directories of the CNI configuration. In the first one that has any, the first valid file in lexical order is"
        " the system plugin's.",
        "containerd tells its own, so those of k3s and microk8s are found.",
        f"the container runtime's, else {CONF_DIRECTORY}",
    ),
    Setting(
        "cni-vendor-name",
        kinds.VENDOR_NAME,
        "",
        "Search for plugins in /opt/<name>/cni/bin first.",
        "If empty: in /opt/<type of the system plugin>/bin first.",
    ),
    Setting(
        "attach-via",
        kinds.choice("auto", "system", "delegate"),
        "auto",
        "What attaches networks: the node's system CNI plugin, or the network's own plugin, run by the agent.",
        "auto: system if the system plugin is kactus, else delegate, because other plugins ignore such requests. With"
        " one of those, system is refused.",
    ),
    Setting(
        "state-dir",
        kinds.STATE_DIRECTORY,
        "/var/lib/podagent",
        "Directory of the records of attachments. It must survive a reboot; the agent makes it private to root.",
        "The agent can only detach what is on record: without the records, address leases leak.",
    ),
    Setting(
        "other-cluster",
        kinds.choice("refuse", "accept"),
        "refuse",
        "What to do when the API server is of another cluster than the attachments on record: wait, or detach them.",
        "A wrong kubeconfig would empty the node. If the node has moved: podagent forget --cluster.",
    ),
    Setting(
        "inherit-dir",
        kinds.PATH,
        "/var/run/podagent/configstore",
        "Directory of the records of Kaloom's podagent, whose attachments the agent takes over.",
        "So none is attached twice or left behind. The records move to a sibling directory with suffix .taken-over.",
    ),
    Setting(
        "workers",
        kinds.whole_number(1, 64),
        str(DEFAULT_WORKERS),
        "Number of pods reconciled in parallel, half of them at most of one namespace. A pod is only reconciled by one"
        " worker at a time.",
        "More than eight CNI plugins in parallel gain little, but a hanging plugin blocks a worker until its timeout.",
    ),
    Setting(
        "resync-period",
        kinds.duration("1s", "24h", or_never=True),
        "5m",
        "How often pods are compared with the records, to re-attach interfaces that something else removed.",
        "With jitter, so that nodes do not act in step. 0: never, for pods that delete their own interfaces.",
    ),
    Setting(
        "plugin-timeout",
        kinds.duration("1s", "1h"),
        "2m",
        "Time limit of one run of a CNI plugin; then it and its children are killed.",
        "IPAM that requests addresses from a server may take tens of seconds; the kubelet allows two minutes, too.",
    ),
    Setting(
        "stop-timeout",
        kinds.duration("1s", "1h"),
        "20s",
        "How long the agent waits for running plugins when it is stopped. A second SIGTERM ends it at once.",
        "Plugins that take longer run on, and the next start takes care of them.",
    ),
    Setting(
        "credential-timeout",
        kinds.duration("1s", "30s"),
        "10s",
        "Time limit of one run of the kubeconfig's exec plugin; then it and its children are killed.",
        "Most plugins ask a server for a token, which takes a second.",
    ),
    Setting(
        "log-level",
        kinds.choice("error", "warning", "info", "debug"),
        "info",
        "The lowest severity of messages that are logged.",
        "info: one line for each interface attached or detached. debug: every step and decision.",
    ),
    Setting(
        "global-namespaces",
        kinds.NAMESPACES,
        "default",
        "Namespaces whose network definitions the pods of every namespace may use.",
        "All others serve only pods of the same namespace.",
    ),
    Setting(
        "definition-policy",
        kinds.choice("restrict", "trust-all"),
        "restrict",
        "Whether the network definitions of other than trusted namespaces are restricted by the allowed-* settings.",
        "Plugins run as root: with an unrestricted definition, its author can take over the node. trust-all is the"
        " behaviour of Kaloom's podagent.",
    ),
    Setting(
        "trusted-namespaces",
        kinds.NAMESPACES,
        "default",
        "Namespaces whose network definitions may do anything on the node.",
        "Let only administrators create network definitions there.",
        "the value of global-namespaces",
        like="global-namespaces",
    ),
    Setting(
        "allowed-plugins",
        kinds.PLUGINS,
        ",".join(DEFAULT_PLUGINS),
        "CNI and IPAM plugins that the definitions of other namespaces may use.",
        "Plugins beyond these move devices of the host, connect to sockets or change its packet filter.",
    ),
    Setting(
        "allowed-options",
        kinds.some_of([*HOST_OPTIONS, "sysctl"]),
        "",
        "Options of plugins that act on the host, and that the definitions of other namespaces may set all the same.",
        "Allow only options that you understand: with dataDir, for instance, a definition overwrites files as root.",
    ),
    Setting(
        "allowed-links",
        kinds.LINK_PATTERNS,
        "",
        "Links of the host, such as the master of a macvlan or a shared bridge, that the definitions of other"
        " namespaces may use.",
        "Bridges that the definitions of a namespace made are always available to that namespace.",
    ),
    Setting(
        "allow-mac",
        kinds.choice(OWN_NAMESPACE, ANY, NONE),
        OWN_NAMESPACE,
        "Which MAC addresses annotations may request: none; those that nothing but pods of the same namespace uses on"
        " the same bridge or network of this node; or any.",
        "With the address of another pod, of the bridge or of its ports, a pod receives their traffic.",
    ),
)
