"""Checks the numbers and flags in options: their type first, so that every wrong value has the same typed error"""

from __future__ import annotations

from typing import Final

from .errors import ConfigError

_INFINITY: Final = float("inf")


def check_positive(name: str, value: object, unit: str = "") -> None:
    """Check a number.

    Args:
        name: the option, for the message.
        value: its value.
        unit: what it counts, for the message, such as `seconds`; empty if the name has the unit.

    Raises:
        ConfigError: it is no int or float, or not above zero, or infinite or NaN. True and False are no numbers here.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 < value < _INFINITY:
        raise ConfigError(f"{name} must be a finite number {_of(unit)}above zero, not {_shown(value)}")


def check_whole(name: str, value: object, unit: str = "", *, least: int = 1, most: int | None = None) -> None:
    """Check a whole number.

    Args:
        name: the option, for the message.
        value: its value.
        unit: what it counts, for the message; empty if the name has the unit.
        least: the smallest valid value, 1 or 0.
        most: the largest valid value; None for no bound.

    Raises:
        ConfigError: it is no int, too small or too large. True and False are no numbers here.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        bound = "above zero" if least else "of at least zero"
        raise ConfigError(f"{name} must be a whole number {_of(unit)}{bound}, not {_shown(value)}")
    if most is not None and value > most:
        raise ConfigError(f"{name} must be a whole number {_of(unit)}of at most {most:,}, not {_shown(value)}")


def check_flag(name: str, value: object) -> None:
    """Check a flag.

    Raises:
        ConfigError: it is neither True nor False.
    """
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be True or False, not {_shown(value)}")


def _of(unit: str) -> str:
    return f"of {unit} " if unit else ""


def _shown(value: object) -> str:
    # The repr of an object of the user may be long or raise.
    return repr(value) if isinstance(value, (bool, int, float, str, type(None))) else f"a {type(value).__name__}"
