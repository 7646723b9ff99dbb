"""kactus' own configuration. Pure."""

from __future__ import annotations

from typing import NamedTuple

from podagent.cni.delegatefile import DIRECTORY
from podagent.errors import NetConfError
from podagent.foreign import Json
from podagent.kactus.failure import INVALID_CONFIG, Failure
from podagent.netconf import parse
from podagent.resolve.rules import ANY, DEFAULT_PLUGINS, NONE, OWN_NAMESPACE, Rules
from podagent.validate import is_dns1123_label

DEFAULT_GLOBAL_NAMESPACES = ("default",)


def _camel_case(setting: str) -> str:
    first, *more = setting.split("-")
    return first + "".join(map(str.capitalize, more))


class Config(NamedTuple):
    """The parsed configuration.

    Attributes:
        kubeconfig: path of the kubeconfig, "" for the service account of the pod that kactus runs in.
        cni_dir: directory of the saved delegates.
        master: the delegate for the pod's default interface, in its saved form: with ``masterPlugin``.
        global_namespaces: namespaces whose networks the pods of every namespace may use.
        rules: what the definitions of a namespace may do.
        allow_mac: which MAC addresses annotations may request; see `podagent.resolve.macs`.
    """

    kubeconfig: str
    cni_dir: str
    master: Json
    global_namespaces: tuple[str, ...] = DEFAULT_GLOBAL_NAMESPACES
    rules: Rules = Rules(frozenset(DEFAULT_GLOBAL_NAMESPACES), spell=_camel_case)
    allow_mac: str = OWN_NAMESPACE


def read_config(conf: Json) -> Config:
    """Parses the configuration passed by the runtime. Raises Failure (code 7)."""
    return Config(
        kubeconfig=_path(conf, "kubeconfig", ""),
        cni_dir=_path(conf, "cniDir", DIRECTORY),
        master=_master(conf),
        global_namespaces=_namespaces(conf, "globalNamespaces", DEFAULT_GLOBAL_NAMESPACES),
        rules=_rules(conf),
        allow_mac=_choice(conf, "allowMac", OWN_NAMESPACE, ANY, NONE),
    )


def is_master(delegate: Json) -> bool:
    """Whether the delegate makes the default interface; ``masterplugin`` is the older spelling."""
    return delegate.get("masterPlugin") is True or delegate.get("masterplugin") is True


def _path(conf: Json, key: str, default: str) -> str:
    value = conf.get(key) or default
    if not isinstance(value, str) or (value and not value.startswith("/")) or not value.isprintable():
        raise Failure(INVALID_CONFIG, f"{key} must be an absolute path, not {str(value)[:80]!r}")
    return value


def _namespaces(conf: Json, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
    names = _texts(conf, key, default)
    if not all(map(is_dns1123_label, names)):
        raise Failure(INVALID_CONFIG, f"{key} must be a list of namespaces, not {str(names)[:80]!r}")
    return names


def _rules(conf: Json) -> Rules:
    policy = _choice(conf, "definitionPolicy", "restrict", "trust-all")
    shared = _namespaces(conf, "globalNamespaces", DEFAULT_GLOBAL_NAMESPACES)
    trusted = _namespaces(conf, "trustedNamespaces", shared)
    return Rules(
        trusted=frozenset(trusted) if policy == "restrict" else None,
        plugins=frozenset(_texts(conf, "allowedPlugins", DEFAULT_PLUGINS)),
        options=frozenset(_texts(conf, "allowedOptions", ())),
        links=_texts(conf, "allowedLinks", ()),
        spell=_camel_case,
    )


def _choice(conf: Json, key: str, default: str, *others: str) -> str:
    value = conf.get(key, default)
    if value not in (default, *others):
        raise Failure(INVALID_CONFIG, f"{key} must be one of {', '.join((default, *others))}, not {str(value)[:80]!r}")
    return str(value)


def _texts(conf: Json, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
    value = conf.get(key, list(default))
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Failure(INVALID_CONFIG, f"{key} must be a list of strings, not {str(value)[:80]!r}")
    return tuple(value)


def _master(conf: Json) -> Json:
    delegates = conf.get("delegates")
    if not isinstance(delegates, list) or not delegates or not all(isinstance(each, dict) for each in delegates):
        raise Failure(INVALID_CONFIG, "delegates must be a list of CNI plugin configurations, one with masterPlugin")
    masters = [each for each in delegates if is_master(each)]
    if len(masters) > 1:
        raise Failure(INVALID_CONFIG, "only one delegate can have masterPlugin")
    if not masters and len(delegates) > 1:
        raise Failure(INVALID_CONFIG, "one of the delegates must have masterPlugin: true")
    master = (masters or delegates)[0]
    # Like libcni for plugins of a list: the network supplies values that the delegate lacks.
    named = {"cniVersion": conf.get("cniVersion", ""), "name": conf["name"], **master, "masterPlugin": True}
    try:
        netconf = parse(named, "the master delegate")
    except NetConfError as fault:
        raise Failure(INVALID_CONFIG, str(fault)) from None
    return {**named, "type": netconf.type}  # lists have no type, but Kaloom's format requires one
