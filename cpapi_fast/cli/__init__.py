"""The command line: commands, options and terminal screens."""

from __future__ import annotations

from .main import main

__all__ = ["main"]
