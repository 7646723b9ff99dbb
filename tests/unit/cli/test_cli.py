"""The command line: Go's flags, extra arguments, interface names, help, and errors in one line."""

from __future__ import annotations

import faulthandler
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from podagent import __version__
from podagent.cli import main, run_flags, settle
from podagent.config import SETTINGS, Settings
from podagent.daemon import forgetting, wiring
from podagent.errors import SettingsError
from podagent.state.cluster import ClusterFile
from unit.factory import record
from unit.stores import store_in

Environ = dict[str, str]
Output = pytest.CaptureFixture[str]


@pytest.fixture
def environ(tmp_path: Path) -> Environ:
    """An environment with an empty settings file, so that none of this machine's is read."""
    path = tmp_path / "podagent.toml"
    path.touch()
    return {"PODAGENT_CONFIG": str(path)}


def settings(environ: Environ, *arguments: str) -> Settings:
    return settle(run_flags(arguments), environ)


def test_all_flags_of_the_original_are_understood(environ: Environ) -> None:
    found = settings(
        environ,
        *("-node", "w1", "-kubeconfig", "/k", "-docker-endpoint", "unix:///d", "-crio-endpoint", "unix:///c"),
        *("-cni-bin-path", "/b", "-cni-conf-path", "/n", "-cni-vendor-name", "kaloom", "-container-type", "docker"),
        *("-logtostderr", "-alsologtostderr=false", "-stderrthreshold", "INFO", "-v", "2", "-vmodule=a=1"),
    )
    assert (found.node, str(found.kubeconfig), found.docker_endpoint, found.cri_endpoint, found.cni_vendor_name) == (
        *("w1", "/k", "unix:///d", "unix:///c", "kaloom"),
    )
    assert (found.cni_bin_path, found.cni_conf_path, found.log_level) == (("/b",), ("/n",), "info")
    assert run_flags(["-cni-vendor-name", "-logtostderr"])["cni_vendor_name"] == "-logtostderr", "a value, as in Go"


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        *[(text, "node", "w1") for text in ("-node w1", "-node=w1", "--node w1", "--node=w1", "--node w0 -node w1")],
        *[(text, "log_level", "debug") for text in ("-v=4", "-v 5", "--v=10")],
        ("-v=3", "log_level", "info"),
        ("-v=4 --log-level warning", "log_level", "warning"),
        ("--log-level=error", "log_level", "error"),
    ],
)
def test_a_flag_takes_its_value_as_in_go_and_high_verbosity_means_debug_unless_a_level_is_given(
    environ: Environ, arguments: str, field: str, value: str
) -> None:
    assert getattr(settings(environ, *arguments.split()), field) == value


def test_an_existing_podagent_conf_keeps_working(environ: Environ) -> None:
    environ |= {
        "PODAGENT_EXTRA_ARGS": "-cni-vendor-name kaloom -logtostderr",
        "PODAGENT_KUBECONFIG": "/opt/kaloom/etc/podagent-kubeconfig.yaml",
        "PODAGENT_HOSTNAME": "worker-1",
        "_CNI_LOGGING_LEVEL": "3",
    }
    found = settings(environ)
    assert (found.cni_vendor_name, found.node) == ("kaloom", "worker-1")


def test_extra_arguments_go_before_variables_but_after_flags(environ: Environ) -> None:
    environ |= {"PODAGENT_EXTRA_ARGS": "--workers=3 -v=4", "PODAGENT_WORKERS": "4", "PODAGENT_LOG_LEVEL": "error"}
    for flags, workers, level in [([], 3, "debug"), (["--workers", "2", "--log-level=info"], 2, "info")]:
        found = settings(environ, *flags)
        assert (found.workers, found.log_level) == (workers, level)


def test_the_settings_file_may_be_named_by_a_flag_or_an_extra_argument(environ: Environ, tmp_path: Path) -> None:
    other = tmp_path / "with space.toml"
    other.write_text("workers = 9")
    assert settings(environ | {"PODAGENT_EXTRA_ARGS": f"--config '{other}'"}).workers == 9
    assert settings(environ, f"--config={other}").workers == 9


def test_wrong_extra_arguments_name_their_variable(environ: Environ) -> None:
    for text in ("-nod x", "'unbalanced", "positional", "-v=x", "-node", "-logtostderr=x"):
        with pytest.raises(SettingsError, match="PODAGENT_EXTRA_ARGS"):
            settings(environ | {"PODAGENT_EXTRA_ARGS": text})


def test_forget_removes_the_cluster_on_record_of_the_state_directory_in_the_settings(
    tmp_path: Path, capsys: Output
) -> None:
    (tmp_path / "podagent.toml").write_text(f'state-dir = "{tmp_path}"\n')
    ClusterFile(tmp_path).write("uid")
    forget = ["forget", "--cluster", "--config", str(tmp_path / "podagent.toml")]
    assert [main(forget), main(forget), ClusterFile(tmp_path).read()] == [0, 0, ""]
    path = tmp_path / "cluster"
    assert capsys.readouterr().out == f"{path}: removed\n{path}: there is no cluster to forget\n"
    path.mkdir()
    assert main(forget) == 1
    assert f"cannot remove {path}: Is a directory" in capsys.readouterr().err


def test_forget_removes_the_record_of_an_attachment_and_prints_what_may_be_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    unprivileged = partial(forgetting.forget_attachment, locks=tmp_path / "locks")
    monkeypatch.setattr(forgetting, "forget_attachment", unprivileged)
    (tmp_path / "podagent.toml").write_text(f'state-dir = "{tmp_path}"\n')
    with closing(store_in(tmp_path)) as store:
        for network in ("red", "green"):
            store.put(record(network))
    assert main(["forget", "-n", "default", "web", "red", "--config", str(tmp_path / "podagent.toml")]) == 0
    assert "forgot red of pod default/web. Nothing was detached" in capsys.readouterr().out
    with closing(store_in(tmp_path)) as store:
        assert [each.attachment.network for each in store.all()] == ["green"]


def test_ifname_prints_the_names_that_kactus_uses(capsys: Output) -> None:
    assert main(["ifname", "green", "red", "data"]) == 0
    assert capsys.readouterr().out.split() == ["net9f27410725ab", "netbda9643ac660", "net8d777f385d3d"]


@pytest.mark.parametrize("arguments", ["--version", "-version", "-version=true", "run -version", "-node x -version"])
def test_version_is_printed(capsys: Output, arguments: str) -> None:
    assert main(arguments.split()) == 0
    assert capsys.readouterr().out == f"podagent {__version__}\n"


def test_help_teaches_with_examples_and_files_and_that_of_run_lists_every_setting(capsys: Output) -> None:
    for flag in ("--help", "-h", "-help"):
        assert main([flag]) == 0
        out = capsys.readouterr().out
        for word in ("Examples:", "Files:", "podagent-kubeconfig.yaml", "podagent.toml", "ifname", "net9f27410725ab"):
            assert word in out
    assert main(["run", "--help"]) == 0
    out = capsys.readouterr().out
    assert [setting.key for setting in SETTINGS if f"--{setting.key} " not in out.replace(",", " ")] == []
    assert "PODAGENT_EXTRA_ARGS" in out
    assert "--vmodule" not in out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["-workers=0"], "workers"),
        (["run", "--workers", "0"], "--workers"),
        (["--log-level", ""], "--log-level"),
        (["--nod", "x"], "--nod"),
        (["fly"], "fly"),
        (["run", "fly"], "fly"),
        (["run", "--", "-fly"], "-fly"),
        (["run", "--node"], "--node"),
        (["-logtostderr=x"], "--logtostderr"),
        (["-v=loud"], "-v"),
        (["ifname"], "NAME"),
        (["forget"], "--cluster"),
        (["forget", "web-0"], "NETWORK"),
        (["forget", "--cluster", "web-0", "green"], "NETWORK"),
        *[(["ifname", "green", name], repr(name)[:100]) for name in ("Green", "a_b", "", "a/b", "x" * 254, "a\n")],
    ],
)
def test_a_mistake_is_one_line_on_stderr_and_exit_code_2(capsys: Output, arguments: list[str], named: str) -> None:
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
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (None, "state directory {}/state cannot be used"),
        (KeyboardInterrupt(), "podagent: interrupted"),
        (ZeroDivisionError("x"), "exits after an internal error"),
    ],
)
def test_an_agent_that_fails_ends_with_its_reason_and_exit_code_1(
    environ: Environ, monkeypatch: pytest.MonkeyPatch, capsys: Output, fault: BaseException | None, words: str
) -> None:
    def fail(_: Settings) -> int:
        raise fault or AssertionError

    if fault:
        monkeypatch.setattr(wiring, "run", fail)
    file = environ["PODAGENT_CONFIG"]
    assert main(["run", f"--config={file}", f"--state-dir={file}/state", "--node=node-1"]) == 1
    assert words.format(file) in capsys.readouterr().err
