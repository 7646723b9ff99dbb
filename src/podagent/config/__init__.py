"""The agent's settings.

Precedence: flags > environment (``PODAGENT_*``) > settings file > defaults. All settings are validated once at startup;
the rest of the agent uses the resulting `Settings` only.
"""

from podagent.config.sources import DEFAULT_TOML, load
from podagent.config.table import DEFAULT_WORKERS, SETTINGS, Setting, Settings

__all__ = ["DEFAULT_TOML", "DEFAULT_WORKERS", "SETTINGS", "Setting", "Settings", "load"]
