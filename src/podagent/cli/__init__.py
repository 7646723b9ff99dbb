"""The command line: parses arguments, reports errors in one line, sets the exit code.

Modules that only the agent needs are imported when it runs, because `podagent ifname` is used in shell loops.
Exit codes: 0 success, 1 the agent failed, 2 a flag, a variable or the settings file is invalid, or a record too new.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from podagent import __version__, signals
from podagent.cli.goflags import normalise
from podagent.config import DEFAULT_TOML, SETTINGS, Settings, load
from podagent.config.sources import EXTRA_ARGS_VARIABLE
from podagent.decide.dialects.kaloom_names import interface_name
from podagent.errors import PodagentError, SettingsError, UnknownSchema
from podagent.foreign import printable
from podagent.messages import Message
from podagent.report import journal
from podagent.validate import is_dns1123_subdomain

log = logging.getLogger(__name__)

_FAILED, _MISUSED = 1, 2

# Flags of glog, the original's logger. Only -v has an effect: 4 and above stands for debug.
_GLOG_SWITCHES = ("logtostderr", "alsologtostderr")
_GLOG_VALUES = ("v", "stderrthreshold", "vmodule", "log_dir", "log_backtrace_at")
_DEBUG_VERBOSITY = 4
_WITH_VALUE = {setting.key for setting in SETTINGS} | {"config", *_GLOG_VALUES}
_SWITCHES = {"version", "help", "cluster"}

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 118}

_ABOUT = f"""Adds and removes network interfaces of running Kubernetes pods, without restarting them.

podagent runs on every node and watches the pods of its node. When the `networks` annotation of a pod changes, it runs
the CNI plugin of each network that was added or removed, which adds or removes the interface in the pod.

\b
Examples:
  podagent run                          as the service does; settings from {DEFAULT_TOML}
  podagent run --node worker-3 --log-level debug
  podagent forget --cluster             the node has moved to another cluster
  podagent forget web-0 green           an attachment whose DEL can never succeed
  podagent ifname green                 which interface is network "green"?  net9f27410725ab
  kubectl annotate pod web-0 'networks=[{{"name": "green"}}]'
  journalctl -u podagent -f

\b
Files:
  {DEFAULT_TOML}                settings; lists every key with its default
  /opt/kaloom/etc/podagent-kubeconfig.yaml     credentials, as create-kubeconfig.sh writes them
  /etc/cni/net.d, /opt/cni/bin                 CNI configuration and plugins of the node
  /var/lib/podagent                            records of attachments; do not edit

The default command is `run`. The flags of the original podagent work with one dash or two."""

_ABOUT_RUN = f"""Run the agent in the foreground, as the systemd service does. It stops on SIGTERM.

Flags precede environment variables (--state-dir: PODAGENT_STATE_DIR), which precede the settings file (key state-dir),
which precedes the defaults. {EXTRA_ARGS_VARIABLE} may contain further flags, which also precede environment variables.
glog's -logtostderr, -stderrthreshold and -v are accepted; -v=4 and above means --log-level debug."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code.

    Args:
        argv: arguments without the program's name; defaults to those of the process.
    """
    try:
        arguments = _with_default_command(_click_style(sys.argv[1:] if argv is None else argv))
        if arguments[0] != _RUN.name:  # the agent lets them through once it handles them
            signals.let_through()
        return int(_podagent.main(args=arguments, prog_name="podagent", standalone_mode=False) or 0)
    except click.ClickException as error:
        return _complain(f"{error.format_message()} (see podagent --help)", _MISUSED)
    except (SettingsError, UnknownSchema) as error:
        return _complain(str(error), _MISUSED)
    except PodagentError as error:
        return _complain(str(error), _FAILED)
    except click.Abort:
        return _complain("interrupted", _FAILED)


def _complain(message: str, code: int) -> int:
    click.echo(f"podagent: {printable(message)}", err=True)
    return code


def _click_style(arguments: Sequence[str]) -> list[str]:
    return normalise(arguments, with_value=_WITH_VALUE, switches=_SWITCHES, ignored=_GLOG_SWITCHES)


def _with_default_command(arguments: list[str]) -> list[str]:
    """Inserts `run`, the original's only function, unless the first argument is a command, --help or --version."""
    own = {"--help", "-h", "--version"}
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in own):
        return ["run", *arguments]
    return arguments


@click.group(help=_ABOUT, context_settings=_CONTEXT)
@click.version_option(__version__, message="podagent %(version)s")
def _podagent() -> None:
    pass


@_podagent.command("ifname", context_settings=_CONTEXT)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def _ifname(names: tuple[str, ...]) -> None:
    """Print the interface name of each network NAME, one per line."""
    for name in names:
        if not is_dns1123_subdomain(name):
            raise SettingsError(
                f"{name[:300]!r} is not the name of a network: expected lower-case letters, digits, '-' and '.',"
                " a letter or digit at both ends, at most 253"
            )
    click.echo("\n".join(interface_name(name) for name in names))


@_podagent.command("forget", context_settings=_CONTEXT)
@click.argument("pod", required=False)
@click.argument("network", required=False)
@click.option("-n", "--namespace", metavar="NS", default="default", show_default=True, help="Namespace of POD.")
@click.option("--cluster", is_flag=True, help="Forget which cluster this node belongs to.")
@click.option("--state-dir", metavar="DIR", help="Directory of the records.  [default: that of the settings]")
@click.option("--config", metavar="PATH", help=f"Settings file.  [default: {DEFAULT_TOML}]")
def _forget(pod: str | None, network: str | None, namespace: str, cluster: bool, **flags: str | None) -> None:
    """Forget the attachment of NETWORK to POD, or the node's cluster.

    \b
    systemctl stop podagent
    podagent forget -n default web-0 green
    systemctl start podagent

    removes the record of an attachment that can never be detached, because DEL fails each time. Nothing is detached. A
    warning names the interface and the address that may be left. The agent must not run. Other attachments stay while
    it is stopped.

    The agent refuses the API server of another cluster while this node has attachments, because its list of pods would
    empty the node. After `podagent forget --cluster`, the next API server that it reaches becomes the node's. The
    attachments of pods that this one does not have are detached. A running agent need not be restarted.
    """
    if cluster == bool(pod) or bool(pod) != bool(network):
        raise click.UsageError("forget needs either POD and NETWORK, or --cluster")
    from podagent.daemon import wiring  # noqa: PLC0415 - heavy

    settings = settle(flags, os.environ)
    forgotten = wiring.forget_attachment(settings, namespace, pod, network) if pod and network else None
    click.echo(forgotten or wiring.forget_cluster(settings))


def _run(**flags: str | None) -> int:
    settings = settle(_with_verbosity(flags), os.environ)
    # When the watchdog kills a hanging agent (SIGABRT), the stacks of all threads go to the journal.
    faulthandler.enable(file=2)
    journal.setup(settings.log_level)
    from podagent.daemon.wiring import run as run_agent  # noqa: PLC0415 - heavy

    try:
        return run_agent(settings)
    except PodagentError:
        raise
    except Exception:
        log.critical(
            "podagent %s exits after an internal error", __version__, exc_info=True,
            extra=Message.INTERNAL_ERROR.field,
        )  # fmt: skip
        return _FAILED


def _run_command() -> click.Command:
    options: list[click.Parameter] = [
        click.Option([f"--{setting.key}"], metavar=setting.kind.metavar, help=_option_help(setting.help, default))
        for setting in SETTINGS
        for default in [setting.described_default]
    ]
    options.append(click.Option(["--config"], metavar="PATH", help=_option_help("Settings file.", str(DEFAULT_TOML))))
    options += [click.Option([f"--{name}"], hidden=True, expose_value=name == "v") for name in _GLOG_VALUES]
    command = click.Command("run", params=options, callback=_run, help=_ABOUT_RUN, context_settings=dict(_CONTEXT))
    return click.version_option(__version__, message="podagent %(version)s")(command)


def _option_help(text: str, default: str) -> str:
    return f"{text}  [default: {default or 'none'}]"


_RUN = _run_command()
_podagent.add_command(_RUN)


def run_flags(arguments: Sequence[str]) -> Mapping[str, str | None]:
    """Parses the flags of `podagent run` in `arguments`, by field of `Settings`; None for flags not given.

    Raises:
        click.ClickException: a flag is unknown or lacks its value.
        SettingsError: the value of a boolean flag or of -v is invalid.
    """
    return _with_verbosity(_RUN.make_context("podagent", _click_style(arguments)).params)


def settle(flags: Mapping[str, str | None], environ: Mapping[str, str]) -> Settings:
    """The settings that `podagent run` uses with these flags in this environment.

    Raises:
        SettingsError: see `podagent.config.load`; or PODAGENT_EXTRA_ARGS is malformed.
    """
    extra = _extra_flags(environ)
    config = flags.get("config") or extra.get("config")
    return load(flags, environ, Path(config) if config else None, extra_flags=extra)


def _extra_flags(environ: Mapping[str, str]) -> Mapping[str, str | None]:
    """The flags in PODAGENT_EXTRA_ARGS, which the original's podagent.conf sets."""
    try:
        return run_flags(shlex.split(environ.get(EXTRA_ARGS_VARIABLE, "")))
    except (ValueError, SettingsError) as error:
        raise SettingsError(f"variable {EXTRA_ARGS_VARIABLE}: {error}") from None
    except click.ClickException as error:
        raise SettingsError(f"variable {EXTRA_ARGS_VARIABLE}: {error.format_message()}") from None


def _with_verbosity(flags: Mapping[str, str | None]) -> Mapping[str, str | None]:
    """Converts glog's -v to a log level, unless one is given."""
    verbosity = flags.get("v")
    if verbosity is None:
        return flags
    try:
        level = "debug" if int(verbosity) >= _DEBUG_VERBOSITY else None
    except ValueError:
        raise SettingsError(f"flag -v: {verbosity[:80]!r} is not accepted: expected a whole number") from None
    return flags if flags.get("log_level") is not None else {**flags, "log_level": level}
