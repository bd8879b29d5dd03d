"""The error for JSON of an undocumented shape."""

from __future__ import annotations


class ShapeError(Exception):
    """JSON has another shape than documented.

    The text names members and never values. The REST side raises `DecodeError` from it.
    """
