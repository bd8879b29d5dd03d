"""The configuration of a command: a TOML file, environment variables and files of instruments."""

from __future__ import annotations

from .errors import SettingsError
from .settings import Setting, Settings

__all__ = ["Setting", "Settings", "SettingsError"]
