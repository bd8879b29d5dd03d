"""The exceptions for JSON with an unexpected shape, and for an error in place of a result."""

from __future__ import annotations


class ShapeError(Exception):
    """JSON has a shape that is not documented.

    The message contains names of members and no values. The REST client converts it to `DecodeError`.
    """


class ErrorBodyError(ShapeError):
    """JSON is an error of the gateway, such as `{"error":"..."}`, where a result was expected.

    The REST client converts it to `StatusError`.
    """
