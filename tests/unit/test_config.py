"""Settings: precedence, checking, and the words of refusals."""

from __future__ import annotations

import dataclasses
import re
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podagent.config import DEFAULT_WORKERS, SETTINGS, Settings, load
from podagent.config.kinds import parse_duration
from podagent.config.render import settings_file
from podagent.errors import SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHIPPED = Path(__file__).parents[2] / "etc" / "podagent.toml"


@pytest.fixture
def toml(tmp_path: Path) -> Any:
    """Writes a settings file and returns its path."""

    def write(text: str) -> Path:
        path = tmp_path / "podagent.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def empty(toml: Any) -> Path:
    return toml("")


def refusal(*args: Any, **kwargs: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        load(*args, **kwargs)
    return str(caught.value)


def test_every_field_has_a_row_in_the_table_and_every_row_a_field() -> None:
    assert [setting.field for setting in SETTINGS] == [field.name for field in dataclasses.fields(Settings)]


def test_the_defaults_are_those_of_a_kubernetes_node(empty: Path) -> None:
    settings = load({}, {}, empty)
    assert settings == Settings(
        kubeconfig=Path("/opt/kaloom/etc/podagent-kubeconfig.yaml"),
        node=socket.gethostname().lower(),
        container_type="docker",
        docker_endpoint="unix:///var/run/docker.sock",
        crio_endpoint="unix:///var/run/crio/crio.sock",
        cni_bin_path=Path("/opt/cni/bin"),
        cni_conf_path=Path("/etc/cni/net.d"),
        cni_vendor_name="",
        attach_via="auto",
        state_dir=Path("/var/lib/podagent"),
        inherit_dir=Path("/var/run/podagent/configstore"),
        workers=DEFAULT_WORKERS,
        resync_period=300.0,
        plugin_timeout=120.0,
        log_level="info",
        global_namespaces=("default",),
    )


def test_a_flag_goes_before_extra_args_before_a_variable_before_the_file(toml: Any) -> None:
    path = toml("workers = 5")
    flags, extra, environ = {"workers": "2"}, {"workers": "3"}, {"PODAGENT_WORKERS": "4"}
    assert load(flags, environ, path, extra_flags=extra).workers == 2
    assert load({"workers": None}, environ, path, extra_flags=extra).workers == 3
    assert load({}, environ, path).workers == 4
    assert load({}, {}, path).workers == 5


def test_an_empty_variable_counts_as_not_set(toml: Any) -> None:
    assert load({}, {"PODAGENT_WORKERS": ""}, toml("workers = 5")).workers == 5


def test_the_variable_of_the_original_names_the_node(empty: Path) -> None:
    assert load({}, {"PODAGENT_HOSTNAME": "worker-1"}, empty).node == "worker-1"
    assert load({}, {"PODAGENT_HOSTNAME": "worker-1", "PODAGENT_NODE": "worker-2"}, empty).node == "worker-2"


def test_the_settings_file_is_the_one_that_podagent_config_names(toml: Any) -> None:
    environ = {"PODAGENT_CONFIG": str(toml("workers = 7"))}
    assert load({}, environ).workers == 7


def test_a_settings_file_that_was_asked_for_must_exist(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    assert str(missing) in refusal({}, {}, missing)
    assert str(missing) in refusal({}, {"PODAGENT_CONFIG": str(missing)})


@pytest.mark.parametrize(
    ("text", "word"), [("workers = ", "not a TOML file"), ("workers = 1\nworkers = 2", "not a TOML file")]
)
def test_a_malformed_settings_file_is_named(toml: Any, text: str, word: str) -> None:
    path = toml(text)
    assert str(path) in refusal({}, {}, path)
    assert word in refusal({}, {}, path)


def test_a_settings_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "podagent.toml"
    path.write_bytes(b"node = '\xff'")
    assert str(path) in refusal({}, {}, path)
    assert str(tmp_path) in refusal({}, {}, tmp_path)


def test_an_unknown_key_of_the_file_is_refused_with_the_likely_one(toml: Any) -> None:
    path = toml('log_level = "debug"')
    message = refusal({}, {}, path)
    assert str(path) in message
    assert "'log_level'" in message
    assert "did you mean log-level?" in message
    assert "'agent'" in refusal({}, {}, toml("[agent]\nworkers = 1"))


def test_an_unknown_variable_is_refused_with_the_likely_one(empty: Path) -> None:
    message = refusal({}, {"PODAGENT_LOGLEVEL": "debug"}, empty)
    assert "PODAGENT_LOGLEVEL" in message
    assert "did you mean PODAGENT_LOG_LEVEL?" in message


@pytest.mark.parametrize(
    "name",
    [
        "PODAGENT_SERVICE_HOST",
        "PODAGENT_SERVICE_PORT",
        "PODAGENT_SERVICE_PORT_METRICS",
        "PODAGENT_PORT",
        "PODAGENT_PORT_9100_TCP",
        "PODAGENT_PORT_9100_TCP_ADDR",
        "PODAGENT_METRICS_SERVICE_HOST",
    ],
)
def test_what_kubernetes_says_about_a_service_called_podagent_is_no_setting(empty: Path, name: str) -> None:
    assert load({}, {name: "tcp://10.0.0.1:9100"}, empty).workers == DEFAULT_WORKERS


def test_variables_of_others_are_none_of_our_business(empty: Path) -> None:
    assert load({}, {"PODAGENTX": "1", "PATH": "/bin"}, empty).workers == DEFAULT_WORKERS


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("kubeconfig", "kube.yaml"),
        ("kubeconfig", ""),
        ("node", "Worker_1"),
        ("node", "a" * 254),
        ("node", ""),
        ("node", "a\n"),
        ("container_type", "podman"),
        ("container_type", ""),
        ("docker_endpoint", "tcp://10.0.0.1:2375"),
        ("docker_endpoint", "docker.sock"),
        ("crio_endpoint", "unix://"),
        ("cni_bin_path", "opt/cni/bin"),
        ("cni_conf_path", "/etc\0/x"),
        ("cni_vendor_name", "../kaloom"),
        ("cni_vendor_name", ".."),
        ("cni_vendor_name", "a/b"),
        ("attach_via", "both"),
        ("state_dir", "/"),
        ("workers", "0"),
        ("workers", "65"),
        ("workers", "-1"),
        ("workers", "2.5"),
        ("workers", "²"),
        ("workers", "1" * 5000),
        ("resync_period", "0.5"),
        ("plugin_timeout", "0"),
        ("resync_period", "25h"),
        ("plugin_timeout", "fast"),
        ("plugin_timeout", "nan"),
        ("plugin_timeout", "1 m"),
        ("log_level", "INFO"),
        ("global_namespaces", "default,,x"),
        ("global_namespaces", "a.b"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key_its_origin_and_what_is_accepted(
    toml: Any, empty: Path, field: str, wrong: str
) -> None:
    setting = next(setting for setting in SETTINGS if setting.field == field)
    message = refusal({field: wrong}, {}, empty)
    assert message.startswith(f"{setting.key}, from flag --{setting.key}: ")
    assert f"expected {setting.kind.accepts}" in message
    assert len(message) < 400
    if wrong:
        message = refusal({}, {setting.variable: wrong}, empty)
        assert message.startswith(f"{setting.key}, from variable {setting.variable}: ")


def test_crio_is_known_but_said_to_be_unsupported(empty: Path) -> None:
    assert "crio is not supported yet" in refusal({"container_type": "crio"}, {}, empty)


def test_a_node_name_in_upper_case_is_explained(empty: Path) -> None:
    assert "lower case" in refusal({"node": "Worker-1"}, {}, empty)


@pytest.mark.parametrize(
    "line",
    [
        "workers = true",
        "workers = 2.0",
        'workers = ["2"]',
        "node = 7",
        'node = ["a"]',
        "resync-period = false",
        'global-namespaces = ["a,b"]',
        "global-namespaces = [1]",
        'global-namespaces = [""]',
        "kubeconfig = {}",
    ],
)
def test_a_value_of_the_wrong_type_in_the_file_is_refused(toml: Any, line: str) -> None:
    path = toml(line)
    assert refusal({}, {}, path).startswith(f"{line.split(maxsplit=1)[0]}, from {path}: ")


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("workers = 3", "workers", 3),
        ('workers = "3"', "workers", 3),
        ("resync-period = 90", "resync_period", 90.0),
        ("resync-period = 1.5", "resync_period", 1.5),
        ("resync-period = 0", "resync_period", 0.0),
        ('resync-period = "1h30m"', "resync_period", 5400.0),
        ('global-namespaces = ["default", "net"]', "global_namespaces", ("default", "net")),
        ('global-namespaces = "default, net"', "global_namespaces", ("default", "net")),
        ("global-namespaces = []", "global_namespaces", ()),
    ],
)
def test_the_file_may_use_the_types_of_toml(toml: Any, line: str, field: str, value: object) -> None:
    assert getattr(load({}, {}, toml(line)), field) == value


@pytest.mark.parametrize("text", ["unix:///run/docker.sock", "/run/docker.sock"])
def test_a_bare_path_is_taken_for_a_unix_socket(empty: Path, text: str) -> None:
    assert load({"docker_endpoint": text}, {}, empty).docker_endpoint == "unix:///run/docker.sock"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5m", 300),
        ("30s", 30),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("250ms", 0.25),
        ("2", 2),
        (".5s", 0.5),
        ("1m1ms", 60.001),
    ],
)
def test_durations_are_read_as_go_writes_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "5x", "5m x", "m5", "-5m", "+5m", "1e3", "inf", "5 m", "\u0665s", "."])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the caller words it
        parse_duration(text)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59))
def test_parts_of_a_duration_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds


@given(st.sampled_from(SETTINGS), st.text(max_size=40))
def test_no_text_at_all_gets_past_as_anything_but_a_value_or_a_refusal(setting: Any, text: str) -> None:
    try:
        setting.kind.parse(text)
    except ValueError:
        return


def test_the_shipped_settings_file_is_the_one_rendered_from_the_table() -> None:
    shipped = SHIPPED.read_text(encoding="utf-8")
    assert shipped == settings_file(), "run: python -m podagent.config.render > etc/podagent.toml"
    assert tomllib.loads(shipped) == {}


def test_the_shipped_settings_file_lists_every_setting_with_its_default(toml: Any, empty: Path) -> None:
    uncommented = re.sub(r"(?m)^#(?! |$)", "", SHIPPED.read_text(encoding="utf-8"))
    assert list(tomllib.loads(uncommented)) == [setting.key for setting in SETTINGS]
    assert load({"node": "n"}, {}, toml(uncommented)) == load({"node": "n"}, {}, empty)
