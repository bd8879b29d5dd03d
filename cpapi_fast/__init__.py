"""Market data of Interactive Brokers' Client Portal Web API, from `/tickle` to columns, without decoding what nobody reads."""

from __future__ import annotations

from ._version import __version__

__all__ = ["__version__"]
