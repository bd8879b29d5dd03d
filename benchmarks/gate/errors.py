"""The gate cannot decide: something is missing or broken, and the text says what to do."""

from __future__ import annotations


class GateError(Exception):
    """Not a verdict on the code: the gate could not measure or not compare."""
