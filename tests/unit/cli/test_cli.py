"""The command line: Go's flags, extra arguments, interface names, help, and errors in one line."""

from __future__ import annotations

import faulthandler
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from podagent import __version__
from podagent.cli import main, run_flags, settle
from podagent.config import SETTINGS, Settings
from podagent.errors import SettingsError


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment with an empty settings file, so that none of this machine's is read."""
    path = tmp_path / "podagent.toml"
    path.write_text("")
    return {"PODAGENT_CONFIG": str(path)}


def settings(environ: dict[str, str], *arguments: str) -> Settings:
    return settle(run_flags(arguments), environ)


@pytest.mark.parametrize(
    "arguments",
    [["-node", "w1"], ["-node=w1"], ["--node", "w1"], ["--node=w1"], ["--node", "w0", "-node", "w1"]],
)
def test_a_flag_takes_one_dash_or_two_and_its_value_either_way(environ: dict[str, str], arguments: list[str]) -> None:
    assert settings(environ, *arguments).node == "w1"


def test_all_flags_of_the_original_are_understood(environ: dict[str, str]) -> None:
    found = settings(
        environ,
        *("-node", "w1", "-kubeconfig", "/k", "-docker-endpoint", "unix:///d", "-crio-endpoint", "unix:///c"),
        *("-cni-bin-path", "/b", "-cni-conf-path", "/n", "-cni-vendor-name", "kaloom", "-container-type", "docker"),
        *("-logtostderr", "-alsologtostderr=false", "-stderrthreshold", "INFO", "-v", "2", "-vmodule=a=1"),
    )
    assert (found.node, str(found.kubeconfig), found.docker_endpoint, found.crio_endpoint, found.cni_vendor_name) == (
        *("w1", "/k", "unix:///d", "unix:///c", "kaloom"),
    )
    assert (str(found.cni_bin_path), str(found.cni_conf_path), found.log_level) == ("/b", "/n", "info")


def test_every_setting_has_its_flag(environ: dict[str, str]) -> None:
    assert {setting.field for setting in SETTINGS} <= set(run_flags([]))


def test_a_value_that_looks_like_a_flag_is_a_value_as_in_go() -> None:
    assert run_flags(["-cni-vendor-name", "-logtostderr"])["cni_vendor_name"] == "-logtostderr"


@pytest.mark.parametrize(
    ("arguments", "level"),
    [
        (["-v=4"], "debug"),
        (["-v", "5"], "debug"),
        (["--v=10"], "debug"),
        (["-v=3"], "info"),
        (["-v=4", "--log-level", "warning"], "warning"),
        (["--log-level=error"], "error"),
    ],
)
def test_high_verbosity_means_debug_unless_a_level_is_given(
    environ: dict[str, str], arguments: list[str], level: str
) -> None:
    assert settings(environ, *arguments).log_level == level


@pytest.mark.parametrize("arguments", [["-v=loud"], ["-logtostderr=maybe"], ["--log-level", ""]])
def test_a_flag_with_a_wrong_value_is_refused(environ: dict[str, str], arguments: list[str]) -> None:
    with pytest.raises(SettingsError, match=r"-(v|-logtostderr|-log-level)"):
        settings(environ, *arguments)


def test_an_unknown_flag_is_refused() -> None:
    with pytest.raises(click.NoSuchOption, match="--nod"):
        run_flags(["-nod", "x"])


def test_an_existing_podagent_conf_keeps_working(environ: dict[str, str]) -> None:
    environ |= {
        "PODAGENT_EXTRA_ARGS": "-cni-vendor-name kaloom -logtostderr",
        "PODAGENT_KUBECONFIG": "/opt/kaloom/etc/podagent-kubeconfig.yaml",
        "PODAGENT_HOSTNAME": "worker-1",
        "_CNI_LOGGING_LEVEL": "3",
    }
    found = settings(environ)
    assert (found.cni_vendor_name, found.node) == ("kaloom", "worker-1")


def test_extra_arguments_go_before_variables_but_after_flags(environ: dict[str, str]) -> None:
    environ |= {"PODAGENT_EXTRA_ARGS": "--workers=3 -v=4", "PODAGENT_WORKERS": "4", "PODAGENT_LOG_LEVEL": "error"}
    assert settings(environ).workers == 3
    assert settings(environ).log_level == "debug"
    assert settings(environ, "--workers", "2", "--log-level=info").workers == 2
    assert settings(environ, "--workers", "2", "--log-level=info").log_level == "info"


def test_extra_arguments_may_name_the_settings_file(environ: dict[str, str], tmp_path: Path) -> None:
    other = tmp_path / "with space.toml"
    other.write_text("workers = 9")
    assert settings(environ | {"PODAGENT_EXTRA_ARGS": f"--config '{other}'"}).workers == 9
    assert settings(environ, f"--config={other}").workers == 9


@pytest.mark.parametrize("text", ["-nod x", "'unbalanced", "positional", "-v=x", "-node", "-logtostderr=x"])
def test_wrong_extra_arguments_name_their_variable(environ: dict[str, str], text: str) -> None:
    with pytest.raises(SettingsError, match="PODAGENT_EXTRA_ARGS"):
        settings(environ | {"PODAGENT_EXTRA_ARGS": text})


def test_ifname_prints_the_names_that_kactus_uses(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ifname", "green", "red", "data"]) == 0
    assert capsys.readouterr().out.split() == ["net9f27410725ab", "netbda9643ac660", "net8d777f385d3d"]


@pytest.mark.parametrize("name", ["Green", "a_b", "", "a/b", "x" * 254, "a\n"])
def test_ifname_names_what_cannot_be_a_network(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main(["ifname", "green", name]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert repr(name).replace("\\", "\\")[:100] in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["--version"], ["-version"], ["-version=true"], ["run", "-version"], ["-node", "x", "-version"]]
)
def test_version_is_printed(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"podagent {__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["-help"]])
def test_help_teaches_with_examples_and_files(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(arguments) == 0
    out = capsys.readouterr().out
    for word in ("Examples:", "Files:", "podagent-kubeconfig.yaml", "podagent.toml", "ifname", "net9f27410725ab"):
        assert word in out


def test_help_of_run_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--help"]) == 0
    out = capsys.readouterr().out
    for setting in SETTINGS:
        assert f"--{setting.key} " in out
    assert "PODAGENT_EXTRA_ARGS" in out
    assert "--vmodule" not in out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["-workers=0"], "workers"),
        (["run", "--workers", "0"], "--workers"),
        (["--nod", "x"], "--nod"),
        (["fly"], "fly"),
        (["run", "fly"], "fly"),
        (["run", "--node"], "--node"),
        (["-logtostderr=x"], "--logtostderr"),
        (["ifname"], "NAME"),
    ],
)
def test_a_mistake_is_one_line_on_stderr_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("podagent: ")
    assert captured.err.count("\n") == 1
    assert named in captured.err


@pytest.fixture
def _no_faulthandler() -> Iterator[None]:
    yield
    faulthandler.disable()


@pytest.mark.usefixtures("restored_logging", "_no_faulthandler")
def test_an_agent_that_cannot_use_its_state_directory_names_it_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["run", f"--state-dir={tmp_path}/file/state", "--node=node-1"]) == 1
    assert f"state directory {tmp_path}/file/state cannot be used" in capsys.readouterr().err
