"""The exception for JSON with an unexpected shape."""

from __future__ import annotations


class ShapeError(Exception):
    """JSON has a shape that is not documented.

    The message contains names of members and no values. The REST client converts it to `DecodeError`.
    """
