"""The agent's settings: what there is to set, where it may be set, and what is accepted.

Flags > environment (``PODAGENT_*``) > the settings file > defaults. Everything is checked once, at start; the rest of
the agent receives a finished `Settings` and never looks at a flag, a variable or the file again.
"""

from podagent.config.sources import DEFAULT_TOML, load
from podagent.config.table import DEFAULT_WORKERS, SETTINGS, Setting, Settings

__all__ = ["DEFAULT_TOML", "DEFAULT_WORKERS", "SETTINGS", "Setting", "Settings", "load"]
