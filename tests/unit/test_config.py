"""Settings: precedence, checking, and the words of refusals."""

from __future__ import annotations

import dataclasses
import re
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podagent.config import SETTINGS, Setting, Settings, load
from podagent.config.kinds import parse_duration
from podagent.config.render import settings_file
from podagent.errors import SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHIPPED = Path(__file__).parents[2] / "etc" / "podagent.toml"

Toml = Callable[[str], Path]


@pytest.fixture
def toml(tmp_path: Path) -> Toml:
    """Writes a settings file and returns its path."""

    def write(text: str) -> Path:
        path = tmp_path / "podagent.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def empty(toml: Toml) -> Path:
    return toml("")


def refusal(flags: Mapping[str, str], environ: Mapping[str, str], path: Path | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load(flags, environ, path)
    return str(caught.value)


def test_a_flag_goes_before_extra_args_before_a_variable_before_the_file(toml: Toml) -> None:
    path = toml("workers = 5")
    flags, extra, environ = {"workers": "2"}, {"workers": "3"}, {"PODAGENT_WORKERS": "4"}
    assert load(flags, environ, path, extra_flags=extra).workers == 2
    assert load({"workers": None}, environ, path, extra_flags=extra).workers == 3
    assert load({}, environ, path).workers == 4
    assert load({}, {"PODAGENT_WORKERS": ""}, path).workers == 5, "an empty variable counts as not set"
    assert load({}, {"PODAGENT_CONFIG": str(path)}).workers == 5


def test_the_node_is_called_as_its_host_unless_a_variable_of_ours_or_of_the_original_names_it(empty: Path) -> None:
    host, original, ours = socket.gethostname().lower(), {"PODAGENT_HOSTNAME": "w1"}, {"PODAGENT_NODE": "w2"}
    assert [load({}, environ, empty).node for environ in ({}, original, original | ours)] == [host, "w1", "w2"]


def test_a_settings_file_that_is_missing_malformed_or_no_text_is_refused_by_its_name(
    toml: Toml, tmp_path: Path
) -> None:
    missing, bytes_ = tmp_path / "missing.toml", tmp_path / "bytes.toml"
    bytes_.write_bytes(b"node = '\xff'")
    assert refusal({}, {}, missing) == f"{missing}: the settings file does not exist"
    assert refusal({}, {"PODAGENT_CONFIG": str(missing)}) == f"{missing}: the settings file does not exist"
    assert refusal({}, {}, tmp_path) == f"{tmp_path}: the settings file cannot be read: Is a directory"
    for path in (bytes_, toml("workers = "), toml("workers = 1\nworkers = 2")):
        assert refusal({}, {}, path).startswith(f"{path}: not a TOML file: ")


def test_an_unknown_key_or_variable_is_refused_with_the_likely_one(toml: Toml, empty: Path) -> None:
    message = refusal({}, {"PODAGENT_LOGLEVEL": "debug"}, empty)
    assert message == "variable PODAGENT_LOGLEVEL: there is no such setting; did you mean PODAGENT_LOG_LEVEL?"
    path = toml('log_level = "debug"')
    assert refusal({}, {}, path) == f"{path}: 'log_level': there is no such setting; did you mean log-level?"
    assert "'agent': there is no such setting; valid names are allow-mac, " in refusal({}, {}, toml("[agent]"))


def test_variables_of_others_and_of_a_service_called_podagent_are_no_settings(empty: Path) -> None:
    service = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_METRICS", "PORT", "PORT_9100_TCP", "PORT_9100_TCP_ADDR"]
    names = [*(f"PODAGENT_{name}" for name in [*service, "METRICS_SERVICE_HOST"]), "PODAGENTX", "PATH"]
    assert load({}, dict.fromkeys(names, "tcp://10.0.0.1:9100"), empty) == load({}, {}, empty)


@pytest.mark.parametrize(
    ("field", "texts"),
    [
        ("kubeconfig", ["kube.yaml", ""]),
        ("node", ["Worker_1", "a" * 254, "", "a\n"]),
        ("container_type", ["podman", ""]),
        ("docker_endpoint", ["tcp://10.0.0.1:2375", "docker.sock"]),
        ("cri_endpoint", ["unix://", "tcp://10.0.0.1"]),
        ("cni_bin_path", ["opt/cni/bin", "/a,", "/a:b", "/a\x1b"]),
        ("cni_conf_path", ["/etc\0/x"]),
        ("cni_vendor_name", ["../kaloom", "..", "a/b"]),
        ("attach_via", ["both"]),
        ("state_dir", ["/"]),
        ("workers", ["0", "65", "-1", "2.5", "²", "1" * 5000]),
        ("resync_period", ["0.5", "25h"]),
        ("plugin_timeout", ["0", "fast", "nan", "1 m"]),
        ("stop_timeout", ["0", "2h"]),
        ("log_level", ["INFO"]),
        ("global_namespaces", ["default,,x", "a.b"]),
    ],
)
def test_a_wrong_value_is_refused_with_its_key_its_origin_and_what_is_accepted(
    empty: Path, field: str, texts: list[str]
) -> None:
    [setting] = [setting for setting in SETTINGS if setting.field == field]
    for text in texts:
        message = refusal({field: text}, {}, empty)
        assert message.startswith(f"{setting.key}, from flag --{setting.key}: ")
        assert f"expected {setting.kind.accepts}" in message
        assert len(message) < 400
    message = refusal({}, {setting.variable: texts[0]}, empty)
    assert message.startswith(f"{setting.key}, from variable {setting.variable}: ")


def test_a_node_name_in_upper_case_is_explained(empty: Path) -> None:
    assert "lower case" in refusal({"node": "Worker-1"}, {}, empty)


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("workers", ["true", "2.0", '["2"]']),
        ("node", ["7", '["a"]']),
        ("resync-period", ["false"]),
        ("global-namespaces", ['["a,b"]', "[1]", '[""]']),
        ("kubeconfig", ["{}"]),
    ],
)
def test_a_value_of_the_wrong_type_in_the_file_is_refused(toml: Toml, key: str, values: list[str]) -> None:
    for value in values:
        path = toml(f"{key} = {value}")
        assert refusal({}, {}, path).startswith(f"{key}, from {path}: ")


@pytest.mark.parametrize(
    ("key", "accepted"),
    [
        ("workers", {"3": 3, '"3"': 3}),
        ("resync-period", {"90": 90.0, "1.5": 1.5, "0": 0.0, '"1h30m"': 5400.0}),
        (
            "global-namespaces",
            {'["default", "net"]': ("default", "net"), '"default, net"': ("default", "net"), "[]": ()},
        ),
        ("cni-bin-path", dict.fromkeys(('["/a", "/b"]', '"/a:/b"', '"/a, /b"'), ("/a", "/b"))),
        ("docker-endpoint", {'"unix:///run/docker.sock"': "unix:///run/docker.sock", '"/run/d"': "unix:///run/d"}),
    ],
)
def test_the_file_may_use_the_types_of_toml_and_a_bare_path_for_a_socket(
    toml: Toml, key: str, accepted: dict[str, object]
) -> None:
    for text, value in accepted.items():
        assert getattr(load({}, {}, toml(f"{key} = {text}")), key.replace("-", "_")) == value


def test_durations_are_read_as_go_writes_them_and_other_texts_refused() -> None:
    texts = ["5m", "30s", "1h30m", "1.5h", "250ms", "2", ".5s", "1m1ms"]
    assert [parse_duration(text) for text in texts] == pytest.approx([300, 30, 5400, 5400, 0.25, 2, 0.5, 60.001])
    for text in ("", "s", "5x", "5m x", "m5", "-5m", "+5m", "1e3", "inf", "5 m", "\u0665s", "."):
        with pytest.raises(ValueError):  # noqa: PT011 - the caller words it
            parse_duration(text)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59))
def test_parts_of_a_duration_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds


def test_a_setting_may_have_the_name_that_the_original_gave_it(toml: Toml, empty: Path) -> None:
    named = toml('crio-endpoint = "/c"')
    assert load({}, {}, named).cri_endpoint == "unix:///c"
    assert load({}, {"PODAGENT_CRIO_ENDPOINT": "/c"}, empty).cri_endpoint == "unix:///c"
    assert load({"cri_endpoint": ""}, {}, named).cri_endpoint == ""


@given(st.sampled_from(SETTINGS), st.text(max_size=40))
def test_no_text_at_all_gets_past_as_anything_but_a_value_or_a_refusal(setting: Setting, text: str) -> None:
    with suppress(ValueError):
        setting.kind.parse(text)


def test_the_shipped_settings_file_is_rendered_from_the_table_and_lists_the_defaults(toml: Toml, empty: Path) -> None:
    shipped = SHIPPED.read_text(encoding="utf-8")
    assert shipped == settings_file(), "run: python -m podagent.config.render > etc/podagent.toml"
    assert tomllib.loads(shipped) == {}
    uncommented = re.sub(r"(?m)^#(?! |$)", "", shipped)
    assert list(tomllib.loads(uncommented)) == [setting.key for setting in SETTINGS]
    assert [setting.field for setting in SETTINGS] == [field.name for field in dataclasses.fields(Settings)]
    assert load({"node": "n"}, {}, toml(uncommented)) == load({"node": "n"}, {}, empty)
