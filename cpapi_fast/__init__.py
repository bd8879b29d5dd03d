"""Market data of Interactive Brokers' Client Portal Web API, routed without decoding JSON."""

from __future__ import annotations

from ._version import __version__

__all__ = ["__version__"]
