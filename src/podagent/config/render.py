"""Renders the settings file, with documentation: `etc/podagent.toml` is the output of this module.

To update it: `python -m podagent.config.render > etc/podagent.toml`.
"""

from __future__ import annotations

import json
import sys
import textwrap

from podagent.config.table import SETTINGS, Setting

_HEADER = """\
podagent's settings. The commented-out lines show the defaults; remove the '#' to change one. A key that is not listed
here is an error, so that misspelt keys are noticed.

Flags (--key) precede environment variables (PODAGENT_KEY), which precede this file. Changes take effect after
`systemctl restart podagent`; a restart does not affect the interfaces of pods."""


def _commented(text: str) -> str:
    lines = [textwrap.fill(part, 116, break_long_words=False, break_on_hyphens=False) for part in text.split("\n\n")]
    return textwrap.indent("\n\n".join(lines), "# ", lambda _: True).replace("# \n", "#\n")


def _toml_value(setting: Setting) -> str:
    text = setting.default if isinstance(setting.default, str) else "node-1"
    if list in setting.kind.natives:
        return json.dumps(text.split(",") if text else [])
    return text if text.isdigit() else json.dumps(text)


def _entry(setting: Setting) -> str:
    default = f" Default: {setting.default_text}." if setting.default_text else ""
    about = _commented(f"{setting.help} {setting.reason} Expected: {setting.kind.accepts}.{default}")
    return f"{about}\n#{setting.key} = {_toml_value(setting)}\n"


def settings_file() -> str:
    """The settings file, with every setting commented out at its default."""
    return "\n".join([_commented(_HEADER) + "\n", *(_entry(setting) for setting in SETTINGS)])


if __name__ == "__main__":
    sys.stdout.write(settings_file())
